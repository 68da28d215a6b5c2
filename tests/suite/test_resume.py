"""Runs that go on, and runs that end at their deadline."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from inner_pytest import environment
from test_matrix import FAKE, HARNESS
from tiers import needs

from harness.commands.nights import watch
from harness.commands.nights.watch import deadline
from harness.errors import UserError
from harness.run import results
from harness.run.folder import RunFolder

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 24, 22, 30, 5)
CASES = """
import os, pytest
def test_one(system, cell): log(cell)
def test_two(system, cell): log(cell)
def test_three(image, cell):
    log(cell)
    assert cell.id != "b", "b is bad"
def test_four(exact, cell): log(cell)
def log(cell):
    with open("ran", "a") as stream:
        stream.write(cell.id + "\\n")
    if os.path.exists("hang-" + cell.id):
        import time
        time.sleep(600)
"""
Run = Callable[..., "subprocess.Popen[str]"]
CELLS = [["a", ""], ["b", ""], ["c", ""]]


@pytest.fixture
@needs("slow")
def start(tmp_path: Path) -> Run:
    (tmp_path / "test_inner.py").write_text(CASES)
    (tmp_path / "minimal.yml").write_text("kernel: {image: kernel}\n")
    (tmp_path / "plan.yml").write_text(
        "machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n"
    )

    def matrix(*args: str, **settings: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*HARNESS, "plan.yml", "--results", "out", "-n", "1", "--no-history", *args, *FAKE],
            cwd=tmp_path, text=True,
            env=environment(tmp_path, {"cells": CELLS, **settings}), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return matrix


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def found(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "out/results.json").read_text())
    return read


def same(folder: Path) -> dict[str, Any]:
    """Return of results what does not differ from run to run."""
    whole = found(folder)
    for row in whole["cells"]:
        row.pop("seconds")
        for failure in row["failures"]:
            failure["transcript"] = Path(failure["transcript"]).name
    return {key: value for key, value in whole.items() if key not in ("when", "run")}


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def ran(folder: Path) -> list[str]:
    path = folder / "ran"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90m", datetime(2026, 11, 25, 0, 0, 5)),
        ("8h", datetime(2026, 11, 25, 6, 30, 5)),
        ("2d", datetime(2026, 11, 26, 22, 30, 5)),
        ("06:30", datetime(2026, 11, 25, 6, 30)),
        ("23:00", datetime(2026, 11, 24, 23, 0)),
        ("2026-12-01T06:30", datetime(2026, 12, 1, 6, 30)),
    ],
)
def test_when_a_deadline_is(text: str, at: datetime) -> None:
    assert deadline(text, NOW).at == at


def test_a_span_follows_no_clock_that_somebody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(watch, "_uptime", lambda: now)
    span = deadline("8h", datetime(2000, 1, 1))
    made = watch.Deadline(span.text, span.at, span.seconds, now)
    assert not made.has_come()  # though by the wall clock its moment has passed long ago
    now += 8 * 3600
    assert made.has_come()
    assert watch.Deadline("06:30", datetime(2000, 1, 1)).has_come()


@pytest.mark.parametrize("text", ["", "soon", "25:00", "8", "8 h", "06:61", "2026-11-24T22:00"])
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a deadline|has passed"):
        deadline(text, NOW)


def test_a_killed_run_goes_on_and_equals_an_undisturbed_one(start: Run, tmp_path: Path) -> None:
    assert finish(start())[0] == 1
    undisturbed, every = same(tmp_path), sorted(ran(tmp_path))
    assert every == sorted(name for name in "abc" for _ in range(4))
    (tmp_path / "ran").unlink()
    for name in "abc":  # whichever comes second is not begun a second time by the killed run
        (tmp_path / f"hang-{name}").write_text("")
    first = start()
    wait_until(lambda: bool(ran(tmp_path)), first)
    hung = ran(tmp_path)[0]
    for name in "abc":
        if name != hung:
            (tmp_path / f"hang-{name}").unlink()
    first.send_signal(signal.SIGKILL)
    finish(first)
    assert {row.status for row in results.fold(RunFolder(tmp_path / "out").read_events()).cells} == {"incomplete"}
    (tmp_path / f"hang-{hung}").unlink()
    code, text = finish(start("--resume"))
    assert code == 1, text
    assert same(tmp_path) == undisturbed


def test_finished_cells_are_not_repeated(start: Run, tmp_path: Path) -> None:
    (tmp_path / "hang-c").write_text("")
    first = start("-n", "0", "--deadline", "2d")
    wait_until(lambda: "c" in ran(tmp_path), first)
    before = set(ran(tmp_path)) - {"c"}
    done = {
        row.id for row in results.fold(RunFolder(tmp_path / "out").read_events()).cells if row.status != "incomplete"
    }
    first.send_signal(signal.SIGKILL)
    finish(first)
    (tmp_path / "hang-c").unlink()
    (tmp_path / "ran").unlink()
    code, text = finish(start("--resume"))
    assert code == 1, text
    assert "going on: " in text
    assert done <= before
    assert not done & set(ran(tmp_path))
    assert [row["status"] for row in found(tmp_path)["cells"]] == ["passed", "failed", "passed"]
    (tmp_path / "ran").unlink()
    assert finish(start("--resume"))[0] == 1  # nothing is left to do, and the verdict stays
    assert ran(tmp_path) == []


def with_deadline(tmp_path: Path, change: str) -> subprocess.CompletedProcess[str]:
    """Run with a deadline that `change`, a line of Python in which `watch` is known, makes another."""
    script = f"from harness.commands.nights import watch; {change}; from harness.cli import main; main()"
    return subprocess.run(
        [HARNESS[0], "-c", script, *HARNESS[3:], "plan.yml", "--results", "out", "-n", "1", "--deadline", "1m", *FAKE],
        cwd=tmp_path, env=environment(tmp_path, {"cells": CELLS}), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_at_the_deadline_the_run_ends_with_what_it_has(start: Run, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"hang-{name}").write_text("")
    done = with_deadline(tmp_path, "watch.deadline = lambda text, now: watch.Deadline(text, now, 6.0)")
    assert done.returncode == 3, done.stdout + done.stderr
    assert {row["status"] for row in found(tmp_path)["cells"]} == {"not run"}
    assert {row["reason"] for row in found(tmp_path)["cells"]} == {"the deadline, 1m, came first"}
    for name in "abc":
        (tmp_path / f"hang-{name}").unlink()
    assert finish(start("--resume"))[0] == 1
    assert [row["status"] for row in found(tmp_path)["cells"]] == ["passed", "failed", "passed"]


def test_a_deadline_while_cases_are_collected_calls_no_cell_unselected(start: Run, tmp_path: Path) -> None:
    cases = tmp_path / "test_inner.py"
    whole = cases.read_text()
    cases.write_text("import pathlib, time\npathlib.Path('collecting').touch()\ntime.sleep(600)\n")
    done = with_deadline(tmp_path, "import os; watch.Deadline.has_come = lambda self: os.path.exists('collecting')")
    assert done.returncode == 3, done.stdout + done.stderr
    assert {row["reason"] for row in found(tmp_path)["cells"]} == {"the deadline, 1m, came first"}
    cases.write_text(whole)
    assert finish(start("--resume"))[0] == 1
    assert [row["status"] for row in found(tmp_path)["cells"]] == ["passed", "failed", "passed"]


def test_only_the_same_run_goes_on(start: Run, tmp_path: Path) -> None:
    code, text = finish(start("--resume"))
    assert code == 2
    assert "there is no run in" in text
    assert finish(start())[0] == 1
    before = (tmp_path / "out/results.json").read_bytes()
    code, text = finish(start("--resume", cells=[["a", ""]]))
    assert code == 2, text
    assert "it has b, c as well" in text
    assert (tmp_path / "out/results.json").read_bytes() == before


def test_a_cell_whose_image_has_changed_runs_again(start: Run, tmp_path: Path) -> None:
    assert finish(start())[0] == 1
    (tmp_path / "ran").unlink()
    code, text = finish(start("--resume", digest="7"))
    assert code == 1
    assert sorted(set(ran(tmp_path))) == ["a", "b", "c"]
    assert "b was run again: its image is another one now" in text
    assert found(tmp_path)["cells"][0]["files"] == {"kernel": "7"}


def test_what_the_lab_broke_runs_again(start: Run, tmp_path: Path) -> None:
    assert finish(start(broken=["a"], fault="MachineError"))[0] == 1
    assert [row["status"] for row in found(tmp_path)["cells"]] == ["lab failed", "failed", "passed"]
    (tmp_path / "ran").unlink()
    assert finish(start("--resume"))[0] == 1
    assert [row["status"] for row in found(tmp_path)["cells"]] == ["passed", "failed", "passed"]
    assert set(ran(tmp_path)) == {"a"}


@pytest.mark.parametrize("tail", [b'{"event": "case", "ce', b"\0" * 700, b"[]\n", b'{"event": "x"}'])
def test_what_a_crash_leaves_at_the_end_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    folder = RunFolder(tmp_path)
    folder.events.tell("run", cells=[])
    whole = folder.event_file.read_bytes()
    folder.event_file.write_bytes(whole + tail)
    assert folder.resume() == folder
    assert folder.event_file.read_bytes() == whole


def test_two_runs_do_not_share_a_folder(start: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with RunFolder(tmp_path / "out").held():
        code, text = finish(start())
    assert code == 2
    assert "another run is writing to" in text


@pytest.mark.long
def test_killed_at_any_moment_a_run_goes_on_to_the_same_end(start: Run, tmp_path: Path) -> None:
    began = time.monotonic()
    assert finish(start())[0] == 1
    took, undisturbed = time.monotonic() - began, same(tmp_path)
    dice = random.Random(6)
    for _ in range(20):
        process = start()
        time.sleep(dice.uniform(0, took))  # the moment is what is tried here
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
        code, text = finish(start("--resume"))
        if code == 2 and "there is no run" in text:  # it was killed before it had begun
            code, text = finish(start())
        assert code == 1, text
        assert same(tmp_path) == undisturbed
