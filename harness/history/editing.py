"""What a person changes in a history afterwards: runs taken out, words on runs, images under another name."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update

from harness.errors import UserError
from harness.history.store import History, RunHead
from harness.history.tables import Baseline, BootRow, Floor, OutcomeRow, RunRow, SeriesRow, Value, VerdictRow

MOST = 10_000  # characters of a note, as a line of an export may have


def drop(history: History, run: RunHead) -> None:
    """Take a run out, with its figures and outcomes; UserError when it is a baseline."""
    with history.writing() as connection:
        numbers = connection.scalars(select(Baseline.id).where(Baseline.run_id == run.id)).all()
        if numbers:
            named = ", ".join(map(str, numbers))
            raise UserError(f"run {run.run} is baseline {named}", hint=f"harness baseline remove {numbers[0]}")
        boots = select(BootRow.id).where(BootRow.run_id == run.id)
        connection.execute(delete(Value).where(Value.boot_id.in_(boots)))
        connection.execute(delete(BootRow).where(BootRow.run_id == run.id))
        for table in (OutcomeRow, VerdictRow):
            connection.execute(delete(table).where(table.run == run.run))
        connection.execute(delete(RunRow).where(RunRow.id == run.id))
        _tidy(connection)


def note(history: History, run: RunHead, text: str) -> None:
    """Write on a run what to know of it; an empty text takes that away."""
    _write(history, run, note=text)


def acknowledge(history: History, run: RunHead, reason: str) -> None:
    """Say why the change that came with a run is accepted: it is no news any more. An empty reason takes that back."""
    _write(history, run, ack=reason)


def _write(history: History, run: RunHead, **words: str) -> None:
    if any(len(text) > MOST or "\0" in text for text in words.values()):
        raise UserError(f"a text of more than {MOST} characters, or with NUL in it")
    with history.writing() as connection:
        connection.execute(update(RunRow).where(RunRow.id == run.id).values(words))


def rename(history: History, old: str, new: str) -> int:
    """Let an image go on under another path; return how many of its boots there were. UserError when it has none.

    What was measured under the new path already is of the same series then.
    """
    with history.writing() as connection:
        count = connection.scalar(select(func.count()).select_from(BootRow).where(BootRow.image == old)) or 0
        if not count:
            raise UserError(f"the history has no image {old}", hint="the whole path, as `harness history` shows it")
        if both := _both(connection, old, new):
            raise UserError(f"run {both} has both {old} and {new}: they are two images")
        _join_series(connection, old, new)
        for table, others in (
            (Floor, ("machine", "figure", "key")),
            (OutcomeRow, ("run", "machine")),
            (VerdictRow, ("run", "machine")),
        ):
            columns = [getattr(table, name) for name in others]
            for row in connection.execute(select(*columns).where(table.image == new)).all():
                mine = [column == value for column, value in zip(columns, row, strict=True)]
                connection.execute(delete(table).where(table.image == old, *mine))
            connection.execute(update(table).where(table.image == old).values(image=new))
        for table_ in (BootRow, Baseline):
            connection.execute(update(table_).where(table_.image == old).values(image=new))
    return count


def _both(connection: Connection, old: str, new: str) -> str | None:
    """Return a run that has an image under both names on one machine, if there is one."""
    other = select(BootRow.run_id, BootRow.machine).where(BootRow.image == new).subquery()
    query = (
        select(RunRow.uid)
        .join(BootRow, BootRow.run_id == RunRow.id)
        .join(other, (other.c.run_id == BootRow.run_id) & (other.c.machine == BootRow.machine))
        .where(BootRow.image == old)
        .limit(1)
    )
    return connection.scalar(query)


def _join_series(connection: Connection, old: str, new: str) -> None:
    names = (SeriesRow.machine, SeriesRow.arch, SeriesRow.mode, SeriesRow.figure, SeriesRow.key)

    def rows(image: str) -> dict[tuple[str, ...], int]:
        query = select(*names, SeriesRow.id).where(SeriesRow.image == image)
        return {tuple(row[:-1]): row[-1] for row in connection.execute(query)}

    there = rows(new)
    for name, number in rows(old).items():
        if name in there:
            connection.execute(update(Value).where(Value.series_id == number).values(series_id=there[name]))
            connection.execute(delete(SeriesRow).where(SeriesRow.id == number))
        else:
            connection.execute(update(SeriesRow).where(SeriesRow.id == number).values(image=new))


def _tidy(connection: Connection) -> None:
    """Take away series that nothing is left of."""
    used = select(Value.series_id).where(Value.series_id == SeriesRow.id).exists()
    connection.execute(delete(SeriesRow).where(~used))
