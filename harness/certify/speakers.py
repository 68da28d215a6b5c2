"""Which containers could say `ready` in their init's place: a frame tells when it was said, not who said it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.image import OWN_INIT

# With one of these a program sends frames of any kind, or comes to act as the first process may.
RIGHTS = frozenset(
    f"CAP_{name}"
    for name in (
        "BPF", "DAC_READ_SEARCH", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO",
    )
)  # fmt: skip
SHOWN = 3  # rights of a container, and containers, that are named
EARLY = ("onboot", "services")  # that run before the system is ready


def speakers(manifest: Mapping[str, Any]) -> str:
    """Return in words who could have said `ready` in the init's place, by a manifest; empty where there is none."""
    if not manifest:
        return ""
    if manifest.get("init", OWN_INIT) != OWN_INIT:
        return "who said ready: an init that is not the harness's own"
    found = list(_rows(manifest["expect"]))
    if not found:
        return "who said ready: by its manifest no container keeps a right by which it could say so in the init's place"
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"who said ready: these could have in the init's place: {', '.join(found[:SHOWN])}{more}"


def _rows(expect: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for section in EARLY:
        for name, row in expect.get(section, {}).items():
            rights = sorted(RIGHTS & set(row.get("capabilities", ())))
            if rights:
                short = ", ".join(one.removeprefix("CAP_") for one in rights[:SHOWN])
                yield f"{section}/{name} ({short}{', …' if len(rights) > SHOWN else ''})"
