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


def steps(old: Lock, new: Lock, arch: str) -> list[tuple[str, ...]]:
    """Return the names that `changed` has, in groups of which no part can be had without the others.

    Packages of one source are made for one another. What only one side has comes, or goes, with what asks for it and
    with what bears its name as a virtual one: that is how one package replaces another.
    """
    moved = changed(old, new, arch)
    before, after = records(old, arch), records(new, arch)
    place = {name: name for name in moved}

    def top(name: str) -> str:
        while place[name] != name:
            name = place[name] = place[place[name]]
        return name

    def tie(one: str, other: str) -> None:
        if one in place and other in place:
            place[top(one)] = top(other)

    sources: dict[str, str] = {}
    for known, others in ((before, after), (after, before)):
        for name in moved:
            record = known.get(name, {})
            if source := record.get("source"):
                tie(name, sources.setdefault(source, name))
            for wanted in (*record.get("depends", ()), *record.get("provides", ())):
                if (wanted in known) != (wanted in others):
                    tie(name, wanted)
    groups: dict[str, list[str]] = {}
    for name in moved:
        groups.setdefault(top(name), []).append(name)
    return sorted(map(tuple, groups.values()))


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
    held = {**old.get("attached", {}), **new.get("attached", {})}  # by the digests of images: what is there stays true
    return {**old, "requests": {arch: requests}, "packages": list(known.values()), "images": {arch: pinned},
            "attached": held}  # fmt: skip


def records(lock: Lock, arch: str) -> dict[str, Mapping[str, Any]]:
    """Return the packages of an architecture by name."""
    known = {record["sha256"]: record for record in lock["packages"]}
    used = {digest for some in lock["requests"].get(arch, {}).values() for digest in some}
    return {known[digest]["name"]: known[digest] for digest in sorted(used) if digest in known}


def _versions(lock: Lock, arch: str) -> dict[str, str]:
    found = {name: str(record["version"]) for name, record in records(lock, arch).items()}
    return found | {f"{IMAGE}{name}": digest for name, digest in lock.get("images", {}).get(arch, {}).items()}
