"""After an update of QEMU: last night's image boots once under the new one, so that a series goes on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.build.kept import image_of
from harness.errors import HarnessError, UserError
from harness.history import History
from harness.history.keys import digest, now, pairs_of
from harness.history.record import CellRecord, CommitRecord, Measured, RunLine
from harness.launch.exact import exact_boot
from harness.measure.blame import BYTES
from harness.measure.gate import OF_THE_IMAGE, differing
from harness.measure.phases import READY, figures
from harness.measure.series import Point, Series
from harness.patience import HISTORY_S, within
from harness.run.inputs import RunInputs
from harness.run.results_model import CellResult, Results
from harness.scratch import scratch
from harness.spec.models.machine import MachineSpec


def before_adding(where: str | None, cache: Path, read: RunInputs, found: Results) -> Iterator[str]:
    """Boot what was measured last under another QEMU once under tonight's, and add that before the night; yield notes.

    It stands in the history as a run of the older commit, with a note. Where its image is no longer in the cache the
    series begins anew, which is noted too.
    """
    if len(read.cells) != len(found.cells):
        return
    try:
        for last, row, machine in within(HISTORY_S, "the history", lambda: _wanted(where, read, found)):
            yield _bridged(where, cache, last, row, machine)
    except HarnessError as error:
        yield f"no series was bridged: {error.message}"


@dataclass(frozen=True)
class LastMeasured:
    """What a cell's older series ends with, and what it was made of."""

    head: Series
    key: Mapping[str, str]
    point: Point
    inputs: Mapping[str, str]


def _wanted(where: str | None, read: RunInputs, found: Results) -> list[tuple[LastMeasured, CellResult, MachineSpec]]:
    try:
        opened = History.open(where, create=False)
    except UserError:  # there is none yet
        return []
    with opened:
        pairs = pairs_of(opened.as_known(found).cells)
        rows = [(_last(opened, name, row), row, planned.machine)
                for planned, (name, row) in zip(read.cells, pairs, strict=True)]  # fmt: skip
    return [(last, row, machine) for last, row, machine in rows if last]


def _last(opened: History, name: str, row: CellResult) -> LastMeasured | None:
    """Return the older series of a cell whose key is new tonight by more than what the image brings, and its end."""
    key = row.boot.exact.key
    if not row.exact_repeats or not key:
        return None
    heads = [head for head in opened.series(name, row.machine, "exact", READY) if head.image == name]
    if not heads or any(head.key == digest(key) for head in heads):
        return None
    old = opened.key(heads[0])
    if any(old.get(part) != key.get(part) for part in OF_THE_IMAGE):
        return None
    for point in opened.values(heads[0], 1).points:
        return LastMeasured(heads[0], old, point, opened.inputs([point.inputs]).get(point.inputs, {}))
    return None


def _bridged(where: str | None, cache: Path, last: LastMeasured, row: CellResult, machine: MachineSpec) -> str:
    head, point, key = last.head, last.point, row.boot.exact.key
    cell = f"{head.image} on {head.machine}"
    apart = differing(last.key, key)
    image = image_of(cache, last.inputs.get(BYTES, ""), last.key.get("cmdline", ""))
    if image is None:
        return f"{cell}: {apart}; the image of run {point.run[:8]} is no longer in the cache: its series begin anew"
    with scratch("bridge") as folder:
        record = exact_boot(image, machine, Path(folder))
    if record.key != key:
        return f"{cell}: {apart}; the image of run {point.run[:8]} does not boot alike: its series begin anew"
    note = f"the image of run {point.run[:8]} under another QEMU: {apart}"
    cells = [CellRecord(image=head.image, machine=head.machine, arch=head.arch, spec=point.spec,
                        inputs=dict(last.inputs),
                        measured=[Measured(mode="exact", key=key, figures=figures(record))])]  # fmt: skip
    source = CommitRecord(commit=point.commit, subject=point.subject, changed=point.changed)
    line = RunLine(run=uuid.uuid4().hex, when=now(), harness=point.harness, source=source, note=note, cells=cells)

    def add() -> None:
        with History.open(where) as opened:
            opened.add_all([line], again=True)

    within(HISTORY_S, "the history", add)
    return f"{cell}: bridged, {note}"
