"""`harness boot --runs N`: the wall times of many boots, as medians and how well each is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.board.pool import held
from harness.commands.images.bootable import BootRequest, power_off
from harness.errors import MachineError
from harness.image import Bootable
from harness.launch import boot as started
from harness.measure.medians import CONFIDENCE, Median, fewest, median
from harness.measure.phases import READY
from harness.show.frame import progress
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions, BootRecord


@dataclass(frozen=True)
class MilestoneRow:
    """A milestone that all boots came by: ms of the host's clock from power-on until it was said.

    ``line_ms`` is the median of what a serial line took besides; None where that is not known.
    """

    name: str
    ms: Median
    line_ms: float | None


def run(image: Bootable, machine: MachineSpec, out: Path, request: BootRequest) -> int:
    """Boot until `request` has its runs, or ready is known as well as it asks for; print every milestone's median."""
    records: list[BootRecord] = []
    with held(machine, what=f"{request.runs} boots of {image.name}"):
        while len(records) < request.runs and not _known(records, request.within):
            progress(f"boot {len(records) + 1} of {request.runs}")
            records.append(_boot(image, machine, out / f"{len(records) + 1:04}", request))
    found = rows(records)
    if request.as_json:
        narrow = None if request.within is None else _known(records, request.within)
        print(json.dumps({"image": image.name, "machine": machine.name, "runs": len(records), "within": request.within,
                          "narrow": narrow, "rows": [asdict(row) for row in found]}, indent=1))  # fmt: skip
    else:
        for line in lines(found, records, request.within):
            print(line)
    return 0


def _boot(image: Bootable, machine: MachineSpec, out: Path, request: BootRequest) -> BootRecord:
    """Boot once; a machine that fails as one is tried again, as often as its YAML says."""
    for number in range(1, machine.tries + 1):
        folder = out if number == 1 else out.with_name(f"{out.name}-{number}")
        options = BootOptions(mode="wall", out=folder, append=request.append, timeout=request.timeout)
        try:
            with started(image, machine, options) as system:
                system.wait_end()
                record = system.record
                power_off(system)
                return record
        except MachineError as error:
            if number == machine.tries:
                raise
            progress(f"{error.message}: once more")
    raise AssertionError("a machine is tried at least once")


def rows(records: Sequence[BootRecord]) -> list[MilestoneRow]:
    """Return the milestones that all boots have, in their order; of a name that comes twice, the first."""
    firsts = [{mark.name: mark for mark in reversed(record.milestones)} for record in records]
    names = [name for name in reversed(firsts[0]) if all(name in marks for marks in firsts)]
    found = []
    for name in names:
        marks = [boot[name] for boot in firsts]
        took = [mark.line_s * 1000 for mark in marks if mark.line_s is not None]
        line_ms = median(took).value if len(took) == len(marks) else None
        found.append(MilestoneRow(name, median([mark.said_s * 1000 for mark in marks]), line_ms))
    return found


def _known(records: Sequence[BootRecord], within: float | None) -> bool:
    if within is None or len(records) < fewest():
        return False
    return next((row.ms.within(within / 100) for row in rows(records) if row.name == READY), False)


def lines(found: Sequence[MilestoneRow], records: Sequence[BootRecord], within: float | None) -> Iterator[str]:
    """Yield the table for people, and a sentence about ready."""
    first = records[0]
    yield f"{first.image} on {first.machine}, {first.medium}: ms from power-on, medians of {len(records)} boots"
    name = max(len(row.name) for row in found)
    yield f"  {'milestone':{name}} {'median':>9}  {f'{CONFIDENCE:.0%} sure':>18}  {'line':>7}"
    for row in found:
        line = "" if row.line_ms is None else f"{row.line_ms:7.0f}"
        yield f"  {row.name:{name}} {row.ms.value:9.0f}  {between(row.ms):>18}  {line}".rstrip()
    if any(row.line_ms is not None for row in found):
        yield "line: what the serial line took besides, which is left out of the other columns"
    ready = next((row.ms for row in found if row.name == READY), None)
    if ready is None or ready.low is None:
        yield f"{len(records)} boots are too few to know how sure that is: --runs {fewest()} at least"
    elif within is not None:
        yield f"ready is{'' if ready.within(within / 100) else ' not'} known to {within:g} % after {len(records)} boots"


def between(ms: Median) -> str:
    """Return a median's interval in words."""
    return "not known" if ms.low is None or ms.high is None else f"{ms.low:.0f} to {ms.high:.0f}"
