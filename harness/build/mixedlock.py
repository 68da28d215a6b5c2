"""Two locks, and what lies between them: some packages as the newer one has them, the others as the older one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Lock = Mapping[str, Any]
IMAGE = "image "  # begins the name of an OCI image among the names of packages


def changed(old: Lock, new: Lock, arch: str) -> dict[str, tuple[str, str]]:
    """Return what is not the same in two locks for an architecture: name, version before and after ("" for none)."""
    before, after = (_versions(one, arch) for one in (old, new))
    return {
        name: (before.get(name, ""), after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }


def mixed(old: Lock, new: Lock, arch: str, taken: Collection[str]) -> dict[str, Any]:
    """Return the older lock with the names that are `taken` as the newer one has them."""
    known = {record["sha256"]: record for lock in (old, new) for record in lock["packages"]}
    before, after = (lock["requests"].get(arch, {}) for lock in (old, new))
    requests = {}
    for key in {**before, **after}:
        mine, other = ({known[one]["name"]: one for one in some.get(key, some_.get(key, ()))}
                       for some, some_ in ((before, after), (after, before)))  # fmt: skip
        names = {**mine, **other}
        chosen = ((other if name in taken else mine).get(name) for name in names)
        requests[key] = [one for one in chosen if one]
    images, newer = (lock.get("images", {}).get(arch, {}) for lock in (old, new))
    both = {**images, **newer}
    pinned = {name: (newer if f"{IMAGE}{name}" in taken else images).get(name, both[name]) for name in both}
    return {**old, "requests": {arch: requests}, "packages": list(known.values()), "images": {arch: pinned}}


def records(lock: Lock, arch: str) -> dict[str, Mapping[str, Any]]:
    """Return the packages of an architecture by name."""
    known = {record["sha256"]: record for record in lock["packages"]}
    used = {digest for some in lock["requests"].get(arch, {}).values() for digest in some}
    return {known[digest]["name"]: known[digest] for digest in sorted(used) if digest in known}


def _versions(lock: Lock, arch: str) -> dict[str, str]:
    found = {name: str(record["version"]) for name, record in records(lock, arch).items()}
    return found | {f"{IMAGE}{name}": digest for name, digest in lock.get("images", {}).get(arch, {}).items()}
