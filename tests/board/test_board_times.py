"""Wall times of boots on boards: what a slow line takes is left out, and medians say how sure they are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.board.wire import BITS, Wire
from harness.commands.images import boot_runs
from harness.image import Image
from harness.launch import boot
from harness.system import BootOptions, BootRecord
from harness.system.channels import GATHER_S
from harness.system.milestones import Milestone, parse

from .standin import TICK_S
from .standins import standin

pytestmark = [pytest.mark.boots, pytest.mark.builds]

BAUD = 2400
RUNS = 6


def directly(folder: Path) -> list[Milestone]:
    """The milestones as a line without delay brings them, in seconds of the monotonic clock."""
    wire, marks, rest = Wire(None), [], b""
    for row in (folder / "said").read_text().splitlines():
        moment, _, text = row.partition(" ")
        data = bytes.fromhex(text)
        wire.hear(data, float(moment))
        whole, newline, rest = (rest + data).rpartition(b"\n")
        marks += parse((whole + newline).replace(b"\r", b""), float(moment))
    return wire.timed(marks, 0.0)


@pytest.mark.long  # a boot's words take their time on such a line
def test_what_a_slow_line_takes_is_left_out(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board", baud=BAUD) as board:
        machine = board.machine(console={"serial": str(board.folder / "tty"), "baud": BAUD})
        with boot(minimal, machine, BootOptions(mode="wall", out=tmp_path / "boot")) as system:
            system.wait_ready()
            marks = system.record.milestones
            on_s = time.monotonic() - system.driver.clock()
        true = directly(board.folder)
    assert [mark.name for mark in marks] == [mark.name for mark in true[: len(marks)]]
    # The line lets characters go at a tick, the reader takes them after a pause, and it tells no less than a character.
    least = TICK_S + GATHER_S + BITS / BAUD
    for mark, other in zip(marks, true, strict=False):
        assert on_s + mark.said_s == pytest.approx(other.said_s, abs=least), mark.name
        assert on_s + mark.said_s <= other.host_s + least, "nothing is said after it was heard"
    ready = marks[-1]
    assert ready.line_s is not None and ready.line_s > 20 * least  # what is left out is much more


@pytest.mark.long
def test_many_boots_have_a_median_and_an_interval(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board") as board:
        argv = [
            "boot",
            str(minimal.folder),
            "-m",
            str(board.machine().path),
            "--runs",
            "8",
            "--within",
            "100",
            "--json",
        ]
        program = [sys.executable, "-c", "from harness.cli import main; main()"]
        done = subprocess.run([*program, *argv], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert not board.is_on
    found = json.loads(done.stdout)
    ready = next(row for row in found["rows"] if row["name"] == "ready")
    assert (found["runs"], found["narrow"]) == (RUNS, True), "six boots are enough for such an interval"
    assert 0 < ready["ms"]["low"] <= ready["ms"]["value"] <= ready["ms"]["high"]
    assert ready["line_ms"] >= 0


def record(ready_s: float, line_s: float | None, *more: Milestone) -> BootRecord:
    marks = (Milestone("init", 1, 1.0, line_s=line_s), *more, Milestone("ready", 2, ready_s, line_s=line_s))
    texts = dict.fromkeys(("accel", "cmdline", "cpu", "machine_type", "qemu_version"), "")
    return BootRecord(image="i", arch="arm64", machine="m", mode="wall", probed=False, argv=(), milestones=marks,
                      accel_reason="a board", **texts)  # fmt: skip


def test_rows_are_what_all_boots_came_by_less_what_the_line_took() -> None:
    records = [record(2.0, 0.5, Milestone("late", 1, 1.5)), *(record(number, 0.5) for number in (3.0, 4.0))]
    init, ready = boot_runs.rows(records)
    assert (init.name, init.ms.value, init.line_ms) == ("init", 500, 500)
    assert (ready.name, ready.ms.value, ready.ms.low) == ("ready", 2500, None)
    said = list(boot_runs.lines([init, ready], records, None))
    assert said[0] == "i on m, a board: ms from power-on, medians of 3 boots"
    assert said[3].split() == ["ready", "2500", "not", "known", "500"]
    assert said[-1] == "3 boots are too few to know how sure that is: --runs 6 at least"


def test_what_is_not_known_as_well_as_asked_is_said() -> None:
    records = [record(second, None) for second in (10.0, 10.1, 10.2, 9.9, 9.8, 15.0)]
    assert list(boot_runs.lines(boot_runs.rows(records), records, 5))[-1] == "ready is not known to 5 % after 6 boots"
    assert list(boot_runs.lines(boot_runs.rows(records), records, 50))[-1] == "ready is known to 50 % after 6 boots"
