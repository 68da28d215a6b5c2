"""Which cases failed in which run, for the numbers that say what is flaky."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from harness.history import keys
from harness.history.store import History
from harness.history.tables import OutcomeRow, RunRow
from harness.measure import flaky
from harness.run.outcome import LAB
from harness.run.results import case_of
from harness.run.results_model import FINISHED, Results
from harness.store import digest_of

if TYPE_CHECKING:
    from harness.history.record import OutcomeLine

LAST = 30  # runs that are looked at


def add(history: History, results: Results) -> None:
    """Keep what came of a run's cells that came to a verdict; a failure by the lab's fault is none of the case's."""
    with history.writing() as connection:
        put(connection, of_results(results))


def of_results(results: Results) -> Iterator[OutcomeLine]:
    """Yield what the history keeps of a results.json."""
    from harness.history.record import OutcomeLine

    for image, row in keys.pairs_of(results.cells):
        if row.status in FINISHED and row.files:
            bad = [*(one.case for one in row.failures if one.whose not in LAB), *(one.case for one in row.known)]
            yield OutcomeLine(
                run=results.run, when=results.when, image=image, machine=row.machine,
                digest=digest_of(row.files)[: keys.SHORT], failed=sorted({case_of(one, row.id) for one in bad}),
            )  # fmt: skip


def put(connection: Connection, lines: Iterable[OutcomeLine]) -> int:
    """Write outcomes over what is there of their runs; return how many those were."""
    count = 0
    for line in lines:
        at = connection.scalar(select(RunRow.at).where(RunRow.uid == line.run))  # a run without a figure has no row
        values = {**line.model_dump(exclude={"kind", "failed"}), "failed": json.dumps(line.failed),
                  "at": keys.seconds(line.when) if at is None else at}  # fmt: skip
        same = (OutcomeRow.run == line.run, OutcomeRow.image == line.image, OutcomeRow.machine == line.machine)
        connection.execute(delete(OutcomeRow).where(*same))
        connection.execute(insert(OutcomeRow).values(values))
        count += 1
    return count


def flaky_cases(history: History, image: str, machine: str) -> list[flaky.Flaky]:
    """Return the cases to put into quarantine on one image and machine, by its last runs."""
    query = (
        select(OutcomeRow.digest, OutcomeRow.failed).where(OutcomeRow.image == image, OutcomeRow.machine == machine)
        .order_by(OutcomeRow.at.desc(), OutcomeRow.run.desc()).limit(LAST)
    )  # fmt: skip
    with history.reading() as connection:
        rows = connection.execute(query).all()
    return flaky.flaky([flaky.CellOutcome(digest, frozenset(json.loads(failed))) for digest, failed in reversed(rows)])
