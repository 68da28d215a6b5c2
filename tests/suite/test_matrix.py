"""`harness matrix` as a person meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from inner_pytest import environment

from harness import paths

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()", "matrix"]
FAKE = ["--", "-p", "fake_cells", "-c", os.devnull]
PLAN = "machines: [qemu-x86_64]\nimages:\n  - path: {minimal}\ncases: [test_inner.py]\n"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yml"
    minimal = os.path.relpath(paths.CASES / "images/minimal.yml", tmp_path)
    path.write_text(PLAN.format(minimal=minimal))
    return path


@pytest.fixture
def run(tmp_path: Path, plan: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def matrix(text: str, *args: str, cells: list[list[str]]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_inner.py").write_text(text)
        return subprocess.run(
            [*HARNESS, str(plan), "--results", str(tmp_path / "out"), "-n", "2", *args, *FAKE],
            cwd=tmp_path, env=environment(tmp_path, {"cells": cells}), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return matrix


def test_all_passed(run, tmp_path: Path) -> None:
    done = run("def test_x(system): pass\ndef test_e(exact): pass\n", cells=[["a", ""]])
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("a.yml"))
    assert row.split() == ["a.yml", "a", "0.00", "700.123", "1500", "-", "2", "0", "0", "passed"]
    assert "\x1b" not in done.stdout + done.stderr
    assert (tmp_path / "out/junit.xml").exists()


def test_failures_are_listed_and_json_is_json(run, tmp_path: Path) -> None:
    text = "def test_x(system): assert 1 == 2, 'so it is'\n"
    done = run(text, cells=[["a", ""]])
    assert done.returncode == 1
    assert "FAILED test_inner.py::test_x[a]" in done.stdout
    assert "so it is" in done.stdout
    assert "transcript: " in done.stdout
    done = run(text, "--json", cells=[["a", ""]])
    assert json.loads(done.stdout) == json.loads((tmp_path / "out/results.json").read_text())


def test_not_run(run) -> None:
    done = run("def test_x(system): pass\n", cells=[["a", ""], ["b", "no qemu\nwhat to do: apt-get install it"]])
    assert done.returncode == 3
    assert "apt-get install it" in done.stdout
    assert done.stdout.splitlines()[-3].endswith("not run")


def test_nothing_selected(run) -> None:
    done = run("def test_x(system): pass\n", "-k", "absent", cells=[["a", ""]])
    assert done.returncode == 2
    assert "no case was selected" in done.stderr


def test_a_wrong_plan_is_explained(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text("machines: [qemu-x86]\nimages:\n  - path: none.yml\n    budget: {sise: 3}\n")
    done = subprocess.run([*HARNESS, str(plan)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for place in (":1:", ":3:", ":4:"):
        assert f"plan.yml{place}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_no_qemu_for_an_architecture(tmp_path: Path) -> None:
    # a PATH with everything but one QEMU; nothing is built for a cell that cannot boot
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin", "/usr/sbin"):
        for program in Path(folder).iterdir():
            link = programs / program.name
            if program.name != "qemu-system-s390x" and not link.exists():
                link.symlink_to(program)
    done = subprocess.run(
        [*HARNESS, "--machine", "qemu-s390x", "--results", "out"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PATH": str(programs)}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    cells = json.loads((tmp_path / "out/results.json").read_text())["cells"]
    assert [row["status"] for row in cells] == ["not run", "not run"]
    assert "qemu-system-misc" in cells[0]["reason"]
    assert "qemu-system-misc" in done.stdout


def waiting(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


@pytest.fixture
def family() -> Iterator[list[psutil.Process]]:
    """Processes that must be gone at the end; ended here if they are not."""
    members: list[psutil.Process] = []
    yield members
    for process in members:
        if process.is_running():
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(tmp_path: Path, plan: Path, family: list[psutil.Process], number: int) -> None:
    (tmp_path / "test_inner.py").write_text(
        "import time\ndef test_a(image): pass\ndef test_b(system, cell):\n    if cell.id == 'b': time.sleep(600)\n"
    )
    log = tmp_path / "out/events.jsonl"
    process = subprocess.Popen(
        [*HARNESS, str(plan), "--results", str(tmp_path / "out"), "-n", "2", *FAKE],
        cwd=tmp_path, env=environment(tmp_path, {"cells": [["a", ""], ["b", ""]]}), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    waiting(lambda: log.exists() and log.read_text().count('"booting"') == 2 and log.read_text().count('"passed"') == 3)
    family += psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3
    process.send_signal(number)
    stdout = process.communicate(timeout=60)[0]
    waiting(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family))
    if number == signal.SIGKILL:
        return
    assert process.returncode == 130
    assert "interrupted" in stdout
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["interrupted"]
    assert [row["status"] for row in found["cells"]] == ["passed", "incomplete"]
    assert found["cells"][1]["cases"]["failed"] == 0
