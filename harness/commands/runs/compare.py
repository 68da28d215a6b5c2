"""`harness compare A B`: two images, builds, runs or machines side by side, and what makes the difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.build.settings import Settings
from harness.commands.runs.sides import EXITS, CompareRequest, sides
from harness.commands.scratch import scratch
from harness.errors import MachineError, UserError
from harness.image import MANIFEST, Bootable
from harness.launch.exact import exact_pair
from harness.measure.compare import STEPS, Change, Comparison, compare, ms, sentence
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, differing
from harness.measure.phases import figures
from harness.run.cells import shown, split
from harness.show.frame import progress
from harness.spec.models.machine import MachineSpec
from harness.suite.steps import step_figures, traced_boot
from harness.system.record import BootRecord

if TYPE_CHECKING:
    from harness.history import History

SHOWN = 12
RECORD = "record.json"


@dataclass(frozen=True)
class CellComparison:
    """One comparison: of which cell, and how its sides are called; what came of it; how the boots' keys differ."""

    cell: str
    names: tuple[str, str]
    comparison: Comparison
    differ: str
    calibrated: bool


def run(request: CompareRequest, settings: Settings) -> int:
    """Compare and print; return EXIT_OK for the same, EXIT_WORSE, EXIT_BETTER; worse wins where there are several."""
    if request.pairs:
        from harness.commands.runs import compare_wall

        return compare_wall.run(request, settings)
    found = list(_found(request, settings))
    if not found:
        raise UserError(
            "nothing could be compared", hint="exact figures that repeat, of the same image on the same machine"
        )
    answers = {one.comparison.answer for one in found}
    answer = next((name for name in ("worse", "better") if name in answers), "same")
    if request.as_json:
        print(json.dumps({"answer": answer, "cells": [_json(one) for one in found]}, indent=1))
    else:
        for one in found:
            print("\n".join(lines(one, shutil.get_terminal_size().columns)))
    return EXITS[answer]


def _found(request: CompareRequest, settings: Settings) -> Iterator[CellComparison]:
    if bootable(request.before) and bootable(request.after):
        yield _booted(request, settings)
        return
    if bootable(request.before) or bootable(request.after):
        raise UserError(
            "an image cannot be compared with a run", hint="two images (-m MACHINE), two runs or two records"
        )
    with Opened(request.history) as opened:
        before, after = (_cells(name, opened) for name in (request.before, request.after))
        yield from _paired(before, after, (request.before, request.after), opened)


def bootable(name: str) -> bool:
    """Say whether a side is an image: YAML files, or the folder of a built one."""
    path = Path(name)
    return (path / MANIFEST).is_file() or all(part.endswith((".yml", ".yaml")) for part in name.split("+"))


class Opened:
    """The history, opened when something asks it: who compares two folders may have none."""

    def __init__(self, where: str | None) -> None:
        self._where = where
        self._history: History | None = None

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        if self._history is not None:
            self._history.__exit__()

    def get(self) -> History:
        """Return it; UserError when there is none."""
        from harness.history import History

        if self._history is None:
            self._history = History.open(self._where, create=False)
        return self._history

    def floors(self, image: str, machine: str, key: Mapping[str, str]) -> Floors:
        """Return a cell's floors: not calibrated where there is no history."""
        from harness.history.floors import floors_of

        try:
            return floors_of(self.get(), image, machine, key=key)
        except UserError:
            return Floors()


def _booted(request: CompareRequest, settings: Settings) -> CellComparison:
    both = sides(request, settings)
    with scratch("compare") as folder, Opened(request.history) as opened:
        records = [_exact(*side, folder / name) for side, name in zip(both, "ab", strict=True)]
        floors = opened.floors(shown(split(request.before)[0]), both[0][1].name, records[0].key)
        made = [figures(record) for record in records]
        found = compare(made[0], made[1], floors)
        # a foreign OS has its milestones alone: it knows nothing of our words on the command line
        if (request.explain or made[0] != made[1]) and not any(side[0].milestones for side in both):
            for side, name, into in zip(both, "ab", made, strict=True):
                progress(f"{side[0].name} on {side[1].name}: once more, step by step")
                into.update(step_figures(*traced_boot(*side, folder / f"{name}-steps")))
            found = compare(made[0], made[1], floors)
    cell = " and ".join(dict.fromkeys(f"{image.name} on {machine.name}" for image, machine in both))
    names = request.before, request.after
    if len(request.machines) > 1:
        names = f"{request.before} on {both[0][1].name}", f"{request.after} on {both[1][1].name}"
    return CellComparison(cell, names, found, differing(records[0].key, records[1].key), floors.calibrated)


def _exact(image: Bootable, machine: MachineSpec, out: Path) -> BootRecord:
    progress(f"{image.name} on {machine.name}: two exact boots")
    pair = exact_pair(image, machine, out)
    if not pair.repeats:
        raise MachineError(
            f"{image.name} on {machine.name}: two exact boots: {pair.verdict}", hint="compare wall times: --pairs 30"
        )
    return pair.first


def _cells(name: str, opened: Opened) -> list[CellFigures]:
    """Return the cells of a results folder, a boot's record, a run of the history, or a baseline."""
    from harness.history import baselines

    path = Path(name)
    for file in (path, path / "results.json", path / RECORD):
        if file.is_file() and file.suffix == ".json":
            return _read(file, baselines.of_results)
    if path.exists():
        raise UserError(
            f"{name} is neither an image nor results", hint=f"it has no {MANIFEST}, results.json or {RECORD}"
        )
    return baselines.cells(opened.get(), name)


def _read(file: Path, of_results: Callable[[Any], list[CellFigures]]) -> list[CellFigures]:
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    if isinstance(data, dict) and "milestones" in data:
        record = BootRecord.from_json(data)
        if record.mode != "exact":
            raise UserError(f"{file} is the record of a wall boot", hint="harness boot --exact makes exact ones")
        return [CellFigures(record.image, record.machine, exact=figures(record), key=record.key)]
    return of_results(data)


def _paired(
    before: Sequence[CellFigures], after: Sequence[CellFigures], names: tuple[str, str], opened: Opened
) -> Iterator[CellComparison]:
    # two single cells are compared whatever they are called; of more, those of one name
    if len(before) == len(after) == 1:
        pairs = [(before[0], after[0])]
    else:
        known = {(cell.image, cell.machine): cell for cell in before}
        pairs = [(known[key], cell) for cell in after if (key := (cell.image, cell.machine)) in known]
    if not pairs:
        raise UserError("the two have no cell in common", hint="a cell is an image on a machine")
    for old, new in pairs:
        if why := old.why or new.why:
            progress(f"{new.image} on {new.machine}: not compared: {why}")
            continue
        floors = opened.floors(old.image, old.machine, old.key)
        found = compare(old.exact, new.exact, floors)
        yield CellComparison(
            f"{new.image} on {new.machine}", names, found, differing(old.key, new.key), floors.calibrated
        )


def lines(found: CellComparison, width: int) -> Iterator[str]:
    """Yield one comparison for people: what counts and the largest of the rest, then one sentence."""
    yield f"{found.cell}:"
    if found.differ:
        yield f"  these are boots of different experiments: {found.differ}"
    changes = _worth_showing(found.comparison.changes)
    name = max([len("figure"), *(len(change.figure) for change in changes)])
    name = max(12, min(name, width - 60))
    yield f"  {'figure':{name}} {'before':>11} {'after':>11} {'change ms':>11} {'':>8}  {'floor':>8}"
    for change in changes:
        share = f"{100 * change.us / change.before:+.2f}%" if change.before and change.after is not None else ""
        mark = "*" if change.counts else " "
        figure = change.figure if len(change.figure) <= name else f"{change.figure[: name - 1]}…"
        yield (f"{mark} {figure:{name}} {_ms(change.before):>11} {_ms(change.after):>11} {change.us / 1000:+11.3f} "
               f"{share:>8}  {change.floor / 1000:8.3f}")  # fmt: skip
    yield f"  * beyond its floor ({'calibrated' if found.calibrated else 'not calibrated here: harness calibrate'})"
    yield sentence(found.comparison, *found.names)


def _worth_showing(changes: Sequence[Change]) -> list[Change]:
    counting = [change for change in changes if change.counts]
    plain = [change for change in changes if not change.counts and change.us and not change.figure.startswith(STEPS)]
    return counting + plain[: max(0, SHOWN - len(counting))]


def _ms(us: int | None) -> str:
    return "-" if us is None else ms(us).removesuffix(" ms")


def _json(found: CellComparison) -> dict[str, Any]:
    one = found.comparison
    rows = [{"figure": change.figure, "before": change.before, "after": change.after, "us": change.us,
             "floor": change.floor, "counts": change.counts} for change in one.changes]  # fmt: skip
    return {"cell": found.cell, "answer": one.answer, "culprit": one.culprit.figure if one.culprit else None,
            "differ": found.differ, "calibrated": found.calibrated,
            "sentence": sentence(one, *found.names), "changes": rows}  # fmt: skip
