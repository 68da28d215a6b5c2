"""Budgets: what a plan allows of a cell, and whether its figures keep to it."""

from __future__ import annotations

from pathlib import Path

from harness import paths
from harness.run.inputs import Wanted, read
from harness.suite.judge import over_budget


def test_what_takes_longer_than_allowed_is_named_and_so_is_what_does_not_exist() -> None:
    figures = {"ready": 500_000, "kernel": 180_001}
    assert over_budget(figures, {"ready": 500, "kernel": 180.001}) == []
    assert over_budget(figures, {"ready": 499.999, "kernel": 180}) == [
        "ready: 500.000 ms, 499.999 ms allowed",
        "kernel: 180.001 ms, 180 ms allowed",
    ]
    assert over_budget(figures, {"kernal": 200}) == ["kernal: there is no such figure, but ready, kernel"]


def test_budgets_of_phases_add_up_and_the_nearest_counts(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text(
        "machines: [qemu-arm64, qemu-s390x]\n"
        "budget: {phases: {kernel: 100, init: 5}}\n"
        "images:\n"
        f"  - path: {paths.CASES / 'images/minimal.yml'}\n"
        "    budget: {ready: 400, phases: {kernel: 200}}\n"
        "    budgets: {s390x: {phases: {kernel: 2200}}, qemu-s390x: {phases: {services: 50}}}\n"
    )
    arm64, s390x = read(Wanted(plan)).cells
    assert (arm64.ready, arm64.phases) == (400, {"kernel": 200, "init": 5})
    assert (s390x.ready, s390x.phases) == (400, {"kernel": 2200, "init": 5, "services": 50})
