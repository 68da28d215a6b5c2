"""What ends a worker, pytest or a QEMU, or what this host lacks, is not an image's fault, and nothing is lost by it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from inner_pytest import environment

from harness import hostfaults
from harness.errors import HostError, ImageError
from harness.hostfaults import host_fault
from harness.run.folder import RunFolder
from harness.run.results_model import Results

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()", "matrix", "plan.yml", "--results", "out"]
FAKE = ["--", "-p", "fake_cells", "-c", os.devnull]
# Each cell's name says which signal hits its case, the first time that it runs or always.
CASES = """
import os, signal
from pathlib import Path
def test_good(system): pass
def test_hit(system, cell):
    if cell.id == "fine": return
    name, whom, times = cell.id.split("-")
    marks = Path(f"marks-{cell.id}")
    count = marks.stat().st_size if marks.exists() else 0
    marks.write_text("x" * (count + 1))
    if count < int(times):
        pid = os.getpid() if whom == "worker" else os.getppid()
        os.kill(pid, getattr(signal, name))
        if whom != "worker":
            import time
            time.sleep(60)
"""
Start = Callable[..., "subprocess.Popen[str]"]
pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path: Path) -> Start:
    (tmp_path / "test_inner.py").write_text(CASES)
    (tmp_path / "minimal.yml").write_text("kernel: {image: kernel}\n")
    plan = "machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n"
    (tmp_path / "plan.yml").write_text(plan)

    def matrix(cells: list[str], *args: str, ignored: bool = False, **settings: Any) -> subprocess.Popen[str]:
        # as a script that starts it in the background does
        shell = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"] if ignored else []
        return subprocess.Popen(
            [*shell, *HARNESS, "-n", "1", "--no-history", *args, *FAKE], cwd=tmp_path, text=True,
            env=environment(tmp_path, {"cells": [[name, ""] for name in cells], **settings}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return matrix


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err


def found(folder: Path) -> Results:
    return RunFolder(folder / "out").read_results()


def nothing_is_left(folder: Path) -> bool:
    """Say whether no process of the run is there any more."""
    gone = time.monotonic() + 20
    while time.monotonic() < gone:
        mine = []
        for process in psutil.process_iter(["environ"]):
            with suppress(psutil.Error):
                if (process.info["environ"] or {}).get("FAKE_LOG") == str(folder / "log"):
                    mine.append(process)
        if not mine:
            return True
        time.sleep(0.1)
    return False


SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGSEGV", "SIGABRT")


def test_a_worker_that_ends_is_the_hosts_and_its_case_runs_again(start: Start, tmp_path: Path) -> None:
    cells = [f"{name}-worker-1" for name in SIGNALS]
    code, text = finish(start([*cells, "fine"]))
    assert code == 0, text
    rows = {row.id: row for row in found(tmp_path).cells}
    assert {row.status for row in rows.values()} == {"passed"}
    for name in SIGNALS:
        (again,) = rows[f"{name}-worker-1"].repeated
        assert (again.whose, again.message) == ("this host", f"the worker that ran it was ended by {name}")
        assert f"REPEATED test_inner.py::test_hit[{name}-worker-1]" in text
    assert nothing_is_left(tmp_path)


def test_a_case_that_ends_workers_twice_is_still_not_the_images(start: Start, tmp_path: Path) -> None:
    code, text = finish(start(["SIGKILL-worker-9", "fine"]))
    bad, fine = found(tmp_path).cells
    assert (code, bad.status, fine.status) == (4, "lab failed", "passed"), text
    (failure,) = bad.failures
    assert failure.whose == "this host" and "was ended by SIGKILL, twice" in failure.message
    assert bad.cases.passed == 1
    assert "failed: 0 of" not in text


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_pytest_that_is_killed_goes_on_once(start: Start, tmp_path: Path, name: str) -> None:
    code, text = finish(start(["fine", f"{name}-pytest-1"]))
    assert code == 0, text
    results = found(tmp_path)
    assert [row.status for row in results.cells] == ["passed", "passed"]
    assert f"pytest was ended by {name}, and went on once more" in results.notes
    assert nothing_is_left(tmp_path)


def test_a_pytest_that_is_killed_twice_is_this_hosts(start: Start, tmp_path: Path) -> None:
    code, text = finish(start(["SIGKILL-pytest-9"]))
    results = found(tmp_path)
    assert (code, results.outcome.word) == (3, "ended early"), text
    assert "pytest was ended by SIGKILL twice" in results.error
    assert "a bug in the harness" not in text
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(("name", "whom", "ignored"), [
    ("SIGTERM", "pytest", False), ("SIGHUP", "pytest", False), ("SIGINT", "matrix", False), ("SIGTERM", "matrix", True),
    ("SIGHUP", "matrix", False), ("SIGINT", "matrix", True),
])  # fmt: skip
def test_signals_that_ask_for_an_end_get_one(start: Start, tmp_path: Path, name: str, whom: str, ignored: bool) -> None:
    process = start(["SIGUSR1-nobody-0" if whom == "matrix" else f"{name}-pytest-9"], ignored=ignored)
    if whom == "matrix":
        (tmp_path / "test_inner.py").write_text("import time\ndef test_x(system): time.sleep(300)\n")
        log = RunFolder(tmp_path / "out").event_file
        end = time.monotonic() + 120
        while not (log.exists() and b'"booted"' in log.read_bytes()):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(getattr(signal, name))
    code, text = finish(process)
    results = found(tmp_path)
    assert (code, results.exit, results.outcome.word) == (130, 130, "interrupted"), text
    assert (tmp_path / "out/summary.md").read_text().startswith("## interrupted: ")
    assert nothing_is_left(tmp_path)


# what fails, and the words by which this host or the machine is named
FAULTS = {
    "ENOSPC": "the disk of /some/where is full", "EDQUOT": "the disk of /some/where is full",
    "EMFILE": "too many files are open in one process", "ENFILE": "too many files are open on this host",
    "ENOMEM": "no memory left", "EIO": "input/output error", "EROFS": "can only be read", "EFBIG": "the most that this",
    "memory": "no memory left", "process": "no more processes", "thread": "no more processes",
    "qemu": "QEMU was ended by SIGKILL",
}  # fmt: skip


@pytest.mark.parametrize("times", [1, 9])
def test_what_this_host_lacks_is_its_own_fault_at_every_boot(start: Start, tmp_path: Path, times: int) -> None:
    (tmp_path / "test_inner.py").write_text("def test_x(system): pass\ndef test_y(system): pass\n")
    code, text = finish(start([*FAULTS, "fine"], faults={name: [name, times] for name in FAULTS}))
    rows = {row.id: row for row in found(tmp_path).cells}
    assert rows.pop("fine").status == "passed"
    assert {row.status for row in rows.values()} == {"passed" if times == 1 else "lab failed"}, text
    assert code == (0 if times == 1 else 4)
    for name, words in FAULTS.items():
        whose = "the machine" if name == "qemu" else "this host"
        said = [*rows[name].repeated, *rows[name].failures]
        assert words in said[0].message and {one.whose for one in said} == {whose}, name
        assert len(rows[name].repeated) == 1, "a case that only follows is not tried again"
    assert "a bug in the harness" not in text


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FILLS = """
import os
def test_good(system): pass
def test_fills(system, cell):
    with open("out/filler", "wb") as stream:
        while stream.write(b"x" * 4096): stream.flush()
def test_after(system): assert 0, "nothing can be judged here"
"""


def test_a_full_disk_is_named_by_its_folder_and_is_no_images_fault(start: Start, tmp_path: Path) -> None:
    with small_disk(tmp_path / "out", "2m") as disk:
        (tmp_path / "test_inner.py").write_text(FILLS)
        code, text = finish(start(["a"]))
        assert code in (3, 4), text
        assert f"the disk of {disk} is full" in text
        assert "a bug in the harness" not in text and "Traceback" not in text
        (disk / "filler").unlink()
        (tmp_path / "test_inner.py").write_text("def test_good(system): pass\n")
        code, text = finish(start(["a"], "--resume"))
        assert code == 0, text
        assert [row.status for row in found(tmp_path).cells] == ["passed"]
    assert nothing_is_left(tmp_path)


def test_words_that_are_no_text_cross_a_process(start: Start, tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(
        "import warnings\n"
        "def test_x(system):\n"
        "    print('said \\udcff')\n"
        "    warnings.warn('warned \\udcfe')\n"
        "    assert 0, 'half \\udcff of a letter'\n"
    )
    code, text = finish(start(["a"]))
    (row,) = found(tmp_path).cells
    assert (code, row.status) == (1, "failed"), text
    assert "half \\udcff of a letter" in row.failures[0].message


def test_cases_of_one_name_in_two_files_both_run_wherever_they_lie(start: Start, tmp_path: Path) -> None:
    for folder, name in (("x", "m"), ("y", "m2")):
        path = tmp_path / "else" / "where" / folder / f"test_{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(
            "import pytest\n@pytest.mark.parametrize('n', [1, 2])\n"
            f"def test_same(system, n): assert not ({folder!r} == 'y' and n == 2), 'found'\n"
        )
    (tmp_path / "here").mkdir()
    (tmp_path / "here/test_own.py").write_text("def test_same(system): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "fake_cells", "-p", "no:cacheprovider", "--rootdir", "here", "-c",
         os.devnull, "else/where/x/test_m.py", "else/where/y/test_m2.py", "here/test_own.py", "--harness-results=out",
         "--harness-machine=x", "-n1"],
        cwd=tmp_path, env=environment(tmp_path, {"cells": [["a", ""]]}), capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    (row,) = found(tmp_path).cells
    assert row.cases.counts == {"passed": 4, "failed": 1, "skipped": 0, "known": 0}, done.stdout
    assert (row.status, row.unrun) == ("failed", ())
    assert row.failures[0].case.endswith("else/where/y/test_m2.py::test_same[a-2]")


def test_editing_a_file_while_the_run_goes_on_changes_nothing_of_it(start: Start, tmp_path: Path) -> None:
    machine = Path(sys.modules["harness"].__file__ or "").parent.parent / "machines/qemu-x86_64.yml"
    (tmp_path / "mine.yml").write_text(machine.read_text())
    (tmp_path / "plan.yml").write_text(
        "machines: [mine.yml]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n"
        "known: [{case: test_bad, issue: t/1, until: 2099-01-01}]\n"
    )
    (tmp_path / "test_inner.py").write_text(
        "from pathlib import Path\n"
        "def test_edits(image):\n"
        "    for name in ('plan.yml', 'mine.yml', 'minimal.yml'): Path(name).write_text('nonsense: [')\n"
        "def test_reads(system, machine): assert machine.qemu.memory and machine.digest\n"
        "def test_bad(image): assert 0\n"
    )
    code, text = finish(start(["a"], machines={"a": str(tmp_path / "mine.yml")}))
    (row,) = found(tmp_path).cells
    assert (code, row.status) == (0, "passed"), text
    assert (row.cases.passed, row.cases.known) == (2, 1)
    kept = json.loads((tmp_path / "out/inputs.json").read_text())
    assert kept["plan"]["known"][0]["case"] == "test_bad"
    assert len(kept["cells"][0]["machine"]["digest"]) == 64


def test_a_night_that_could_not_begin_is_told_and_leaves_nothing_of_yesterday(start: Start, tmp_path: Path) -> None:
    from test_notify import Room

    room = Room()
    try:
        assert finish(start(["fine"]))[0] == 0
        before = found(tmp_path)
        (tmp_path / "plan.yml").write_text(
            "machines: [qemu-x86_64]\nimages: [{path: minimal.yml}, {path: wrong.yml}]\nnotify: {webhook_env: HOOK}\n"
        )
        os.environ["HOOK"] = room.url
        code, text = finish(start(["fine"]))
    finally:
        os.environ.pop("HOOK", None)
        room.server.shutdown()
        room.server.server_close()
    results = found(tmp_path)
    assert (code, results.exit, results.outcome.word, results.cells) == (2, 2, "could not begin", ()), text
    assert "wrong.yml" in results.error
    (heard,) = room.heard
    assert (heard["exit"], heard["outcome"]) == (2, "could not begin")
    for name in ("summary.md", "junit.xml", "report.html"):
        assert "could not begin" in (tmp_path / "out" / name).read_text(), name
    assert not (tmp_path / "out/cells").exists()
    assert json.loads((tmp_path / "out/previous.json").read_text())["run"] == before.run


def test_what_an_error_says_of_this_host() -> None:
    assert host_fault(ValueError("x")) is None
    assert host_fault(BlockingIOError(errno.EAGAIN, "nothing to read")) is None
    assert host_fault(ImageError("it panicked")) is None
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/a/b/c")
        except OSError as inner:
            raise RuntimeError("while it wrote") from inner
    except RuntimeError as error:
        fault = host_fault(error)
    assert fault is not None and fault.message == "the disk of /a/b is full"
    same = HostError("no mirror")
    assert host_fault(same) is same


def test_where_a_disk_is_full_is_found_by_writing(tmp_path: Path) -> None:
    assert hostfaults.full([tmp_path]) == []
    with small_disk(tmp_path / "small", "64k") as disk:
        (disk / "file").write_bytes(b"x" * 8192)
        assert hostfaults.full([tmp_path, disk]) == [disk]


def test_a_thread_that_cannot_be_started_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse)
    with pytest.raises(HostError, match="no more processes"), hostfaults.explained():
        threading.Thread(target=print).start()
