"""What a container's annotations promise of it, as a manifest says it: cases hold the running system to that."""

from __future__ import annotations

from typing import Any

from harness.spec.rules.annotations import EntrySettings


def promises(known: EntrySettings, section: str) -> dict[str, Any]:
    """Return the keys of a manifest's row of a container that follow from its annotations."""
    return {
        "restart": known.restart,
        **({"ready": known.ready} if section == "services" else {}),
        "ports": sorted({*_of_health(known), *_listens(known, "tcp")}),
        "udp": sorted(_listens(known, "udp")),
        "raw": sorted(_listens(known, "raw")),
        "mounts": list(known.mounts),
    }


def _of_health(known: EntrySettings) -> list[int]:
    """Return the TCP port that a health check asks."""
    if known.health is None or known.health.kind not in ("tcp", "http"):
        return []
    return [int(known.health.argument.partition("/")[0])]


def _listens(known: EntrySettings, kind: str) -> set[int]:
    return {number for one, number in known.ports if one == kind}
