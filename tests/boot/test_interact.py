"""A person at the console: bytes go both ways, and the terminal is put back."""

from __future__ import annotations

import os
import pty
import termios
import threading
import time
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.system.channels import PipeSource
from harness.system.console import Console
from harness.system.interact import interact
from harness.system.listener import Listener
from harness.system.transcript import Transcript


def read_until(descriptor: int, words: bytes) -> bytes:
    got = b""
    while words not in got:
        got += os.read(descriptor, 4096)
    return got


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Console, int, int]:
    """Give a console, what is typed into it, and where the machine speaks."""
    heard, speak = os.pipe()
    typed, into = os.pipe()
    return Console(PipeSource(heard, into), Listener(Transcript(tmp_path / "t", {})), time.monotonic), typed, speak


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", ["escape", "machine"])
def test_bytes_go_both_ways_and_the_terminal_comes_back(ends: tuple[Console, int, int], end: str) -> None:
    console, typed, speak = ends
    person, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    seat = threading.Thread(target=interact, args=(console, terminal, terminal))
    seat.start()
    read_until(person, b"Ctrl-]")
    os.write(speak, b"login: ")
    read_until(person, b"login: ")
    assert termios.tcgetattr(terminal) != before  # raw, or Ctrl-C would end the harness
    os.write(person, b"root\x03\r")
    assert read_until(typed, b"\r") == b"root\x03\r"
    if end == "escape":
        os.write(person, b"bye\x1dlost")
        assert read_until(typed, b"bye") == b"bye"
    else:
        os.close(speak)
    seat.join()
    assert termios.tcgetattr(terminal) == before
    assert console.tap is None
    console.close()


@pytest.mark.timeout(60)
def test_a_terminal_that_is_gone_is_the_end_of_input(ends: tuple[Console, int, int]) -> None:
    console, _, speak = ends
    person, terminal = pty.openpty()
    left: list[bool] = []
    seat = threading.Thread(target=lambda: left.append(interact(console, terminal, terminal)))
    seat.start()
    read_until(person, b"Ctrl-]")
    os.close(person)
    os.write(speak, b"nobody sees this\n")
    seat.join()
    assert left == [True]
    with console.changed:
        assert console.changed.wait_for(lambda: "nobody sees" in console.listener.last_lines(), 20)
    assert console.error is None  # the machine is heard on
    os.close(speak)
    console.close()
    os.close(terminal)


def test_without_a_terminal_it_is_refused(ends: tuple[Console, int, int]) -> None:
    console, typed, speak = ends
    with pytest.raises(UserError, match="terminal"):
        interact(console, typed, speak)
    os.close(speak)
    console.close()
