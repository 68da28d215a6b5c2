"""The history as JSON Lines: a run or a floor a line, to keep elsewhere and to take into another database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import IO, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import Connection, select

from harness.errors import UserError
from harness.history import floors, keeping, outcomes
from harness.history.keys import parsed
from harness.history.record import (
    BaselineRecord,
    CellRecord,
    CommitRecord,
    FloorLine,
    Measured,
    OutcomeLine,
    RunLine,
    VerdictLine,
    explained,
)
from harness.history.store import History
from harness.history.tables import Baseline, BootRow, Floor, InputSet, OutcomeRow, RunRow, SeriesRow, Value
from harness.history.writing import ACCEPTED, Writer

LONGEST = 8 << 20  # bytes of a line
AT_ONCE = 5000  # rows
AnyRecord = RunLine | FloorLine | OutcomeLine | VerdictLine
_LINE: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


@dataclass(frozen=True)
class Taken:
    """What an import has come to: ``runs`` were new, ``known`` were there already."""

    runs: int
    known: int
    floors: int


def export(history: History, stream: IO[str]) -> int:
    """Write all of the history, oldest run first, then floors, outcomes and verdicts; return how many lines."""
    count = 0
    with history.reading() as connection:
        for line in chain(_runs(connection), _floors(connection), _outcomes(connection), keeping.every(connection)):
            stream.write(line.model_dump_json() + "\n")
            count += 1
    return count


def import_(history: History, stream: IO[bytes], called: str) -> Taken:
    """Take in what `export` wrote; what is there already is passed over.

    The order of the lines is that of the runs, whatever their clocks said.

    UserError naming `called` and the line when one is wrong; then nothing of the file is taken.
    """
    found: list[FloorLine] = []
    came: list[OutcomeLine] = []
    said: list[VerdictLine] = []
    count = 0

    def runs() -> Iterator[RunLine]:
        nonlocal count
        for line in read(stream, called):
            if isinstance(line, FloorLine):
                found.append(line)
            elif isinstance(line, OutcomeLine):
                came.append(line)
            elif isinstance(line, VerdictLine):
                said.append(line)
            else:
                count += 1
                yield line

    with history.writing() as connection:
        new = Writer(connection).write(runs(), order="given")
        outcomes.put(connection, came)
        keeping.put(connection, said)
        return Taken(new, count - new, floors.put(connection, found))


def read(stream: IO[bytes], called: str) -> Iterator[AnyRecord]:
    """Yield the lines of an export; UserError for the first that is none."""
    number = 0
    while text := stream.readline(LONGEST + 1):
        number += 1
        if len(text) > LONGEST:
            raise UserError(f"{called}:{number}: a line of more than {LONGEST >> 20} MiB")
        if text.isspace():
            continue
        try:
            yield _LINE.validate_json(text)
        except ValidationError as error:
            raise UserError(
                f"{called}:{number}: {explained(error)}", hint="what `harness history export` writes"
            ) from None


def _runs(connection: Connection) -> Iterator[RunLine]:
    accepted = _accepted(connection)
    query = (
        select(
            RunRow.id,
            RunRow.uid,
            RunRow.when,
            RunRow.harness,
            RunRow.plan,
            RunRow.commit,
            RunRow.subject,
            RunRow.changed,
            RunRow.note,
            RunRow.ack,
            RunRow.project,
            BootRow.id,
            BootRow.image,
            BootRow.machine,
            BootRow.arch,
            BootRow.spec,
            BootRow.inputs,
            SeriesRow.mode,
            SeriesRow.facts,
            SeriesRow.figure,
            Value.value,
        )
        .select_from(RunRow)
        .join(BootRow, BootRow.run_id == RunRow.id)
        .join(SeriesRow, (SeriesRow.image == BootRow.image) & (SeriesRow.machine == BootRow.machine))
        .join(Value, (Value.series_id == SeriesRow.id) & (Value.at == RunRow.at) & (Value.boot_id == BootRow.id))
        .order_by(RunRow.at, RunRow.id, BootRow.id, SeriesRow.mode, SeriesRow.key, SeriesRow.id)
        .execution_options(yield_per=AT_ONCE)
    )
    kept: dict[str, dict[str, str]] = {"": {}}
    for run, rows in groupby(connection.execute(query), key=lambda row: row[:11]):
        yield RunLine(
            run=run[1], when=run[2], harness=run[3], plan=run[4],
            source=CommitRecord(commit=run[5], subject=run[6], changed=run[7], project=run[10]),
            note=run[8], ack=run[9],
            cells=list(_cells(rows, lambda wanted: _inputs(connection, kept, wanted))),
            baselines=accepted.get(run[0], []),
        )  # fmt: skip


def _cells(rows: Iterator[Any], inputs: Callable[[str], dict[str, str]]) -> Iterator[CellRecord]:
    for boot, mine in groupby(rows, key=lambda row: row[11:17]):
        groups = groupby(mine, key=lambda row: row[17:19])
        measured = [
            Measured(mode=mode, key=parsed(facts), figures={row[19]: row[20] for row in group})
            for (mode, facts), group in groups
        ]
        yield CellRecord(image=boot[1], machine=boot[2], arch=boot[3], spec=boot[4], inputs=inputs(boot[5]),
                         measured=measured)  # fmt: skip


def _inputs(connection: Connection, kept: dict[str, dict[str, str]], digest: str) -> dict[str, str]:
    """Return a set of inputs by its digest; `kept` are those that were asked for before."""
    if digest not in kept:
        facts = connection.scalar(select(InputSet.facts).where(InputSet.digest == digest))
        kept[digest] = parsed(facts or "{}")
    return kept[digest]


def _accepted(connection: Connection) -> dict[int, list[BaselineRecord]]:
    found: dict[int, list[BaselineRecord]] = {}
    columns = (getattr(Baseline, name) for name in ACCEPTED)
    for run, *rest in connection.execute(select(Baseline.run_id, *columns).order_by(Baseline.id)):
        found.setdefault(run, []).append(BaselineRecord(**dict(zip(ACCEPTED, rest, strict=True))))
    return found


def _floors(connection: Connection) -> Iterator[FloorLine]:
    columns = (Floor.image, Floor.machine, Floor.figure, Floor.key, Floor.us, Floor.how, Floor.when)
    for row in connection.execute(select(*columns).order_by(*columns[:4])):
        yield FloorLine(**row._asdict())


def _outcomes(connection: Connection) -> Iterator[OutcomeLine]:
    columns = (
        OutcomeRow.run,
        OutcomeRow.when,
        OutcomeRow.image,
        OutcomeRow.machine,
        OutcomeRow.digest,
        OutcomeRow.failed,
    )
    for row in connection.execute(select(*columns).order_by(OutcomeRow.when, *columns[:1], *columns[2:4])):
        yield OutcomeLine(**{**row._asdict(), "failed": json.loads(row.failed)})
