"""What the commands that boot share: what is to be booted, and how it is ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.arch import by_name
from harness.build.settings import Settings
from harness.commands.specs import read_image
from harness.errors import UserError
from harness.image import MANIFEST, Bootable, ForeignImage, Image
from harness.show.frame import progress
from harness.spec import is_os, load_os
from harness.spec.models.machine import MachineSpec
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


def image_of(images: Sequence[Path], machine: MachineSpec, settings: Settings) -> Bootable:
    """Return what `images` describe (YAML files merged in order, one built folder, or a foreign OS's YAML) to boot it.

    What has to be built is built for the machine's architecture.
    """
    if len(images) == 1 and images[0].is_dir():
        image = Image(images[0])
        if image.arch.name != machine.arch:
            raise UserError(f"{images[0]} is built for {image.arch.name}, {machine.name} is {machine.arch}",
                            hint=f"{MANIFEST} says what an image is for")  # fmt: skip
        return image
    if len(images) == 1 and is_os(images[0]):
        return ForeignImage(load_os(images[0]))
    from harness.build.pipeline import Builder

    return Builder(settings, progress=progress).build(read_image(images, settings), by_name(machine.arch))


def power_off(system: System) -> None:
    """Power off, and say so when a system that has its own ways to do so had to be ended."""
    if not system.power_off() and system.image.milestones:
        progress(f"{system.image.name} did not power off: its power was cut")
