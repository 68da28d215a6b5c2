"""What an image's bytes are spent on, as figures to track: a manifest in, bytes by part out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KERNEL = "kernel"
FIRST_STAGE = "first stage"
MEDIUM = "medium"
TREE = "hash tree"


def sizes(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return the bytes of each part of what is shipped; they add up to the whole.

    A component has the share of the compressed root that its own unpacked bytes have of all: content that an earlier
    component has too is stored once, and counted there. A disk or CD has a boot loader, tables and padding besides;
    where it is compressed as a whole each part has its share of what that leaves. Of what has no manifest no part is
    known.
    """
    if not manifest:
        return {}
    shipped = {row["name"]: int(row["size"]) for row in manifest["files"] if row["shipped"]}
    root, whole = int(manifest["root"]["size"]), sum(shipped.values())
    held = manifest.get("holds")
    if held is None and "kernel" not in shipped:
        return _components(manifest, whole)
    kernel, initrd = (held["kernel"], held["initrd"]) if held else (shipped["kernel"], whole - shipped["kernel"])
    apart = held is not None and "tree" in held  # the root lies in a partition of its own, its tree in another
    parts = {KERNEL: kernel, FIRST_STAGE: initrd - (0 if apart else root), **_components(manifest, root)}
    if not held:
        return parts
    taken = kernel + initrd
    if apart:
        parts[TREE] = held["tree"]
        taken += root + held["tree"]
    return {**parts, MEDIUM: whole - taken} if whole >= taken else _shared(parts, whole)


def _components(manifest: Mapping[str, Any], root: int) -> dict[str, int]:
    found: dict[str, int] = {}
    rows = [row for row in manifest["components"] if int(row["own"])]
    left, unpacked = root, sum(int(row["own"]) for row in rows)
    for row in rows:
        own = int(row["own"])
        # what rounding leaves over goes to those that follow, so that nothing is lost
        share = round(left * own / unpacked)
        name = f"{row['section']}/{row['name']}"
        found[name] = found.get(name, 0) + share
        left, unpacked = left - share, unpacked - own
    return found


def _shared(parts: Mapping[str, int], whole: int) -> dict[str, int]:
    """Return parts in the same proportions that add up to `whole`."""
    left, of = whole, sum(parts.values())
    found = {}
    for name, size in parts.items():
        found[name] = round(left * size / of) if of else left
        left, of = left - found[name], of - size
    return found
