"""A certificate as people see it: lines for a terminal, facts for the page, a badge. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from harness.report.words import visible

WORDS = {"PASSED": "certified", "WARNED": "certified with warnings", "FAILED": "refused"}
COLOURS = {"PASSED": "#17692f", "WARNED": "#8a6100", "FAILED": "#b3261e"}
TOLD = {
    "emulator": "told by the emulator's own clock",
    "guest": "told by the guest: verify boots it again",
    None: "",
}
_UNITS = {"size": "MB", "ready": "ms", "wall": "s"}


def lines(made: Mapping[str, Any]) -> Iterable[str]:
    """Yield a certificate as lines for a terminal."""
    width = max((len(row["id"]) for row in made["requirements"]), default=0)
    for row in made["requirements"]:
        level = "" if row["level"] == "mandatory" else " (recommended)"
        why = f": {row['why']}" if row["why"] else ""
        yield f"{row['id']:{width}}  {row['verdict']}{level}{why}"
    yield ""
    yield f"{about(made)}: {WORDS[made['result']]}"


def about(made: Mapping[str, Any]) -> str:
    """Return what a certificate is about, on one line."""
    profile = made["profile"]
    return (
        f"{made['image']['name']} on {made['machine']['name']}, profile {profile['name']} {profile['version']} "
        f"({profile['digest'][:12]})"
    )


def budget(made: Mapping[str, Any]) -> str:
    """Return a budget with its units."""
    said = made["budget"]
    rows = [f"{name} {said[name]:g} {unit}" for name, unit in _UNITS.items() if said[name] is not None]
    rows += [f"{name} {ms:g} ms" for name, ms in said["phases"].items()]
    return ", ".join(rows) or "none"


def facts(made: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return what the page shows of a certificate beside its requirements, as its template wants facts."""
    exact, qemu, wall = made["figures"]["exact"], made["qemu"], made["figures"]["wall"]
    told = f", {TOLD[exact['told']]}" if exact["told"] else ""
    since = f", {exact['ready'] + exact['power_on']:.3f} ms after power-on" if exact.get("power_on") else ""
    rows = [
        ("image", f"{made['image']['name']} for {made['image']['arch']}", False),
        ("size", f"{made['image']['size'] / 1e6:.2f} MB", False),
        ("machine", f"{made['machine']['name']} (sha256 {made['machine']['digest'][:12]})", False),
        ("exact time", f"{exact['ready']:.3f} ms{since}{told}" if exact["ready"] is not None else "none", False),
        ("wall time", f"{wall / 1000:.1f} s by the host's clock" if wall is not None else "none", False),
        ("budget", budget(made), False),
        ("QEMU", f"{qemu['version']} (sha256 {qemu['sha256'][:12]})" if qemu else "none: a board", False),
        ("harness", made["harness"], False),
        ("image digest", made["image"]["digest"], True),
        ("profile", made["profile"]["digest"], True),
        ("signed by", key, True),
    ]
    return [{"name": name, "value": value, "code": code, "broad": code} for name, value, code in rows]


def badge(made: Mapping[str, Any]) -> str:
    """Return an SVG badge that says the profile and the result; it loads nothing."""
    left = visible(f"{made['profile']['name']} {made['profile']['version']}")
    right = WORDS[made["result"]]
    sizes = [10 + 7 * len(text) for text in (left, right)]
    label = escape(f"{left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sum(sizes)}" height="20" role="img" aria-label="{label}">'
        f"<title>{label}</title>"
        f'<rect width="{sizes[0]}" height="20" fill="#3d444c"/>'
        f'<rect x="{sizes[0]}" width="{sizes[1]}" height="20" fill="{COLOURS[made["result"]]}"/>'
        '<g fill="#fff" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{sizes[0] / 2:g}" y="14">{escape(left)}</text>'
        f'<text x="{sizes[0] + sizes[1] / 2:g}" y="14">{escape(right)}</text></g></svg>\n'
    )
