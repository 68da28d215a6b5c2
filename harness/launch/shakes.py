"""Boots of one image that differ in nothing that matters: what their figures range over is no change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.build.turned import TurnedRoot
from harness.launch.perturb import PLAIN, Perturbation, perturbed_boot
from harness.spec.models.image import ImageSpec
from harness.spec.models.machine import MachineSpec
from harness.system.record import BootRecord


@dataclass(frozen=True)
class Shake:
    """A perturbation and its name: QEMU's seed, the command line's length, or the order of the root's files."""

    what: str
    how: Perturbation = PLAIN


BASE = Shake("as it is")
SHAKES = (
    BASE,
    *(Shake(f"seed {seed}", Perturbation(seed=seed)) for seed in (2, 3)),
    *(Shake(f"command line {size} longer", Perturbation(padding=size)) for size in (8, 32, 100, 300)),
    *(Shake(f"files turned by {turn} %", Perturbation(turn=turn)) for turn in (12, 25, 37, 50, 62, 75, 87)),
)


def boots(spec: ImageSpec, target: MachineSpec, settings: Settings, out: Path) -> Iterator[tuple[Shake, BootRecord]]:
    """Boot an image under each perturbation in turn."""
    image = Builder(settings).build(spec, by_name(target.arch))
    turned = TurnedRoot(image.parts.initrd, image.manifest, out / "root")
    for number, shake in enumerate(SHAKES):
        yield shake, perturbed_boot(image, target, out / str(number), shake.how, turned)


def how_measured(count: int) -> str:
    """Return in words how floors were measured by `count` boots."""
    return f"range of {count} boots: seeds, command line, order of files"
