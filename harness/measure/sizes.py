"""What an image's bytes are spent on, as figures to track: a manifest in, bytes by part out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KERNEL = "kernel"
FIRST_STAGE = "first stage"


def sizes(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return the bytes of each part of what is shipped; they add up to the whole.

    A component has the share of the compressed root that its own unpacked bytes have of all: content that an earlier
    component has too is stored once, and counted there. Of what has no manifest no part is known.
    """
    if not manifest:
        return {}
    shipped = {row["name"]: int(row["size"]) for row in manifest["files"] if row["shipped"]}
    root = int(manifest["root"]["size"])
    found = {KERNEL: shipped.pop("kernel"), FIRST_STAGE: sum(shipped.values()) - root}
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
