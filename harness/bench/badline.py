"""A light board to try serial consoles on: a shell behind a line that loses, doubles and flips characters.

Its device is a terminal of its own, so that all of the harness's side is real; ``kernel`` lines come in the middle.
"""

from __future__ import annotations

import os
import pty
import random
import select
import signal
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

SHELL = ("sh", "-i")
PIECE = 4096
TICK_S = 0.05
CODES = (b"\x1b[0m", b"\x1b[1;32m", b"\x1b[2J\x1b[H", b"\x1b]0;board\x07")
KERNEL = b"\r\n[%12.6f] usb 1-1: new high-speed USB device number %d using xhci\r\n"


@dataclass(frozen=True)
class LineFaults:
    """What is wrong with a line. ``mean`` is the characters between two faults, either way; 0 means none."""

    mean: float = 0
    kinds: tuple[str, ...] = ("lost", "flipped")  # and "doubled"
    kernel_s: float = 0  # seconds between two lines of the kernel, anywhere in what comes; 0: none
    codes: bool = False  # terminal codes, anywhere in what comes
    late_s: float = 0  # before the first output
    echo: bool = True  # the shell's terminal says what is typed


@dataclass
class LineBoard:
    """A running one: the path of its serial device, what has been done to the line, and its reset button."""

    faults: LineFaults
    random: random.Random
    device: str = ""
    spoilt: int = 0
    resets: int = 0
    stop: bool = False
    shell: subprocess.Popen[bytes] | None = None
    reset_at: float = 0  # characters from the harness after which it resets on its own; 0: never
    heard: int = 0
    _inner: int = -1
    _next: float = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._next = self._gap()

    def _gap(self) -> float:
        return self.random.expovariate(1 / self.faults.mean) if self.faults.mean else float("inf")

    def spoil(self, data: bytes) -> bytes:
        """Return what comes out of the line's other end."""
        out, at = bytearray(), 0
        while self._next < len(data) - at:
            spot = at + int(self._next)
            out += data[at:spot]
            byte = data[spot]
            out += {
                "lost": b"",
                "doubled": bytes([byte] * 2),
                "flipped": bytes([byte ^ 1 << self.random.randrange(7)]),
            }[self.random.choice(self.faults.kinds)]
            self.spoilt += 1
            at, self._next = spot + 1, self._gap()
        self._next -= len(data) - at
        return bytes(out + data[at:])

    def reset(self) -> None:
        """Start its shell anew, as a reset does: what ran is gone, and what was typed is lost."""
        self.close()
        ours, its = pty.openpty()
        if not self.faults.echo:
            subprocess.run(["stty", "-F", os.ttyname(its), "-echo"], check=True)
        self.shell = subprocess.Popen(
            SHELL,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "PS1": "# "},
        )
        os.close(its)
        self._inner = ours
        self.resets += 1

    def close(self) -> None:
        """End the shell and what it has started."""
        if self.shell:
            with suppress(ProcessLookupError):
                os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()
            os.close(self._inner)
            self.shell = None

    def pump(self, line: int) -> None:
        """Carry characters both ways until `stop`."""
        began, number = time.monotonic(), 0
        kernel = began + self.faults.kernel_s
        held = b""
        while not self.stop:
            ready, _, _ = select.select([line, self._inner], [], [], TICK_S)
            now = time.monotonic()
            if line in ready:
                typed = os.read(line, PIECE)
                self.heard += len(typed)
                if self.reset_at and self.heard > self.reset_at:
                    self.reset_at = 0
                    self.reset()
                    os.write(line, b"\r\n\r\nU-Boot 2026.01\r\n[    0.000000] Booting Linux\r\n")
                    continue
                _all(self._inner, self.spoil(typed))
            said = _read(self._inner) if self._inner in ready else b""
            if self.faults.kernel_s and now > kernel:
                number, kernel = number + 1, now + self.faults.kernel_s
                said = self._between(said, KERNEL % (now - began, number))
            if said and self.faults.codes:
                said = self._between(said, self.random.choice(CODES))
            held += self.spoil(said)
            if now - began >= self.faults.late_s:
                _all(line, held)
                held = b""

    def _between(self, said: bytes, words: bytes) -> bytes:
        at = self.random.randint(0, len(said))
        return said[:at] + words + said[at:]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, PIECE)
    except OSError:  # the shell has ended
        time.sleep(TICK_S)
        return b""


def _all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def board(faults: LineFaults, seed: int = 0, reset_at: float = 0) -> Iterator[LineBoard]:
    """Give a board behind a line with these faults; it is gone when the block is left."""
    ours, its = pty.openpty()
    tty.setraw(its)
    made = LineBoard(faults, random.Random(seed), os.ttyname(its), reset_at=reset_at)
    made.reset()
    thread = threading.Thread(target=made.pump, args=(ours,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stop = True
        thread.join()
        made.close()
        os.close(its)
        os.close(ours)
