"""The standard cases run unchanged on a board, with the verdicts of QEMU's plain machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import paths

from .standins import standin

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()", "matrix"]
MINIMAL = str(paths.CASES / "images/minimal.yml")


def run(folder: Path, machine: str, *more: str) -> dict[str, Any]:
    argv = [*HARNESS, "--image", MINIMAL, "--machine", machine, "--results", "out", "--no-history", "-n", "1", *more]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads((folder / "out/results.json").read_text())["cells"]
    return dict(cell)


def outcomes(folder: Path) -> dict[str, str]:
    events = map(json.loads, (folder / "out/events.jsonl").read_text().splitlines())
    return {row["case"].partition("[")[0]: row["outcome"] for row in events if row["event"] == "case"}


@pytest.mark.long
def test_over_the_serial_line_alone_the_verdicts_are_qemus(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with standin(tmp_path / "board") as board:
        path = board.machine().path
        cell = run(tmp_path, str(path))
        assert not board.is_on
    plain = run(tmp_path / "plain", "qemu-arm64")
    assert (cell["status"], cell["root_readonly"]) == (plain["status"], plain["root_readonly"]) == ("passed", True)
    assert cell["boot"]["exact"] == {"ready": None, "power_on": None, "figures": {}, "key": {}, "moved": ""}
    assert cell["boot"]["wall"]["ready"] > 0
    assert cell["exact_repeats"] is None
    on_board, on_qemu = outcomes(tmp_path), outcomes(tmp_path / "plain")
    assert on_board.keys() == on_qemu.keys()
    others = {case: outcome for case, outcome in on_board.items() if outcome != on_qemu[case]}
    # only those that count instructions
    assert set(others.values()) == {"skipped"}
    assert all("test_boot.py" in case for case in others)
