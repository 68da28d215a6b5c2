"""What the commands that boot share: what is to be booted, and how it is ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import api
from harness.build.settings import Settings
from harness.image import Bootable
from harness.show.frame import progress
from harness.spec.models.machine import MachineSpec
from harness.spec.rules.images import BOOTED
from harness.system import System


@dataclass(frozen=True)
class BootRequest:
    """What is to be done with the booted system. ``out`` keeps transcript and record (None: a temporary folder)."""

    exact: bool = False
    explain: bool = False
    command: str | None = None
    append: tuple[str, ...] = ()
    forwards: tuple[int, ...] = field(default=())
    timeout: float = 120.0
    out: Path | None = None
    as_json: bool = False
    runs: int = 1  # at most; more than one for medians
    disks: Path | None = None  # keeps the machine's disks
    within: float | None = None  # percent of the median: no more runs once ready is known that well


def image_of(name: str | Sequence[str], machine: MachineSpec, settings: Settings) -> Bootable:
    """Return what a name, or several words that are merged, stand for, to boot it; what has to be built is built."""
    return api.find_image(name, machine, settings=settings, report=progress)


def leave(image: Bootable, out: Path) -> None:
    """Say in the folder of a boot which image it was, so that the folder names it from then on."""
    (out / BOOTED).write_text(json.dumps({"image": str(image.path.absolute())}) + "\n")


def power_off(system: System) -> None:
    """Power off, and say so when a system that has its own ways to do so had to be ended."""
    if not system.power_off() and system.image.milestones:
        progress(f"{system.image.name} did not power off: its power was cut")
