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
from typing import Any

import pexpect
import psutil
import pytest
from inner_pytest import environment
from tiers import needs

from harness import paths
from harness.commands.nights import matrix
from harness.errors import UserError
from harness.run.folder import RunFolder

pytestmark = pytest.mark.slow

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
@needs("slow")
def run(tmp_path: Path, plan: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def matrix(text: str, *args: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_inner.py").write_text(text)
        place = args.index("--") if "--" in args else len(args)
        own, pytests = args[:place], args[place + 1 :]
        return subprocess.run(
            [*HARNESS, str(plan), "--results", str(tmp_path / "out"), "-n", "1", "--no-history", *own, *FAKE, *pytests],
            cwd=tmp_path, env=environment(tmp_path, settings), capture_output=True, text=True, timeout=120,
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


@pytest.mark.parametrize(("term", "is_live"), [("xterm", True), ("dumb", False)])
def test_at_a_terminal(tmp_path: Path, plan: Path, term: str, is_live: bool) -> None:
    (tmp_path / "test_inner.py").write_text("def test_x(image): pass\n")
    process = pexpect.spawn(
        HARNESS[0], [*HARNESS[1:], str(plan), "--results", "out", *FAKE], cwd=str(tmp_path), dimensions=(20, 40),
        env={**environment(tmp_path, {"cells": [["a", ""]]}), "TERM": term}, timeout=60, encoding="utf-8",
    )  # fmt: skip
    text = process.read()
    process.close()
    assert process.exitstatus == 0, text
    assert ("\x1b[" in text) == ("\x1b[?25h" in text) == is_live  # colours, and the cursor is there again
    assert ("building fake" in text.splitlines()) != is_live
    assert "status" in text
    assert "wall ms" not in text


def test_failures_are_listed_and_json_is_json(run, tmp_path: Path) -> None:
    text = "def test_x(system): assert 1 == 2, 'so it is'\n"
    done = run(text, cells=[["a", ""]])
    assert done.returncode == 1
    assert "FAILED test_inner.py::test_x[a]" in done.stdout
    assert "so it is" in done.stdout
    assert "transcript: " in done.stdout
    page = tmp_path / "out/report.html"
    assert done.stdout.splitlines()[-1] == f"report: {page}" and "so it is" in page.read_text()
    done = run(text, "--json", cells=[["a", ""]])
    assert json.loads(done.stdout) == json.loads((tmp_path / "out/results.json").read_text())
    assert done.stderr.splitlines()[-1] == f"report: {page}"


def test_not_run(run) -> None:
    done = run("def test_x(system): pass\n", cells=[["a", ""], ["b", "no qemu\nwhat to do: apt-get install it"]])
    assert done.returncode == 3
    assert "apt-get install it" in done.stdout
    assert any(line.startswith("b.yml") and line.endswith("not run") for line in done.stdout.splitlines())
    assert done.stdout.splitlines()[-2].startswith("outcome: not run: 1 of 2 cells passed; 1 idle cell (exit 3)")


def test_a_failed_case_without_a_cell_fails_the_matrix_and_is_shown(run, tmp_path: Path) -> None:
    done = run("def test_x(image): pass\ndef test_alone(): assert 1 == 2, 'so it is'\n", cells=[["a", ""]])
    assert done.returncode == 1
    assert "FAILED test_inner.py::test_alone" in done.stdout
    assert "so it is" in done.stdout
    assert "cases without a cell: 1 failed" in done.stdout
    assert "FAILED test_inner.py::test_alone" in done.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["exit"] == 1


def test_a_file_of_cases_that_cannot_be_read_fails_the_matrix(run) -> None:
    done = run("import nothing_of_this_name\ndef test_x(image): pass\n", cells=[["a", ""]])
    assert done.returncode == 1
    assert "FAILED test_inner.py\n" in done.stdout
    assert "nothing_of_this_name" in done.stdout


def test_stopping_at_the_first_failure_is_no_interruption(run) -> None:
    text = "def test_x(image): assert 0\n"
    done = run(text, cells=[["a", ""], ["b", ""]])
    assert done.returncode == 1
    done = run(text, "--", "-x", cells=[["a", ""], ["b", ""]])
    assert done.returncode == 1
    assert "interrupted" not in done.stdout


def test_a_case_that_wants_what_cannot_be_had_is_explained(run) -> None:
    done = run("def test_x(system, boot): pass\n", cells=[["a", ""]])
    assert done.returncode == 1
    assert "take one of them" in done.stdout
    assert "Traceback" not in (done.stdout + done.stderr)


def test_what_is_not_a_results_folder_is_refused_and_left_alone(run, tmp_path: Path) -> None:
    (tmp_path / "out/cells").mkdir(parents=True)
    (tmp_path / "out/cells/mine").write_text("precious")
    done = run("def test_x(image): pass\n", cells=[["a", ""]])
    assert done.returncode == 2
    assert "already has cells, which no earlier run left there" in done.stderr
    assert "give --results a new folder" in done.stderr
    assert (tmp_path / "out/cells/mine").read_text() == "precious"
    (tmp_path / "out/results.json").write_text('{"mine": "too"}')
    assert run("def test_x(image): pass\n", cells=[["a", ""]]).returncode == 2


def test_an_earlier_runs_results_give_way(run, tmp_path: Path) -> None:
    assert run("def test_x(system): pass\n", cells=[["a", ""]]).returncode == 0
    (tmp_path / "out/notes.txt").write_text("mine")
    assert (tmp_path / "out/cells/a").is_dir()
    done = run("def test_x(system): pass\n", cells=[["b", ""]])
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out/cells").iterdir()] == ["b"]
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


def test_a_folder_that_has_just_been_begun_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    begun = folder.take().event_file
    with begun.open() as reader:  # open, so that its number is not given to a new file
        folder.take()
        assert os.path.samestat(os.fstat(reader.fileno()), begun.stat())
    begun.write_text(begun.read_text() * 2)
    folder.take()
    assert len(begun.read_text().splitlines()) == 1


def test_a_folder_that_was_only_begun_is_used_again(run, tmp_path: Path) -> None:
    # the arguments are wrong: pytest leaves its log, and no more
    assert run("", "--", "--no-such-option", cells=[["a", ""]]).returncode == 2
    assert (tmp_path / "out/pytest.log").exists()
    assert run("def test_x(image): pass\n", cells=[["a", ""]]).returncode == 0


@pytest.mark.parametrize(("error", "code", "whose"), [("UserError", 2, "your input"), ("HostError", 3, "this host")])
def test_an_error_while_building_is_told_as_what_it_is(run, tmp_path: Path, error: str, code: int, whose: str) -> None:
    done = run("def test_x(image): pass\n", cells=[["a", ""]], unbuildable=["a"], error=error)
    assert done.returncode == code
    assert "harness: a cannot be built\nwhat to do: make it smaller" in done.stderr
    assert f"the cause is in {whose}" in done.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["exit"] == code


def test_what_goes_to_the_build(run, tmp_path: Path) -> None:
    run("def test_x(image): pass\n", "--lock", "my.lock", "--offline", cells=[["a", ""]])
    said = (tmp_path / "log").read_text().splitlines()[0]
    settings = json.loads(said.removeprefix("how ").rpartition("}")[0] + "}")
    assert (settings["lock"], settings["offline"]) == (f"{tmp_path}/my.lock", True)


def test_a_case_that_fails_fails_where_python_would_leave_asserts_out(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    done = run("def test_x(image): assert False\n", "--", "--assert=plain", cells=[["a", ""]])
    assert done.returncode == 1, done.stderr


def test_a_plugin_that_keeps_pytest_from_beginning_is_no_bug_of_the_harness(run, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("raise RuntimeError('boom')\n")
    done = run("def test_x(image): pass\n", "--", "-p", "theirs", cells=[["a", ""]])
    assert done.returncode == 2
    assert "boom" in done.stderr and "(exit 2: the cause is in your input)" in done.stderr


def test_what_is_called_latest_and_is_no_link_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/latest").mkdir(parents=True)
    with pytest.raises(UserError, match="is not the link to the latest run"):
        matrix.results_folder(None)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["latest"]


def test_two_runs_that_begin_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda *_: "now")
    assert [matrix.results_folder(None).path.name for _ in range(3)] == ["now", "now-2", "now-3"]
    assert (tmp_path / "results/latest").resolve().name == "now-3"


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
    found = json.loads((tmp_path / "results/latest/results.json").read_text())
    assert (found["exit"], found["outcome"]["word"], found["cells"]) == (2, "could not begin", [])


def test_no_qemu_for_an_architecture(tmp_path: Path) -> None:
    # a PATH with everything but one QEMU; nothing is built for a cell that cannot boot
    programs = tmp_path / "bin"
    programs.mkdir()
    for place in ("/usr/bin", "/bin", "/usr/sbin"):
        for program in Path(place).iterdir():
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


@pytest.mark.proc
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


PLAIN = [
    sys.executable,
    "-m",
    "pytest",
    "test_inner.py",
    "-p",
    "no:cacheprovider",
    "--rootdir=.",
    "--harness-machine=x",
]


@pytest.mark.parametrize("command", [HARNESS, PLAIN], ids=["matrix", "pytest"])
def test_interrupted_while_images_are_built(tmp_path: Path, plan: Path, command: list[str]) -> None:
    (tmp_path / "test_inner.py").write_text("def test_a(image): pass\n")
    log = tmp_path / "out/events.jsonl"
    settings = {"cells": [["a", ""], ["b", ""], ["c", "no qemu"]], "hanging": ["b"]}
    own = [str(plan)] if command is HARNESS else []
    process = subprocess.Popen(
        [*command, *own, "--results" if own else "--harness-results", str(tmp_path / "out"),
         *(FAKE if own else FAKE[1:])], cwd=tmp_path,
        env=environment(tmp_path, settings), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    waiting(lambda: log.exists() and '"built"' in log.read_text())
    process.send_signal(signal.SIGINT)
    stdout = process.communicate(timeout=60)[0]
    if own:
        assert process.returncode == 130
        assert "interrupted" in stdout
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert (found["exit"], found["interrupted"]) == (130, True)
    assert [row["status"] for row in found["cells"]] == ["incomplete", "incomplete", "not run"]
    assert found["cells"][0]["size"] == 7
