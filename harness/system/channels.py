"""Where a console's bytes come from: pipes to QEMU, or the file that QEMU writes."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from harness.errors import ImageError, MachineError, UserError
from harness.text import of_error

PIECE = 256 << 10  # most bytes taken at once
# A serial port hands over byte by byte: after a pause of this long many come at once, for one wake-up of this process.
GATHER_S = 0.004
SEND_S = 10.0  # how long the guest may take to make room for input
FOLLOW_S = 0.01  # how often the file is looked at
MOST_FILE = 1 << 30  # bytes that an exact boot's console may fill the disk with


class ConsoleSource(Protocol):
    """Bytes from a machine's console, and to it where it can hear."""

    def read(self, timeout: float) -> bytes | None:
        """Return the bytes that came within `timeout` seconds (perhaps none); None when no more can come."""

    def write(self, data: bytes) -> None:
        """Send all of `data` to the console."""

    def close(self) -> None:
        """Let go of it."""


class PipeSource:
    """A console behind file descriptors: one to read, one to write, both its own now.

    QEMU writes a serial port byte by byte. A pipe takes as many bytes as it is large; a socket takes a few hundred
    such writes and then holds the guest up until the reader comes, which on a busy host is late.
    """

    def __init__(self, out: int, into: int) -> None:
        os.set_blocking(out, False)
        os.set_blocking(into, False)
        self._out, self._in = out, into
        # a QEMU that dies before it has opened the pipe leaves one that never had a writer, and so has no end
        self.alive: Callable[[], bool] = lambda: True

    def read(self, timeout: float) -> bytes | None:
        alive = self.alive()  # asked first: what was written before the end is then still read
        if not select.select([self._out], [], [], timeout)[0]:
            return b"" if alive else None
        time.sleep(GATHER_S)
        try:
            return os.read(self._out, PIECE) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def write(self, data: bytes) -> None:
        end = time.monotonic() + SEND_S
        while data:
            if not select.select([], [self._in], [], max(0.0, end - time.monotonic()))[1]:
                raise MachineError(f"the console takes no input for {SEND_S:g} s")
            try:
                data = data[os.write(self._in, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise MachineError(f"the console takes no input: {of_error(error)}") from error

    def close(self) -> None:
        for descriptor in {self._out, self._in}:
            os.close(descriptor)


def fifos(base: Path) -> PipeSource:
    """Make the named pipes of a QEMU ``-chardev pipe,path=BASE`` and open the harness's side of them."""
    out, into = (base.with_name(base.name + end) for end in (".out", ".in"))
    for path in (out, into):
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    return PipeSource(os.open(out, os.O_RDONLY | flags), os.open(into, os.O_RDWR | flags))


class FileSource:
    """A console in a file that grows while `alive()`; a reader of a file cannot hold its writer up."""

    def __init__(self, path: Path, alive: Callable[[], bool]) -> None:
        self._path, self._alive = path, alive
        self._file: BinaryIO | None = None
        self._size = 0

    def read(self, timeout: float) -> bytes | None:
        end = time.monotonic() + timeout
        while True:
            alive = self._alive()  # asked first: what was written before the end is then still read
            data = self._next()
            if data or time.monotonic() >= end:
                return data
            if not alive:
                return None
            time.sleep(FOLLOW_S)

    def _next(self) -> bytes:
        if self._file is None:
            try:
                self._file = self._path.open("rb", buffering=0)
            except FileNotFoundError:
                return b""
        data = self._file.read(PIECE)
        self._size += len(data)
        if self._size > MOST_FILE:
            raise ImageError(f"the console said more than {MOST_FILE >> 20} MiB")
        return data

    def write(self, data: bytes) -> None:
        raise UserError("an exact boot's console cannot be written to", hint="boot in wall mode")

    def close(self) -> None:
        if self._file:
            self._file.close()
