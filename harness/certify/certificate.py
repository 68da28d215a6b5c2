"""A certificate: what was judged, by which profile, on what, and how it came out. Pure, and plain data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from harness import __version__
from harness.certify.judge import JudgedRequirement, counts, result
from harness.image import ForeignImage, Image
from harness.report.words import visible
from harness.run.cells import SIZE_BUDGET
from harness.spec.models.machine import MachineSpec
from harness.spec.models.plan import Budget
from harness.spec.profile import Profile

SCHEMA = 1
WORDS = {"PASSED": "certified", "WARNED": "certified with warnings", "FAILED": "refused"}
COLOURS = {"PASSED": "#17692f", "WARNED": "#8a6100", "FAILED": "#b3261e"}


def conditions(machine: MachineSpec, image: Image | ForeignImage) -> list[str]:
    """Return which of the conditions that a profile's rules name hold, sorted."""
    exact = machine.counts and not image.parts.has_medium
    foreign = bool(image.milestones)
    holds = {
        "foreign": foreign,
        "built": not foreign,
        "no network": not machine.network,
        "no login": foreign and image.login is None,
        "no exact time": not exact,
        "exact time": exact,
        "no exact power-off": not (exact and image.off_words),
        "exact power-off": bool(exact and image.off_words),
        "no lasting volumes": not any(row.get("mounts") for row in image.expect["onboot"].values()),
    }
    return sorted(name for name, is_so in holds.items() if is_so)


def budget_of(profile: Profile, machine: str, arch: str) -> Budget:
    """Return what a profile allows on a machine: of the size what a plan would allow, unless it says otherwise."""
    said = profile.limits(machine, arch)
    return said if said.size is not None else said.model_copy(update={"size": SIZE_BUDGET})


def certificate(
    profile: Profile,
    judged: Sequence[JudgedRequirement],
    holds: Collection[str],
    budget: Budget,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the certificate. `about` is what else it tells: the image, the machine, QEMU, the host, cases, figures."""
    return {
        "schema": SCHEMA,
        "result": result(judged),
        "harness": __version__,
        "profile": {
            "name": profile.name,
            "version": profile.version,
            "digest": profile.digest,
            "description": profile.description,
            "requirements": [one.model_dump(mode="json") for one in profile.requirements],
        },
        "conditions": list(holds),
        "budget": budget.model_dump(),
        "requirements": [one.to_json() for one in judged],
        "verdicts": counts(judged),
        **about,
    }


def lines(made: Mapping[str, Any]) -> Iterable[str]:
    """Yield a certificate as lines for a terminal."""
    width = max(len(row["id"]) for row in made["requirements"])
    for row in made["requirements"]:
        level = "" if row["level"] == "mandatory" else " (recommended)"
        why = f": {row['why']}" if row["why"] else ""
        yield f"{row['id']:{width}}  {row['verdict']}{level}{why}"
    profile = made["profile"]
    yield ""
    yield (
        f"{made['image']['name']} on {made['machine']['name']}, profile {profile['name']} {profile['version']} "
        f"({profile['digest'][:12]}): {WORDS[made['result']]}"
    )


def facts(made: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return what the page shows of a certificate beside its requirements, as its template wants facts."""
    exact, qemu = made["figures"]["exact"], made["qemu"]
    rows = [
        ("image", f"{made['image']['name']} for {made['image']['arch']}", False),
        ("size", f"{made['image']['size'] / 1e6:.2f} MB", False),
        ("machine", f"{made['machine']['name']} (sha256 {made['machine']['digest'][:12]})", False),
        ("exact time", f"{exact['ready']} ms" if exact["ready"] is not None else "none", False),
        ("budget", ", ".join(f"{name} {value:g}" for name, value in made["budget"].items() if value), False),
        ("QEMU", f"{qemu['version']} (sha256 {qemu['sha256'][:12]})" if qemu else "none: a board", False),
        ("cases", _changed(made["cases"]["changed"]), False),
        ("harness", made["harness"], False),
        ("profile", made["profile"]["digest"], True),
        ("signed by", key, True),
    ]
    return [{"name": name, "value": value, "code": code, "broad": code} for name, value, code in rows]


def _changed(names: Sequence[str] | None) -> str:
    if names is None:
        return "not known whether they are the harness's own"
    return f"changed: {', '.join(names)}" if names else "the harness's own, unchanged"


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
