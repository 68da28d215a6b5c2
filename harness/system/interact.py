"""A person at the console; the terminal is put back as it was, whatever happens."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.errors import UserError
from harness.system.console import Console
from harness.system.listener import READY
from harness.system.screen import Screen

ESCAPE = b"\x1d"  # Ctrl-]
TICK_S = 0.2
NOTE = "\r\n[the console is yours; Ctrl-] leaves it]\r\n"
READY_NOTE = "\r\n[ready: press Enter; Ctrl-] leaves it]\r\n"


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Put a terminal into raw mode; back into its own on the way out."""
    before = termios.tcgetattr(descriptor)
    try:
        with _ended_by_signals():
            tty.setraw(descriptor)
            yield
    finally:
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block like Ctrl-C would, instead of the process with its terminal still raw."""
    if threading.current_thread() is not threading.main_thread():  # only there does Python hear signals
        yield
        return
    handlers = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _is_ready(console: Console) -> bool:
    return any(mark.name == READY for mark in console.listener.milestones)


def _write(descriptor: int, data: bytes) -> None:
    """Show `data` as long as there is a terminal: the machine's console is heard without one too."""
    with suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def interact(console: Console, stdin: int | None = None, stdout: int | None = None) -> bool:
    """Pass bytes between terminal and console; return True when the person left it (Ctrl-], end of input).

    False: the machine has ended.
    """
    inside = sys.stdin.fileno() if stdin is None else stdin
    outside = sys.stdout.fileno() if stdout is None else stdout
    if not os.isatty(inside):
        raise UserError("the interactive console needs a terminal")
    with raw(inside):
        screen, awaited = Screen(), True
        _write(outside, NOTE.encode())
        _write(outside, screen.feed(f"{console.last_lines()}\n".replace("\n", "\r\n").encode()).rstrip(b"\r\n"))
        console.tap = lambda data: _write(outside, screen.feed(data))
        try:
            while not console.ended:
                if awaited and _is_ready(console):
                    awaited = False
                    _write(outside, READY_NOTE.encode())
                if not select.select([inside], [], [], TICK_S)[0]:
                    _write(outside, screen.idle())
                    continue
                typed = os.read(inside, 4096)
                before, escape, _ = typed.partition(ESCAPE)
                if before:
                    console.send(before)
                if escape or not typed:
                    return True
            return False
        finally:
            console.tap = None
            _write(outside, b"\r\n")
