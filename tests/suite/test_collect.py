"""Which cases share a guest, and what is begun first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import arch
from harness.run.cells import Cell
from harness.suite import collect


def test_a_row_in_the_table_is_all_that_the_order_needs_of_an_architecture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new = dataclasses.replace(arch.ARCHES["arm64"], name="riscv64", exact_cost=4.0)
    monkeypatch.setitem(arch.ARCHES, "riscv64", new)
    cell = Cell(id="a", image="a.yml", sources=(), machine="m", spec=None, arch="riscv64", size=1, ready=None)
    # not built: ten MB, so that the cost is in boots
    cell.__dict__["built"] = SimpleNamespace(size=10e6)
    item: Any = SimpleNamespace(fixturenames=["exact"], iter_markers=lambda name: ())
    assert collect.cost("a:exact", [item], cell) == pytest.approx(2 * 4.0, abs=0.1)
