"""A boot of its own that tells its steps: each initcall, module, and service by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.image import Bootable
from harness.launch.exact import exact_boot
from harness.measure import trace
from harness.measure.phases import Phase, alone
from harness.spec.models.machine import MachineSpec
from harness.system.record import BootRecord


def traced_boot(
    image: Bootable,
    machine: MachineSpec,
    out: Path,
    *,
    append: tuple[str, ...] = (),
    timeout: float = 120.0,
    multiplier: float = 1.0,
    seed: int = 1,
) -> tuple[BootRecord, list[Phase]]:
    """Boot once in exact time with the kernel's trace on, and services one after another; return its steps with it."""
    words = (*append, *trace.APPEND)
    record = exact_boot(image, machine, out, append=words, timeout=timeout, multiplier=multiplier, seed=seed)
    return record, trace.steps(trace.events((out / "console.raw").read_bytes()))


def step_figures(record: BootRecord, steps: Sequence[Phase]) -> dict[str, int]:
    """Return the µs of each step and of each service by itself, of what `traced_boot` returned."""
    return trace.totals(steps) | alone(record)
