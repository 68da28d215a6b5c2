"""A boot of its own that tells who had the processor when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.image import Bootable
from harness.launch.exact import exact_boot
from harness.measure import account, trace
from harness.measure.compare import CPU
from harness.spec.models.machine import MachineSpec
from harness.system.folder import BootFolder
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
) -> tuple[BootRecord, list[account.Stretch]]:
    """Boot once in exact time with the kernel's trace on; return its record, and who had the processor when."""
    words = (*append, *trace.APPEND)
    record = exact_boot(image, machine, out, append=words, timeout=timeout, multiplier=multiplier, seed=seed)
    return record, stretches(out, record)


def stretches(out: Path, record: BootRecord) -> list[account.Stretch]:
    """Return who had the processor, of the traced boot whose console is in `out`; ImageError when it lacks that."""
    events = trace.events(BootFolder(out).console.read_bytes())
    return account.stretches(events, record.ready_us) if record.ready_us is not None else []


def step_figures(found: Sequence[account.Stretch]) -> dict[str, int]:
    """Return each owner's µs as figures, of what `traced_boot` returned."""
    return {f"{CPU}{owner}": us for owner, us in account.totals(found).items()}
