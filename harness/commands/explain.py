"""`harness boot --explain`: where a boot's time goes, down to each initcall, module and service."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from harness.boot.exact import POWER_OFF, ExactPair, exact_pair
from harness.commands import waterfall
from harness.image import Image
from harness.measure import trace
from harness.measure.phases import Phase, phases, total_us
from harness.spec.model import MachineSpec
from harness.suite.steps import traced_boot

TRACED = "traced"


def explain(
    image: Image, machine: MachineSpec, out: Path, *, append: tuple[str, ...], timeout: float
) -> tuple[ExactPair, list[Phase]]:
    """Make two exact boots and a traced one; return the pair, and its phases with the traced one's steps in them."""
    pair = exact_pair(image, machine, out, append=(*append, *POWER_OFF), timeout=timeout)
    record, steps = traced_boot(image, machine, out / TRACED, append=append, timeout=timeout)
    return pair, trace.explained(phases(pair.first), phases(record), steps)


def show(pair: ExactPair, found: list[Phase], *, as_json: bool) -> None:
    """Print what `explain` returned."""
    record = pair.first
    if as_json:
        facts = {"repeats": pair.repeats, "moved": pair.moved, "ready_us": record.ready_us,
                 "total_us": total_us(record), "phases": [asdict(phase) for phase in found]}  # fmt: skip
        print(json.dumps(facts, indent=1))
        return
    print(f"{record.image} on {record.machine}, QEMU {record.qemu_version}; ms of the guest's clock, 0 is the kernel's")
    for line in waterfall.lines(found, shutil.get_terminal_size().columns, blocks=_blocks()):
        print(line)
    print("twice the same to the microsecond" if pair.repeats else f"NOT the same twice: {pair.moved} moved")


def _blocks() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
