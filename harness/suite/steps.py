"""A boot of its own that tells its steps: each initcall, module, and service by itself."""

from __future__ import annotations

from pathlib import Path

from harness.boot.exact import exact_boot
from harness.boot.record import BootRecord
from harness.image import Bootable
from harness.measure import trace
from harness.measure.phases import Phase, alone
from harness.spec.model import MachineSpec

Figures = dict[str, int]


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
    """Boot once in exact time with the kernel's trace on; return the record and the kernel's steps."""
    words = (*append, *trace.APPEND)
    record = exact_boot(image, machine, out, append=words, timeout=timeout, multiplier=multiplier, seed=seed)
    return record, trace.steps(trace.events((out / "console.raw").read_bytes()))


def step_figures(
    image: Bootable,
    machine: MachineSpec,
    out: Path,
    *,
    append: tuple[str, ...] = (),
    timeout: float = 120.0,
    multiplier: float = 1.0,
    seed: int = 1,
) -> Figures:
    """Boot once with the kernel's trace on and services one after another; return the µs of each step and service."""
    record, steps = traced_boot(image, machine, out, append=append, timeout=timeout, multiplier=multiplier, seed=seed)
    return trace.totals(steps) | alone(record)
