"""Where the time between power-on and ready goes, as a table: records in, rows out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from harness.bench.figures import Table
from harness.measure.phases import phases, total_us
from harness.system.record import BootRecord


def table(title: str, records: Mapping[str, BootRecord]) -> Table:
    """Return phases as rows and machines as columns, in ms; what runs inside of a phase is set in under it."""
    columns = {name: _column(record) for name, record in records.items()}
    names = list(dict.fromkeys(phase for column in columns.values() for phase in column))
    rows = [(name, *(_ms(column.get(name)) for column in columns.values())) for name in names]
    readies = [("clock zero to ready", *(_ms(record.ready_us) for record in records.values()))]
    sums = [("power-on to ready", *(_ms(total_us(record)) for record in records.values()))]
    return Table(title, ("ms", *columns), (*rows, *readies, *sums))


def _column(record: BootRecord) -> dict[str, int]:
    return {f"… {phase.name}" if phase.under else phase.name: phase.us for phase in phases(record)}


def _ms(us: int | None) -> str:
    return "" if us is None else f"{us / 1000:.1f}"
