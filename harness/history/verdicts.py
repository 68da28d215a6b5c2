"""What the gate has said of each run: where it booted both images in pairs, single boots know no better.

Who shows the history reads it, so nothing here imports what writes (`keeping.py`).
"""

from __future__ import annotations

from sqlalchemy import select

from harness.history.store import History
from harness.history.tables import BootRow, RunRow, VerdictRow
from harness.measure.series import JudgedRun


def of_cell(history: History, image: str, machine: str) -> dict[str, JudgedRun]:
    """Return what the gate has said of an image on a machine, by run."""
    columns = (VerdictRow.run, VerdictRow.base, VerdictRow.answer, VerdictRow.by, VerdictRow.said, VerdictRow.us)
    query = select(*columns).where(VerdictRow.image == image, VerdictRow.machine == machine)
    with history.reading() as connection:
        return {row[0]: JudgedRun(*row[1:]) for row in connection.execute(query)}


def of_boots(history: History, image: str, machine: str) -> dict[int, tuple[int, JudgedRun]]:
    """Return what pairs have shown of an image on a machine, by its boots, each with the boot that it was judged by."""
    query = (
        select(RunRow.uid, BootRow.id)
        .join(RunRow, RunRow.id == BootRow.run_id)
        .where(BootRow.image == image, BootRow.machine == machine)
    )
    said = {run: one for run, one in of_cell(history, image, machine).items() if one.by == "pairs"}
    if not said:
        return {}
    wanted = {*said, *(one.base for one in said.values())}
    with history.reading() as connection:
        boots = {row[0]: row[1] for row in connection.execute(query) if row[0] in wanted}
    return {boots[run]: (boots[one.base], one) for run, one in said.items() if run in boots and one.base in boots}
