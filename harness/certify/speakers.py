"""Who could say `ready` in the init's place: a frame tells when it was said, not who said it. Pure.

A program that may act as the first process does says what it likes, and nothing that the init could keep secret helps
against one that may read its memory. What the library has as it is is the harness's own, and a rebuild shows its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.image import OWN_INIT

SHOWN = 3  # of what a container reaches, and of whom could, that are named
EARLY = ("onboot", "services")  # that run before the system is ready
OTHER_INIT = "an init that is not the harness's own"


def others(manifest: Mapping[str, Any]) -> list[str]:
    """Return who could say `ready` in the init's place and is none of the harness's own, by a manifest."""
    if not manifest:
        return []
    if manifest.get("init", OWN_INIT) != OWN_INIT:
        return [OTHER_INIT]
    return [*manifest.get("acts", ()), *_rows(manifest.get("expect", {}), ours=False)]


def shown(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def speakers(manifest: Mapping[str, Any]) -> str:
    """Return in words who could have said `ready` in the init's place, by a manifest; empty where there is none."""
    if not manifest:
        return ""
    found = others(manifest)
    own = list(_rows(manifest.get("expect", {}), ours=True))
    library = f"; of the library as it is: {shown(own)}" if own else ""
    if not found:
        return f"who said ready: by its manifest nobody else could say so in the init's place{library}"
    return f"who said ready: these could have in the init's place: {shown(found)}{library}"


def _rows(expect: Mapping[str, Mapping[str, Any]], *, ours: bool) -> Iterator[str]:
    for section in EARLY:
        for name, row in expect.get(section, {}).items():
            by = row.get("reach", ())
            if by and bool(row.get("ours")) == ours:
                yield f"{section}/{name} ({', '.join(by[:SHOWN])}{', …' if len(by) > SHOWN else ''})"
