"""Users and groups as numbers: LinuxKit lets containers' names stand for some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.spec.models.image import ImageSpec
from harness.spec.rules.common import SECTIONS

FIRST_ID = 100  # LinuxKit gives named users numbers from here


def labels(names: Sequence[str]) -> list[str]:
    """Return what marks, logs and cases call the containers of a section: their names, numbered where one is taken.

    As with LinuxKit, onboot may have one name twice.
    """
    found: list[str] = []
    for index, name in enumerate(names):
        found.append(name if name not in found else f"{index:03d}-{name}")
    return found


def named_ids(spec: ImageSpec) -> dict[str, int]:
    """Number the containers' names from 100 up, as LinuxKit does: a `uid` may be such a name."""
    return numbered([entry.name for section in SECTIONS for entry in getattr(spec, section)])


def numbered(names: Sequence[str]) -> dict[str, int]:
    """Number names from 100 up; of one that is there twice, the last counts."""
    return {name: FIRST_ID + number for number, name in enumerate(names)}


def number(who: int | str | None, ids: Mapping[str, int]) -> int:
    """Return the number of a `uid` or `gid` that the spec's checks let pass."""
    if who is None or isinstance(who, int):
        return who or 0
    if who in ids:
        return ids[who]
    return int(who) if who.isdigit() else 0  # root, or empty
