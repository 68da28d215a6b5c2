"""A person at the console; the terminal is put back as it was, whatever happens."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from harness.boot.console import Console
from harness.errors import UserError

ESCAPE = b"\x1d"  # Ctrl-]
TICK_S = 0.2
NOTE = "\r\n[the console is yours; Ctrl-] leaves it]\r\n"


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Put a terminal into raw mode; back into its own on the way out."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def interact(console: Console, stdin: int | None = None, stdout: int | None = None) -> None:
    """Pass bytes between terminal and console until Ctrl-] is typed, input ends, or the machine does."""
    inside = sys.stdin.fileno() if stdin is None else stdin
    outside = sys.stdout.fileno() if stdout is None else stdout
    if not os.isatty(inside):
        raise UserError("the interactive console needs a terminal")
    with raw(inside):
        _write(outside, NOTE.encode())
        _write(outside, console.last_lines().replace("\n", "\r\n").encode())
        console.tap = lambda data: _write(outside, data)
        try:
            while not console.ended:
                if not select.select([inside], [], [], TICK_S)[0]:
                    continue
                typed = os.read(inside, 4096)
                before, escape, _ = typed.partition(ESCAPE)
                if before:
                    console.send(before)
                if escape or not typed:
                    break
        finally:
            console.tap = None
            _write(outside, b"\r\n")
