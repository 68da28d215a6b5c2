"""Cells on boards: what is skipped there, and whose failure is tried again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TEXT = """
def test_one(system): pass
def test_exact(exact): pass
def test_two_at_once(boot):
    boot()
    boot()
def test_one_after_another(boot):
    for _ in range(3):
        assert boot().power_off()
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("HARNESS_LAB", str(tmp_path / "lab"))  # faults are remembered there
    (tmp_path / "desk.yml").write_text(
        "arch: x86_64\nconsole: ttyS0\nboard: {console: {serial: /dev/ttyUSB0}, tries: 3}\n"
    )
    return {"cells": ["a"], "machines": {"a": str(tmp_path / "desk.yml")}}


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "results/events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_what_a_board_cannot_do_is_skipped_with_the_reason(inner, board: dict[str, Any]) -> None:
    ran = inner(TEXT, args=("-rs",), **board)
    assert ran.code == 0, ran.text
    assert "no exact time: a board has no instruction counter" in ran.text
    assert "a board boots one system at a time" in ran.text
    (cell,) = ran.results["cells"]
    assert cell["cases"] == {"passed": 2, "failed": 0, "skipped": 2, "known": 0}
    assert cell["boot"]["exact"] == {"ready": None, "power_on": None, "figures": {}, "key": {}, "moved": ""}
    assert (cell["boot"]["wall"]["ready"], cell["exact_repeats"], cell["status"]) == (1500.0, None, "passed")


def test_a_machine_that_fails_is_tried_again_and_each_try_is_told(inner, board: dict[str, Any], tmp_path: Path) -> None:
    ran = inner("def test_one(system): pass\n", failing={"a": 1}, **board)
    assert ran.code == 0, ran.text
    assert ran.count("boot") == 2
    told = events(tmp_path, "machine failed")
    assert [(one["cell"], one["attempt"], one["message"]) for one in told] == [
        ("a", 1, "a: the line is dead"),
    ]
    assert sorted(path.name for path in (tmp_path / "results/cells/a").iterdir()) == ["wall", "wall-2"]


def test_a_machine_that_fails_twice_in_a_row_is_given_up(inner, board: dict[str, Any]) -> None:
    ran = inner("def test_one(system): pass\n", failing={"a": 3}, **board)
    assert ran.code == 1
    assert ran.count("boot") == 2
    assert "desk is set aside" in ran.cells["a"]["failures"][0]["message"]


def test_an_image_that_fails_is_not_tried_again(inner, board: dict[str, Any], tmp_path: Path) -> None:
    ran = inner("def test_one(system): pass\n", broken=["a"], **board)
    assert ran.code == 1
    assert ran.count("boot") == 1
    assert events(tmp_path, "machine failed") == []


@pytest.mark.parametrize(("failures", "code", "status"), [(1, 0, "passed"), (2, 1, "lab failed")])
def test_a_case_that_the_lab_fails_in_qemu_is_repeated_once(inner, failures: int, code: int, status: str) -> None:
    ran = inner("def test_one(system): pass\n", cells=["a"], failing={"a": failures})
    assert (ran.code, ran.cells["a"]["status"], ran.count("boot")) == (code, status, 2), ran.text
    (repeated,) = ran.cells["a"]["repeated"]
    assert "the line is dead" in repeated["message"]
