"""The frame of the command: exit codes, words on stderr, and a quick start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import EXIT_BUG, EXIT_HOST, EXIT_INTERRUPTED, HostError, ImageError, UserError
from harness.show import frame

HEAVY = (
    "asyncio",
    "debian",
    "elftools",
    "filelock",
    "paramiko",
    "psutil",
    "pydantic",
    "pytest",
    "rich",
    "sqlalchemy",
    "yaml",
)


def harness(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell would."""
    argv = [sys.executable, "-c", "from harness.cli import main; main()", *words]
    return subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)


def test_start_imports_nothing_heavy() -> None:
    code = f"import harness.cli, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_version() -> None:
    assert "doctor" in harness("--help").stdout
    assert harness("--version").stdout.startswith("harness ")


def test_unknown_subcommand_is_the_users_mistake() -> None:
    done = harness("doctr")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [UserError("what", hint="do it"), HostError("what"), ImageError("what", details="x")])
def test_explained_errors_tell_all_they_know(
    error: HostError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(frame.DEBUG, raising=False)

    def fail() -> int:
        raise error

    assert frame.guarded(fail) == error.exit_code
    said = capsys.readouterr().err
    for part in (error.message, error.hint, error.details, error.whose):
        assert part in said
    assert "Traceback" not in said


def test_bug_ends_in_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.delenv(frame.DEBUG, raising=False)
    assert frame.guarded(lambda: 1 // 0) == EXIT_BUG
    (report,) = tmp_path.glob("crashes/crash-*.txt")
    assert "ZeroDivisionError" in report.read_text()
    said = capsys.readouterr().err
    assert str(report) in said
    assert "Traceback" not in said
    monkeypatch.setenv(frame.DEBUG, "1")
    frame.guarded(lambda: 1 // 0)
    assert "Traceback" in capsys.readouterr().err


def test_full_disk_is_the_hosts_matter(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> int:
        with Path("/dev/full").open("w") as stream:
            stream.write("x")
        return 0

    assert frame.guarded(write) == EXIT_HOST
    assert "disk is full" in capsys.readouterr().err


def test_interrupt() -> None:
    def stop() -> int:
        raise KeyboardInterrupt

    assert frame.guarded(stop) == EXIT_INTERRUPTED


def test_closed_pipe_is_quiet() -> None:
    code = (
        "import sys; from harness.commands.frame import guarded; sys.exit(guarded(lambda: print('x' * 1000000) or 0))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (frame.EXIT_PIPE, "")
