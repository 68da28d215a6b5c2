"""`harness compare --pairs N`: wall boots of two images by turns on a noisy host, judged by a permutation test."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.build.settings import Settings
from harness.child import on_processor
from harness.commands.runs.sides import EXITS, CompareRequest, CompareSide, sides
from harness.errors import UserError
from harness.image import Bootable
from harness.launch import boot
from harness.measure.phases import READY, figures
from harness.measure.statistics import PairedComparison, compare_pairs, fewest_pairs
from harness.scratch import scratch
from harness.show.frame import progress
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions
from harness.system.record import BootRecord


@dataclass(frozen=True)
class FigureRow:
    """A figure of both sides: medians in ms of the host's clock, and what the pairs say of it."""

    figure: str
    before: float
    after: float
    found: PairedComparison


def run(request: CompareRequest, settings: Settings) -> int:
    """Boot by turns, compare, print; return the exit code that says better, same or worse."""
    if request.pairs < fewest_pairs():
        raise UserError(
            f"{request.pairs} pairs can show nothing", hint=f"--pairs {fewest_pairs()} at least; 30 find 10 %"
        )
    both = sides(request, settings)
    with scratch("compare") as folder:
        pairs = list(_pairs(both, request.pairs, folder))
    found = rows(pairs)
    ready = next(row for row in found if row.figure == READY)
    if request.as_json:
        made = {"answer": ready.found.verdict, "rows": [asdict(row) for row in found], "pairs": pairs}
        print(json.dumps(made, indent=1))
    else:
        for line in lines(found, request):
            print(line)
    return EXITS[ready.found.verdict]


def _pairs(
    both: tuple[CompareSide, CompareSide], count: int, out: Path
) -> Iterator[tuple[dict[str, int], dict[str, int]]]:
    for number in range(count):
        progress(f"pair {number + 1} of {count}")
        made = {}
        # whoever comes first may meet a colder host: they take turns
        for index in (0, 1) if number % 2 == 0 else (1, 0):
            made[index] = _wall(*both[index], out / f"{number}-{index}")
        yield made[0], made[1]


def _wall(image: Bootable, machine: MachineSpec, out: Path) -> dict[str, int]:
    with on_processor(max(os.sched_getaffinity(0))), boot(image, machine, BootOptions(mode="wall", out=out)) as system:
        system.wait_ready()
        return on_the_host(system.record)


def on_the_host(record: BootRecord) -> dict[str, int]:
    """Return a boot's figures by the host's clock, in µs; what comes before the kernel's first word is its own."""
    marks = tuple(replace(mark, guest_us=round(mark.said_s * 1e6), values={}) for mark in record.milestones)
    ready = next((mark.guest_us for mark in marks if mark.name == READY), None)
    return figures(replace(record, milestones=marks, ready_us=ready, power_on_us=None))


def rows(pairs: Sequence[tuple[Mapping[str, int], Mapping[str, int]]]) -> list[FigureRow]:
    """Compare every figure that all boots have, largest change first."""
    names = [name for name in pairs[0][0] if all(side.get(name, 0) > 0 for pair in pairs for side in pair)]
    found = [
        FigureRow(
            name,
            statistics.median(before[name] for before, _ in pairs) / 1000,
            statistics.median(after[name] for _, after in pairs) / 1000,
            compare_pairs([(before[name], after[name]) for before, after in pairs]),
        )
        for name in names
    ]
    return sorted(found, key=lambda row: -abs(row.after - row.before))


def lines(found: Sequence[FigureRow], request: CompareRequest) -> Iterator[str]:
    """Yield the comparison for people, and one sentence."""
    name = max(len(row.figure) for row in found)
    yield f"  {'figure':{name}} {'before':>10} {'after':>10} {'change':>8}  {'between':>17} {'p':>7}"
    for row in found:
        one = row.found
        mark = " " if one.verdict == "same" else "*"
        between = f"{percent(one.low)} to {percent(one.high)}"
        columns = f"{row.before:10.0f} {row.after:10.0f} {percent(one.ratio):>8}"
        yield f"{mark} {row.figure:{name}} {columns}  {between:>17} {one.p:7.4f}"
    ready = next(row.found for row in found if row.figure == READY)
    yield f"  ms of the host's clock, medians of {ready.n} boots each, by turns; * shown at {ready.alpha:g}"
    word = {"same": "boots as", "worse": "boots slower than", "better": "boots faster than"}[ready.verdict]
    between = f"between {percent(ready.low)} and {percent(ready.high)}"
    yield f"{request.after} {word} {request.before}: {percent(ready.ratio)} to ready, {between}."


def percent(ratio: float) -> str:
    """Return a ratio as the change that it is."""
    return f"{100 * (ratio - 1):+.1f}%" if ratio < 1000 else "any"
