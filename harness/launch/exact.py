"""Two exact boots of one image: the proof that the figure repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from harness.image import Bootable
from harness.launch.start import boot
from harness.spec.models.machine import MachineSpec
from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.record import BootRecord


@dataclass(frozen=True)
class ExactPair:
    """Two records of the same boot. ``moved`` names the first milestone that differs; empty when none does."""

    first: BootRecord
    second: BootRecord
    repeats: bool
    moved: str

    @property
    def verdict(self) -> str:
        """What the two boots show, in words."""
        if self.repeats:
            return "twice the same to the microsecond"
        if self.first.ready_us is None:
            return "no exact time: the line of `ready` bears no stamp of the kernel's (docs/foreign.md)"
        return f"NOT the same twice: {self.moved or 'some other line'} moved"


def _moment(mark: Milestone | None) -> tuple[object, ...]:
    return () if mark is None else (mark.name, mark.guest_us, mark.emulator_us, mark.values)


def moved(first: Sequence[Milestone], second: Sequence[Milestone]) -> str:
    """Return the name of the first milestone whose name, stamp or values differ; empty when none does."""
    for one, other in zip_longest(first, second):
        if _moment(one) != _moment(other):
            return (one or other).name
    return ""


def compare(first: BootRecord, second: BootRecord) -> ExactPair:
    """Return whether two exact boots agree: every milestone to the microsecond, and every byte up to ready."""
    what = moved(first.milestones, second.milestones)
    same = not what and first.console_sha256_ready == second.console_sha256_ready
    return ExactPair(first, second, repeats=same and first.ready_us is not None, moved=what)


def exact_boot(
    image: Bootable,
    machine: MachineSpec,
    out: Path,
    *,
    append: tuple[str, ...] = (),
    timeout: float = 120.0,
    multiplier: float = 1.0,
    seed: int = 1,
) -> BootRecord:
    """Boot once, unprobed and in exact time, until the machine is off; ImageError when it never was ready.

    An image that has no words to power off by itself is ended once it is ready.
    """
    words = (*append, *image.off_words)
    options = BootOptions(
        mode="exact", out=out, append=words, timeout=timeout, timeout_multiplier=multiplier, seed=seed
    )
    with boot(image, machine, options) as system:
        system.wait_ready()
        if image.off_words:
            system.wait_off()
        else:
            system.power_off()
        system.judge()
        return system.record


def exact_pair(
    image: Bootable,
    machine: MachineSpec,
    out: Path,
    *,
    append: tuple[str, ...] = (),
    timeout: float = 120.0,
    timeout_multiplier: float = 1.0,
) -> ExactPair:
    """Boot twice, one after the other, each to power-off (folders ``1`` and ``2`` of `out`), and compare.

    Raises what `boot` and its waits raise.
    """
    first, second = (
        exact_boot(image, machine, out / name, append=append, timeout=timeout, multiplier=timeout_multiplier)
        for name in ("1", "2")
    )
    return compare(first, second)
