"""After a night: the floors that nobody has measured yet, as many as a plan's minutes allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.build.settings import Settings
from harness.commands.nights.watch import Deadline
from harness.errors import HarnessError
from harness.history import History
from harness.history.floors import floors_of, set_floor
from harness.history.keys import pairs_of
from harness.launch import shakes
from harness.measure.floor import measure
from harness.measure.phases import figures
from harness.patience import HISTORY_S, within
from harness.run.inputs import RunInputs
from harness.run.results_model import CellResult, Results
from harness.scratch import scratch
from harness.show.frame import progress
from harness.spec.models.image import ImageSpec
from harness.spec.models.machine import MachineSpec

MINUTE_S = 60.0
Late = Callable[[], bool]
Wanted = tuple[str, CellResult, ImageSpec, MachineSpec]  # by which name the history knows a cell, and what it boots


def after_run(
    read: RunInputs, found: Results, settings: Settings, where: str | None, *, minutes: float, until: Deadline | None
) -> Iterator[str]:
    """Calibrate cells whose exact times have no floor yet, within `minutes` and the deadline; yield what to note.

    A cell that is begun and cannot be finished in time has none: it comes first the next time.
    """
    end = time.monotonic() + minutes * MINUTE_S

    def late() -> bool:
        return time.monotonic() >= end or (until is not None and until.has_come())

    if len(read.cells) != len(found.cells):
        return
    try:
        wanted = within(HISTORY_S, "the history", lambda: _wanted(where, read, found))
        left = list(wanted)
        for one in wanted:
            if late() or not _calibrated(where, one, settings, late):
                break
            left.remove(one)
            yield f"calibrated: {one[0]} on {one[1].machine}"
    except HarnessError as error:
        yield f"no floor was measured: {error.message}"
        return
    if left:
        yield f"not calibrated, for {minutes:g} min were over: {_named(left)}"


def _named(cells: Sequence[Wanted]) -> str:
    return ", ".join(f"{name} on {row.machine}" for name, row, _, _ in cells)


def _wanted(where: str | None, read: RunInputs, found: Results) -> list[Wanted]:
    made = []
    with History.open(where, create=False) as opened:
        for planned, (name, row) in zip(read.cells, pairs_of(opened.as_known(found).cells), strict=True):
            spec, key = read.images[planned.image], row.boot.exact.key
            known = not key or floors_of(opened, name, row.machine, key=key).calibrated
            if row.exact_repeats and not known and isinstance(spec, ImageSpec):
                made.append((name, row, spec, planned.machine))
    return made


def _calibrated(where: str | None, one: Wanted, settings: Settings, late: Late) -> bool:
    """Measure the floors of a cell and keep them; False when it became late before they were all there."""
    name, row, spec, machine = one
    measured: dict[str, dict[str, int]] = {}
    with scratch("calibrate") as folder:
        for shake, record in shakes.boots(spec, machine, settings, Path(folder)):
            measured[shake.what] = figures(record)
            progress(f"calibrating {name} on {row.machine}: {len(measured)}/{len(shakes.SHAKES)}")
            if late() and len(measured) < len(shakes.SHAKES):
                return False
    floors, how = measure(measured.values()), shakes.how_measured(len(measured))

    def keep() -> None:
        with History.open(where) as opened:
            set_floor(opened, name, row.machine, floors, key=row.boot.exact.key, how=how)

    within(HISTORY_S, "the history", keep)
    return True
