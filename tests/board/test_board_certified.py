"""A board is certified by what can be known of one, and nothing of it is booted again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.errors import EXIT_NOT_REPEATED

from .standins import standin

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
# what a board has no way to: instructions are counted by QEMU alone
EXACT = {"exact-time", "boots", "boot-time", "shutdown"}
WALL = {"boots-wall", "boot-time-wall", "shutdown-wall"}


def harness(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = subprocess.run([*HARNESS, *words], cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout) if "--json" in words else {}
    return found


@pytest.mark.long
def test_a_board_is_certified_by_wall_time(tmp_path: Path) -> None:
    harness(tmp_path, "certify", "--new-key", "key")
    minimal = str(paths.CASES / "images/minimal.yml")
    with standin(tmp_path / "board") as board:
        machine = str(board.machine().path)
        made = harness(
            tmp_path, "certify", minimal, "-m", machine, "-p", "base", "-o", "evidence", "--key", "key", "--json"
        )
        assert not board.is_on
    verdicts = {row["id"]: row["verdict"] for row in made["requirements"]}
    assert {verdicts[name] for name in EXACT} == {"not applicable"}
    assert {verdicts[name] for name in WALL} == {"passed"}
    assert made["result"] == "PASSED" and set(verdicts.values()) == {"passed", "not applicable"}, made["requirements"]
    verified = harness(tmp_path, "verify", "evidence", "--key", "key.pub", "--json", code=EXIT_NOT_REPEATED)
    found = verified["findings"]
    assert not [one for one in found if one["how"] == "re-executed"]
    assert [one for one in found if one["how"] == "not re-executed" and "board" in one["text"]], found
