"""Keeps a run: its figures, what came of its cases, and what the gate has said of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select

from harness.errors import UserError
from harness.history import keys, outcomes
from harness.history.store import History
from harness.history.tables import VerdictRow
from harness.run.results_model import CellGate, Results

if TYPE_CHECKING:
    from harness.history.record import VerdictLine

MOST = 10_000  # letters of what is said


def keep(history: History, results: Results, *, again: bool = False) -> bool:
    """Add a run with all that the history keeps of it: figures, outcomes, verdicts. `again` as of `History.add`."""
    new = history.add(results, again=again)
    known = history.as_known(results)
    outcomes.add(history, known)
    with history.writing() as connection:
        put(connection, of_results(known))
    return new


def of_results(results: Results) -> Iterator[VerdictLine]:
    """Yield what the gate has said, of a results.json; UserError when the history cannot keep that."""
    from harness.history.record import VerdictLine, explained

    for image, row in keys.pairs_of(results.cells):
        if row.gate is None or not row.gate.judged:
            continue
        pairs = row.gate.pairs
        facts = {"run": results.run, "when": results.when, "image": image, "machine": row.machine,
                 "base": row.gate.base, "answer": row.gate.judged, "by": row.gate.by, "said": _said(row.gate)[:MOST],
                 **({"us": _us(pairs.mean), "low": _us(pairs.low), "high": _us(pairs.high), "pairs": pairs.pairs}
                    if pairs else {})}  # fmt: skip
        try:
            yield VerdictLine.model_validate(facts)
        except ValidationError as error:
            raise UserError(f"results that the history cannot keep: {explained(error)}") from None


def _us(ms: float | None) -> int | None:
    return None if ms is None or not math.isfinite(ms) else round(1000 * ms)


def _said(gate: CellGate) -> str:
    said = dict.fromkeys((*gate.reasons, *filter(None, [gate.how])))
    return "; ".join(said).replace("\0", "")


def put(connection: Connection, lines: Iterable[VerdictLine]) -> int:
    """Write verdicts over what is there of their runs; return how many those were."""
    count = 0
    for line in lines:
        same = (VerdictRow.run == line.run, VerdictRow.image == line.image, VerdictRow.machine == line.machine)
        connection.execute(delete(VerdictRow).where(*same))
        connection.execute(insert(VerdictRow).values(line.model_dump(exclude={"kind"})))
        count += 1
    return count


def every(connection: Connection) -> Iterator[VerdictLine]:
    """Yield all verdicts, oldest first."""
    from harness.history.record import VerdictLine

    columns = [getattr(VerdictRow, name) for name in VerdictLine.model_fields if name != "kind"]
    order = (VerdictRow.when, VerdictRow.run, VerdictRow.image, VerdictRow.machine)
    for row in connection.execute(select(*columns).order_by(*order)):
        yield VerdictLine(**row._asdict())
