"""`harness outdated`: what of an image is newer on the mirror, and what an update would change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.arch import Arch, by_name, parse_list
from harness.build import newer
from harness.build.mixedlock import Lock, mixed
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.runs.bisect import measured
from harness.commands.specs import read_image
from harness.errors import EXIT_CASES_FAILED, EXIT_OK, UserError
from harness.measure.compare import ms, signed
from harness.report.words import visible
from harness.scratch import scratch
from harness.show.frame import progress
from harness.spec.load import load_machine
from harness.spec.models.image import ImageSpec

FIGURE = "total"
ALL, SECURITY = "all", "security"  # which of the updates


@dataclass(frozen=True)
class OutdatedRequest:
    """For which architectures, and what else to measure: the size, or on which machines the exact time."""

    arches: str = ""
    size: bool = False
    machines: Sequence[str] = ()
    as_json: bool = False


def outdated(images: Sequence[str], settings: Settings, request: OutdatedRequest) -> int:
    """Say what of the image that `images` describe is newer on the mirror; return 1 where something differs there."""
    machines = {name: load_machine(name).arch for name in request.machines}
    arches = parse_list(request.arches) if request.arches else list(map(by_name, dict.fromkeys(machines.values())))
    for name, its in machines.items():
        if its not in {one.name for one in arches}:
            raise UserError(f"{name} is a machine for {its}, which is not asked about", hint=f"--arch {its}")
    spec = read_image(images, settings)
    found = {}
    for arch in arches or parse_list("host"):
        with scratch("outdated") as folder:
            asked = newer.ask(spec, arch, settings, folder, progress)
            after = _after(asked, arch, folder)
            row: dict[str, Any] = {"rows": [asdict(one) for one in asked.rows], "packages": asked.count}
            if request.size and asked.rows:
                row["size"] = _sizes(spec, arch, settings, after)
            row["exact"] = {
                name: _times("+".join(images), name, settings, after)
                for name, its in machines.items()
                if its == arch.name and asked.rows
            }
            found[arch.name] = row
            if not request.as_json:
                print("\n".join(map(visible, _said(arch, asked, row))))
    if request.as_json:
        print(json.dumps(found, indent=1))
    return EXIT_CASES_FAILED if any(row["rows"] for row in found.values()) else EXIT_OK


def _after(asked: newer.Asked, arch: Arch, folder: Path) -> dict[str, Path]:
    """Write the locks to measure, by what each has: what is held, all updates, those of security alone."""
    locks: dict[str, Lock] = {"held": asked.held, ALL: asked.newest}
    taken = asked.security(arch.name)
    if 0 < len(taken) < len(asked.rows):
        locks[SECURITY] = mixed(asked.held, asked.newest, arch.name, taken)
    paths = {name: folder / f"{name}-measured.lock" for name in locks}
    for name, path in paths.items():
        path.write_text(json.dumps(locks[name]))
    return paths


def _sizes(spec: ImageSpec, arch: Arch, settings: Settings, locks: dict[str, Path]) -> dict[str, int]:
    return {
        name: Builder(replace(settings, lock=lock, refresh=False), progress).build(spec, arch).size
        for name, lock in locks.items()
    }


def _times(image: str, machine: str, settings: Settings, locks: dict[str, Path]) -> dict[str, int]:
    return {
        name: measured(image, machine, FIGURE, replace(settings, lock=lock, refresh=False))
        for name, lock in locks.items()
    }


_NAMES = {ALL: "all of it", SECURITY: "what is for security alone"}


def _said(arch: Arch, asked: newer.Asked, row: dict[str, Any]) -> Iterator[str]:
    yield f"{arch.name}: {newer.summary(asked)}"
    for one in asked.rows:
        versions = one.before if one.before == one.after else f"{one.before or 'none'} → {one.after or 'none'}"
        notes = [one.kind] if one.kind not in ("newer", "image") else []
        yield "  ".join(["", one.name, versions, *notes, *([SECURITY] if one.security else [])])
    for name, words in _NAMES.items():
        sizes = row.get("size", {})
        if name in sizes:
            before, after = sizes["held"], sizes[name]
            yield f"{arch.name}: {words}: {after / 1e6:.3f} MB shipped ({(after - before) / 1e6:+.3f})"
        for machine, times in row["exact"].items():
            if name in times:
                yield f"{machine}: {words}: {FIGURE} {ms(times[name])} ({signed(times[name] - times['held'])})"
