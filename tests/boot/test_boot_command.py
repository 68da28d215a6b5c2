"""`harness boot` as a person or a program calls it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.image import Image

HARNESS = str(Path(sys.executable).with_name("harness"))
MACHINE = ("-m", "qemu-arm64")


@pytest.fixture(scope="module")
def image(images: Callable[[str], Image]) -> str:
    return str(images("arm64").folder)


def harness(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HARNESS, "boot", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=False, **more)  # type: ignore[call-overload, no-any-return]  # fmt: skip


def test_a_command_s_output_and_exit_code_come_back(image: str) -> None:
    done = harness(image, *MACHINE, "--run", "echo out; cat /proc/cmdline; exit 9", "--json", "--append", "own.word=1")
    found = json.loads(done.stdout)
    assert done.returncode == found["code"] == 9
    assert found["output"].startswith("out\n")
    assert "own.word=1" in found["output"]


def test_without_a_terminal_it_boots_and_shows_its_steps(image: str, tmp_path: Path) -> None:
    done = harness(image, *MACHINE, "-o", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert "services/hello ready" in done.stdout
    assert "harness: ready" in (tmp_path / "kept/transcript.txt").read_text()


def test_exact_times_are_the_record_s(image: str) -> None:
    done = harness(image, *MACHINE, "--exact", "--json")
    found = json.loads(done.stdout)
    assert found["repeats"] is True
    assert found["records"][0]["ready_us"] == found["records"][1]["ready_us"] > 0


def test_an_explanation_adds_up(image: str) -> None:
    done = harness(image, *MACHINE, "--explain", "--json")
    found = json.loads(done.stdout)
    line = [phase for phase in found["phases"] if not phase["under"]]
    assert sum(phase["us"] for phase in line) == found["total_us"]
    assert {phase["name"].partition("/")[0] for phase in found["phases"]} >= {"initcall", "module", "services"}


def test_an_error_keeps_the_transcript_that_it_names(image: str, tmp_path: Path) -> None:
    done = harness(image, *MACHINE, "--timeout", "0.5", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 5
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("transcript: "))
    assert Path(line.removeprefix("transcript: ")).is_file()


def test_a_machine_that_qemu_does_not_know_is_the_machine_s_fault(image: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("arch: arm64\nconsole: ttyAMA0\nqemu: {machine: nosuch, cpu: cortex-a57}\n")
    done = harness(image, "-m", str(wrong))
    assert done.returncode == 4
    assert "nosuch" in done.stderr


class Seat:
    """A person's terminal with a command running in it."""

    def __init__(self, *words: str) -> None:
        self.person, terminal = pty.openpty()
        self.before = termios.tcgetattr(terminal)
        self.terminal = terminal
        self.process = subprocess.Popen([HARNESS, "boot", *words], stdin=terminal, stdout=terminal, stderr=terminal)
        self.seen = b""

    def until(self, words: bytes) -> None:
        while words not in self.seen:
            self.seen += os.read(self.person, 4096)

    def end(self) -> int:
        code = self.process.wait(60)
        # QEMU's console is raw; what a person is left with is not
        assert termios.tcgetattr(self.terminal) == self.before
        return code


def test_a_person_has_the_console_until_they_leave_it(image: str) -> None:
    seat = Seat(image, *MACHINE)
    seat.until(b"harness: ready")
    os.write(seat.person, b"\x1d")
    assert seat.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(image: str, number: signal.Signals) -> None:
    seat = Seat(image, *MACHINE)
    seat.until(b"harness: init")
    seat.process.send_signal(number)
    assert seat.end() == 130


def test_a_person_is_told_why_the_machine_has_ended(image: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("arch: arm64\nconsole: ttyAMA0\nqemu: {machine: nosuch, cpu: cortex-a57}\n")
    seat = Seat(image, "-m", str(wrong))
    seat.until(b"the cause is in the machine")
    assert seat.end() == 4
