"""Writes runs into the tables, many at a time: what is inside of a transaction is there whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, tuple_

from harness.history import projects
from harness.history.keys import digest, facts
from harness.history.record import CellRecord, RunLine
from harness.history.tables import Baseline, BootRow, InputSet, RunRow, SeriesRow, Value

BATCH = 200  # runs: a round trip to the server for that many, and some ten thousand values in memory
ACCEPTED = ("image", "machine", "reason", "who", "when")  # what there is to a baseline
Order = Literal["clock", "given", "newest"]
SeriesKey = tuple[str, str, str, str, str, str]  # what makes a series one: image, machine, arch, mode, figure, key


class Writer:
    """Writes on one connection, which holds the lock of `schema.lock`; knows the series that it has seen."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._series: dict[SeriesKey, int] = {}
        self._known: set[tuple[str, str]] = set()  # images and machines whose series are in `_series`
        self._owners: dict[str, str] = {}  # of each image the project that had it first
        self._inputs: set[str] = set()  # digests of the sets that are there

    def write(self, lines: Iterable[RunLine], *, again: bool = False, order: Order = "clock") -> int:
        """Write the runs that are not there yet; return how many those were.

        Of a run that is there the cells are added which it lacks: it was taken up again. With `again` what comes takes
        the place of what is there. `order`: by their clocks alone; as they are `given`, whatever a clock says; or,
        of a night that has just ended, after all that is there (`newest`).
        """
        least = None if order == "clock" else 0
        if order == "newest":
            least = self.connection.scalar(select(func.max(RunRow.at))) or 0
        count = 0
        for batch in _batches(lines):
            new, least = self._batch(batch, again, least)
            count += new
        return count

    def _batch(self, batch: Sequence[RunLine], again: bool, least: int | None) -> tuple[int, int | None]:
        """Write some runs, none before `least` where that is given; return how many were new, and what is least now."""
        lines: dict[str, RunLine] = {}
        for line in self._called(batch):
            lines.setdefault(line.run, line)
        found = self.connection.execute(select(RunRow.uid, RunRow.id, RunRow.at).where(RunRow.uid.in_(lines))).all()
        ids, places = {row[0]: row[1] for row in found}, {row[0]: row[2] for row in found}
        for line in lines.values():
            places.setdefault(line.run, line.at if least is None else max(line.at, least))
            least = least if least is None else max(least, places[line.run])
        self._more([line for line in lines.values() if line.run in ids], ids, places, again)
        new = [line for line in lines.values() if line.run not in ids and line.cells]
        if new:
            new.sort(key=lambda line: places[line.run])
            runs = self._insert(RunRow, [_run(line, places[line.run]) for line in new])
            ids |= dict(zip((line.run for line in new), runs, strict=True))
            self._boots([(ids[line.run], places[line.run], cell) for line in new for cell in line.cells])
        self._accept(ids, batch)
        return len(new), least

    def _called(self, batch: Sequence[RunLine]) -> Iterator[RunLine]:
        """Yield runs with their images as the history calls them, whichever project had a path first."""
        wanted = {cell.image for line in batch if line.source.project for cell in line.cells} - self._owners.keys()
        if wanted:
            self._owners |= dict.fromkeys(wanted, "") | projects.owners(self.connection, wanted)
        for line in batch:
            project = line.source.project
            names = {cell.image: projects.called(project, cell.image, self._owners.get(cell.image, ""))
                     for cell in line.cells}  # fmt: skip
            if project:
                self._owners |= {name: self._owners.get(name) or project for name in names.values()}
            cells = [cell.model_copy(update={"image": names[cell.image]}) for cell in line.cells]
            yield line.model_copy(update={"cells": cells}) if any(one != name for one, name in names.items()) else line

    def _more(self, known: Sequence[RunLine], ids: dict[str, int], places: dict[str, int], again: bool) -> None:
        """Write the cells that a run lacks; with `again` all of them, over those that are there."""
        query = select(BootRow.run_id, BootRow.image, BootRow.machine, BootRow.id).where(
            BootRow.run_id.in_([ids[line.run] for line in known])
        )
        there = {(row[0], row[1], row[2]): row[3] for row in self.connection.execute(query)} if known else {}
        cells = [(ids[line.run], places[line.run], cell) for line in known for cell in line.cells]
        if again:
            old = [there[key] for run, _, cell in cells if (key := (run, cell.image, cell.machine)) in there]
            for table, column in ((Value, Value.boot_id), (BootRow, BootRow.id)):
                self.connection.execute(delete(table).where(column.in_(old)))
            there = {}
        if more := [one for one in cells if (one[0], one[2].image, one[2].machine) not in there]:
            self._boots(more)

    def _boots(self, cells: Sequence[tuple[int, int, CellRecord]]) -> None:
        """Write cells, each with its run and the run's place in the order."""
        self._add_inputs({digest(cell.inputs): facts(cell.inputs) for _, _, cell in cells if cell.inputs})
        boots = self._insert(BootRow, [_boot(run, cell) for run, _, cell in cells])
        self._see({(cell.image, cell.machine) for _, _, cell in cells})
        values = [(name, at, boot, value, key) for boot, (_, at, cell) in zip(boots, cells, strict=True)
                  for name, value, key in _values(cell)]  # fmt: skip
        self._add({name: key for name, _, _, _, key in values if name not in self._series})
        self.connection.execute(
            insert(Value),
            [
                {"series_id": self._series[name], "at": at, "boot_id": boot, "value": value}
                for name, at, boot, value, _ in values
            ],
        )

    def _add_inputs(self, sets: dict[str, str]) -> None:
        wanted = sets.keys() - self._inputs
        if not wanted:
            return
        there = self.connection.scalars(select(InputSet.digest).where(InputSet.digest.in_(wanted)))
        new = wanted - set(there)
        if new:
            self.connection.execute(insert(InputSet), [{"digest": one, "facts": sets[one]} for one in sorted(new)])
        self._inputs |= wanted

    def _accept(self, ids: dict[str, int], batch: Sequence[RunLine]) -> None:
        """Write the baselines that are not there yet, also those of runs that are."""
        wanted = [(ids[line.run], *(getattr(one, name) for name in ACCEPTED)) for line in batch if line.run in ids
                  for one in line.baselines]  # fmt: skip
        if not wanted:
            return
        columns = (Baseline.run_id, *(getattr(Baseline, name) for name in ACCEPTED))
        query = select(*columns).where(Baseline.run_id.in_({row[0] for row in wanted}))
        there = {tuple(row) for row in self.connection.execute(query)}
        rows = [dict(zip(("run_id", *ACCEPTED), row, strict=True)) for row in dict.fromkeys(wanted) if row not in there]
        if rows:
            self.connection.execute(insert(Baseline), rows)

    def _insert(
        self, table: type[RunRow] | type[BootRow] | type[SeriesRow], rows: list[dict[str, Any]]
    ) -> Sequence[int]:
        """Insert rows and return their ids in the same order."""
        return self.connection.scalars(insert(table).returning(table.id, sort_by_parameter_order=True), rows).all()

    def _see(self, cells: set[tuple[str, str]]) -> None:
        wanted = cells - self._known
        if not wanted:
            return
        columns = (SeriesRow.image, SeriesRow.machine, SeriesRow.arch, SeriesRow.mode, SeriesRow.figure, SeriesRow.key)
        rows = self.connection.execute(
            select(*columns, SeriesRow.id).where(tuple_(SeriesRow.image, SeriesRow.machine).in_(sorted(wanted)))
        )
        self._series |= {(row[0], row[1], row[2], row[3], row[4], row[5]): row[6] for row in rows}
        self._known |= wanted

    def _add(self, names: dict[SeriesKey, str]) -> None:
        if not names:
            return
        rows = [
            {"image": name[0], "machine": name[1], "arch": name[2], "mode": name[3], "figure": name[4], "key": name[5],
             "facts": key} for name, key in names.items()
        ]  # fmt: skip
        self._series |= dict(zip(names, self._insert(SeriesRow, rows), strict=True))


def _batches(lines: Iterable[RunLine]) -> Iterator[list[RunLine]]:
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _run(line: RunLine, at: int) -> dict[str, Any]:
    return {"uid": line.run, "at": at, "when": line.when, "harness": line.harness, "plan": line.plan,
            "note": line.note, "ack": line.ack, **line.source.model_dump()}  # fmt: skip


def _boot(run: int, cell: CellRecord) -> dict[str, Any]:
    return {"run_id": run, "image": cell.image, "machine": cell.machine, "arch": cell.arch, "spec": cell.spec,
            "inputs": digest(cell.inputs)}  # fmt: skip


def _values(cell: CellRecord) -> Iterator[tuple[SeriesKey, int, str]]:
    """Yield each figure of a cell: its series, its value, and the series' key as JSON."""
    for group in cell.measured:
        key, text = digest(group.key), facts(group.key)
        for figure, value in group.figures.items():
            yield (cell.image, cell.machine, cell.arch, group.mode, figure, key), value, text
