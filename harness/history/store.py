"""The history: what every run has measured, kept in a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from harness.errors import HostError, UserError
from harness.history import keys, schema
from harness.history import place as places
from harness.history.place import DatabaseAddress
from harness.history.tables import BootRow, InputSet, RunRow, SeriesRow, Value
from harness.measure import gate
from harness.measure import series as measured

if TYPE_CHECKING:
    from harness.history.record import RunLine
    from harness.run.results_model import Results

LATEST = "latest"
MODES = ("exact", "wall", "size")
LEAST = 4  # letters of a run's id
AT_ONCE = 500  # series that one statement names: databases have a limit


@dataclass(frozen=True)
class RunHead:
    """A run without its figures. ``when`` is UTC, ``changed``: its files were not those of the commit.

    ``note`` is what a person wrote of it, ``ack`` why the change that came with it is accepted.
    """

    run: str
    when: str
    harness: str
    plan: str
    commit: str
    subject: str
    changed: bool
    id: int = 0
    note: str = ""
    ack: str = ""
    project: str = ""


HEAD = (RunRow.uid, RunRow.when, RunRow.harness, RunRow.plan, RunRow.commit, RunRow.subject, RunRow.changed, RunRow.id,
        RunRow.note, RunRow.ack, RunRow.project)  # fmt: skip


# what stood behind a point, after its value
BEHIND = (RunRow.commit, RunRow.subject, BootRow.spec, RunRow.changed, BootRow.inputs, RunRow.harness, RunRow.ack)


def point(row: Any) -> measured.Point:
    """Return the point that a row is of: its run, when that began, its value, and BEHIND."""
    return measured.Point(*row)


def head(row: Any) -> RunHead:
    """Return the run that a row of HEAD's columns is of."""
    return RunHead(row[0], row[1], row[2], row[3] or "", row[4], row[5], row[6], row[7], row[8], row[9], row[10])


class History:
    """A history in a database; ``with History.open() as history``.

    What goes wrong in the database is a HostError, what is wrong with what it was given a UserError.
    """

    def __init__(self, engine: Engine, place: DatabaseAddress) -> None:
        self.engine = engine
        self.place = place

    @classmethod
    def open(cls, wanted: str | None = None, *, create: bool = True) -> History:
        """Open the history at `wanted` (a path or an URL), else at HARNESS_HISTORY, else the user's own.

        Makes or upgrades its tables. With `create` false a file that is not there is a UserError.
        """
        place = places.find(wanted)
        if place.file is not None and not place.file.exists():
            if not create:
                raise UserError(
                    f"there is no history yet: {place.text}",
                    hint="every `harness matrix` adds to it; `harness history import` takes older results",
                )
            _make_folder(place, place.file.parent)
        engine = places.engine(place)
        try:
            with _explaining(place, "open"):
                schema.bring_up(engine, place.text)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, place)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read with."""
        with _explaining(self.place, "read"), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection to write with, alone; all of it is written at the end, or nothing."""
        with _explaining(self.place, "write"):
            with self.engine.connect().execution_options(writing=True) as connection, connection.begin():
                schema.lock(connection)
                yield connection

    def add(self, results: Results, *, again: bool = False) -> bool:
        """Add a run's results; False when it is there already or has measured nothing.

        Of a run that is there the cells are added which it lacks. With `again` it is a night that has just ended: all
        its cells take the place of those there, and it is the newest run whatever this host's clock says.
        """
        from harness.history.record import of_results

        return self.add_all([of_results(results)], again=again) > 0

    def add_all(self, lines: Iterable[RunLine], *, again: bool = False) -> int:
        """Add `record.RunLine`s in one transaction (see `add`); return how many were new."""
        from harness.history.writing import Writer

        with self.writing() as connection:
            return Writer(connection).write(lines, again=again, order="newest" if again else "clock")

    def as_known(self, results: Results) -> Results:
        """Return a run with its images under the paths by which the history knows them (`projects`)."""
        from harness.history.projects import as_known

        with self.reading() as connection:
            return as_known(connection, results)

    def runs(self, last: int | None = None) -> list[RunHead]:
        """Return the runs, oldest first; only the `last` ones when given."""
        with self.reading() as connection:
            rows = connection.execute(select(*HEAD).order_by(RunRow.at.desc(), RunRow.id.desc()).limit(last)).all()
        return [head(row) for row in reversed(rows)]

    def run(self, name: str) -> RunHead:
        """Return the run whose id begins with `name`, or the ``latest``; UserError when it is none or not the only.

        Where the history has several projects, and the current folder is of one of them, the latest is that one's.
        """
        query = select(*HEAD).order_by(RunRow.at.desc(), RunRow.id.desc()).limit(2)
        if name == LATEST:
            if project := self._project():
                query = query.where(RunRow.project == project)
        else:
            if len(name) < LEAST:
                raise UserError(f"{name!r} is too short for a run", hint=f"{LATEST}, or {LEAST} letters of its id")
            query = query.where(RunRow.uid.startswith(name, autoescape=True))
        with self.reading() as connection:
            rows = connection.execute(query).all()
        if not rows:
            raise UserError(f"the history {self.place.text} has no run {name}", hint="harness history --runs")
        if len(rows) > 1 and name != LATEST and rows[0][0] != name:
            raise UserError(f"more than one run begins with {name}", hint="more letters of its id")
        return head(rows[0])

    def _project(self) -> str:
        """Return the project of the current folder, where the history has runs of it and of others."""
        from harness.run import revision

        with self.reading() as connection:
            known = set(connection.scalars(select(RunRow.project).distinct()))
        here = revision.project(Path.cwd()) if len(known) > 1 else ""
        return here if here in known else ""

    def cells(self, run: RunHead) -> list[gate.CellFigures]:
        """Return the exact figures and the sizes of a run's cells."""
        found: dict[tuple[str, str], gate.CellFigures] = {}
        query = (
            select(BootRow.image, BootRow.machine, SeriesRow.mode, SeriesRow.figure, SeriesRow.facts, Value.value)
            .add_columns(BootRow.inputs)
            .join(SeriesRow, (SeriesRow.image == BootRow.image) & (SeriesRow.machine == BootRow.machine))
            .join(Value, (Value.series_id == SeriesRow.id) & (Value.boot_id == BootRow.id))
            .join(RunRow, (RunRow.id == BootRow.run_id) & (RunRow.at == Value.at))
            .where(BootRow.run_id == run.id)
            .order_by(BootRow.id, SeriesRow.id)
        )
        with self.reading() as connection:
            rows = connection.execute(query).all()
            made_of = self.inputs(row[-1] for row in rows)
            for image, machine, mode, figure, facts, value, inputs in rows:
                cell = found.setdefault(
                    (image, machine), gate.CellFigures(image, machine, run=run.run, inputs=made_of.get(inputs, {}))
                )
                if mode == "size":
                    cell = replace(cell, sizes={**cell.sizes, figure: value})
                elif mode == "exact":
                    cell = replace(cell, exact={**cell.exact, figure: value}, key=keys.parsed(facts))
                found[image, machine] = cell
        return list(found.values())

    def series(
        self, image: str | None = None, machine: str | None = None, mode: str | None = None, figure: str | None = None
    ) -> list[measured.Series]:
        """Return the series there are, without points: by image, machine and figure, the newest key first.

        `image` is a path as results have it, or its name: ``minimal`` for cases/images/minimal.yml.
        """
        newest = select(func.max(Value.at)).where(Value.series_id == SeriesRow.id).scalar_subquery()
        query = select(
            SeriesRow.image,
            SeriesRow.machine,
            SeriesRow.arch,
            SeriesRow.mode,
            SeriesRow.figure,
            SeriesRow.key,
            SeriesRow.id,
            newest,
        )
        for column, wanted in ((SeriesRow.machine, machine), (SeriesRow.mode, mode), (SeriesRow.figure, figure)):
            if wanted is not None:
                query = query.where(column == wanted)
        with self.reading() as connection:
            rows = [row for row in connection.execute(query).all() if image is None or names(row[0], image)]
        first: dict[tuple[str, ...], int] = {}
        for row in sorted(rows, key=lambda row: row[6]):  # so that figures are in a boot's order, whatever their keys
            first.setdefault((*row[:5],), row[6])
        rows.sort(key=lambda row: (*row[:3], MODES.index(row[3]), first[(*row[:5],)], -(row[7] or 0), -row[6]))
        return [measured.Series(*row[:6]) for row in rows]

    def values(self, head: measured.Series, last: int | None = None) -> measured.Series:
        """Return a series with its points, oldest first; only the `last` ones when given."""
        which = select(SeriesRow.id).where(*same(head)).scalar_subquery()
        query = (
            select(RunRow.uid, RunRow.when, Value.value, *BEHIND)
            .select_from(Value)
            .join(BootRow, BootRow.id == Value.boot_id)
            .join(RunRow, RunRow.id == BootRow.run_id)
            .where(Value.series_id == which)
            .order_by(Value.at.desc(), Value.boot_id.desc())
            .limit(last)
        )
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return replace(head, points=tuple(map(point, reversed(rows))))

    def values_of(self, heads: Iterable[measured.Series], last: int) -> list[measured.Series]:
        """Return many series with their `last` points each, in as few statements as there are hundreds of them."""
        wanted = list(heads)
        found: dict[measured.Series, list[measured.Point]] = {head: [] for head in wanted}
        for start in range(0, len(wanted), AT_ONCE):
            some = [identity(head) for head in wanted[start : start + AT_ONCE]]
            place = func.row_number().over(
                partition_by=Value.series_id, order_by=(Value.at.desc(), Value.boot_id.desc())
            )
            mine = select(SeriesRow.id).where(tuple_(*SERIES).in_(some))
            ranked = (
                select(Value.series_id, Value.at, Value.boot_id, Value.value, place.label("place"))
                .where(Value.series_id.in_(mine))
                .subquery()
            )
            query = (
                select(*SERIES, RunRow.uid, RunRow.when, ranked.c.value, *BEHIND)
                .select_from(ranked)
                .join(SeriesRow, SeriesRow.id == ranked.c.series_id)
                .join(BootRow, BootRow.id == ranked.c.boot_id)
                .join(RunRow, RunRow.id == BootRow.run_id)
                .where(ranked.c.place <= last)
                .order_by(ranked.c.series_id, ranked.c.at, ranked.c.boot_id)
            )
            with self.reading() as connection:
                for row in connection.execute(query):
                    found[measured.Series(*row[: len(SERIES)])].append(point(row[len(SERIES) :]))
        return [replace(head, points=tuple(found[head])) for head in wanted]

    def inputs(self, digests: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return what boots were made of, by the digests that points have; nothing of those that did not record it."""
        if not (asked := {*digests} - {""}):
            return {}
        query = select(InputSet.digest, InputSet.facts).where(InputSet.digest.in_(asked))
        with self.reading() as connection:
            return {row[0]: keys.parsed(row[1]) for row in connection.execute(query)}

    def count(self, head: measured.Series) -> int:
        """Return how many points a series has."""
        query = (
            select(func.count()).select_from(Value).join(SeriesRow, SeriesRow.id == Value.series_id).where(*same(head))
        )
        with self.reading() as connection:
            return connection.scalar(query) or 0

    def key(self, head: measured.Series) -> dict[str, str]:
        """Return what the values of a series share: machine type, CPU model, QEMU's version, command line."""
        with self.reading() as connection:
            facts = connection.scalar(select(SeriesRow.facts).where(*same(head)))
        return keys.parsed(facts or "{}")


# what makes a series one, in the order of `measured.Series`
SERIES = (SeriesRow.image, SeriesRow.machine, SeriesRow.arch, SeriesRow.mode, SeriesRow.figure, SeriesRow.key)


def identity(head: measured.Series) -> tuple[str, ...]:
    """Return what makes a series one, in the order of `SERIES`."""
    return head.image, head.machine, head.arch, head.mode, head.figure, head.key


def names(image: str, wanted: str) -> bool:
    """Return whether `wanted` is an image's path, or its name without folder and ending."""
    return wanted in (image, image.rpartition("/")[2], Path(image).stem)


def same(head: measured.Series) -> tuple[ColumnElement[bool], ...]:
    """Return what holds for a series' own row."""
    return tuple(column == name for column, name in zip(SERIES, identity(head), strict=True))


def _make_folder(place: DatabaseAddress, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make the folder of the history {place.text}: {error.strerror}", hint=places.HINT
        ) from None


@contextmanager
def _explaining(place: DatabaseAddress, doing: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, UnicodeError) as error:  # the last of a host's name that can be none
        raise place.explained(error, doing) from None
