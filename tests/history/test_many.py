"""A history as long as it gets: `./run bench history` says how quick it is, this that it is right."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from harness.bench.histories import BOOTS, CELLS, STEP, runs
from harness.history import History, lines
from harness.history.trends import trend
from harness.measure.floor import Floors

COUNT = -(-BOOTS // len(CELLS))
pytestmark = pytest.mark.long


def test_every_change_among_so_many_boots_is_found_there_and_where_they_move_to(new_place: Callable[[], str]) -> None:
    with History.open(new_place()) as old, History.open(new_place()) as new:
        assert old.add_all(runs(COUNT)) == COUNT
        text = io.StringIO()
        assert lines.export(old, text) == COUNT
        assert lines.import_(new, io.BytesIO(text.getvalue().encode()), "all").runs == COUNT
        assert len(new.series(mode="exact")) == 18 * len(CELLS)
        (head,) = new.series("default", "qemu-s390x", "exact", "ready")
        found = trend(new.values(head), Floors())
        assert found.series == old.values(head)
        assert len(found.series.points) == COUNT
        assert [change.index for change in found.changes] == list(range(STEP, COUNT, STEP))
        assert found.at(found.changes[0]).subject == f"Change {STEP}"
