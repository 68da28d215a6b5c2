"""The kernel's log over SSH, for a board without a console: heard from its beginning once the system answers.

Of a boot that never answers nothing is known, nor of what comes after its SSH server on the way down.
"""

from __future__ import annotations

import queue
import re
import shlex
import threading
import time
from contextlib import suppress

from harness.board.connection import AGAIN_S, Connection, UnreachableError
from harness.board.source import BoardSource
from harness.errors import HarnessError, UserError

# A container has the kernel's log for itself only where it is given; an image of ours leads out of one.
FOLLOW = """
cat /proc/sys/kernel/random/boot_id || exit
[ -r /dev/kmsg ] && exec cat /dev/kmsg
exec /usr/bin/busybox nsenter -t 1 -m /bin/cat /dev/kmsg
"""
PIECE = 64 << 10
MOST_PIECES = 64  # that wait to be read
# A record of the log: level, number, µs since its clock's zero, flags, perhaps more; then words, with what is not
# printable as \xNN (Documentation/ABI/testing/dev-kmsg). Lines that begin with a space are about the one before.
_RECORD = re.compile(rb"\d{1,10},(?P<number>\d{1,20}),(?P<us>\d{1,18}),[^;\n]{0,200};(?P<words>[^\n]*)")


class Records:
    """Makes console lines of the log's records, each once however often the log is read."""

    def __init__(self) -> None:
        self._boot, self._last, self._rest, self._named = b"", -1, b"", False

    @property
    def heard(self) -> bool:
        """Whether any log was read."""
        return bool(self._boot)

    def begin(self) -> None:
        """The log is read from its beginning: its boot comes first."""
        self._rest, self._named = b"", False

    def take(self, data: bytes) -> bytes:
        """Return the console's lines for the next bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-PIECE:]
        return b"".join(map(self._line, lines))

    def _line(self, line: bytes) -> bytes:
        if not self._named:
            self._named = True
            if line != self._boot:
                self._boot, self._last = line, -1
            return b""
        match = _RECORD.fullmatch(line)
        if match is None or int(match["number"]) <= self._last:
            return b""
        self._last = int(match["number"])
        seconds, us = divmod(int(match["us"]), 1_000_000)
        return b"[%5d.%06d] %s\n" % (seconds, us, match["words"])


class LogSource(BoardSource):
    """The log's bytes as a console's; they go on in the next boot, and end at no boot's end."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self.why = connection, ""
        self._pieces: queue.Queue[bytes | HarnessError] = queue.Queue(MOST_PIECES)
        self._closed = False
        threading.Thread(target=self._follow, name="kernel log", daemon=True).start()

    def read(self, timeout: float) -> bytes | None:
        try:
            piece = self._pieces.get(timeout=timeout)
        except queue.Empty:
            return b""
        if isinstance(piece, HarnessError):
            raise piece
        return piece

    def write(self, data: bytes) -> None:
        raise UserError("this board has no console to type on", hint="`console: {log: true}` only listens")

    def close(self) -> None:
        self._closed = True
        self._connection.close()

    def _follow(self) -> None:
        """Read the log whenever the system answers."""
        records = Records()
        while not self._closed:
            try:
                self._read(records)
            except UnreachableError:
                pass
            except HarnessError as error:
                self._put(error)
                return
            if self._closed:
                break
            time.sleep(AGAIN_S)

    def _read(self, records: Records) -> None:
        import paramiko

        records.begin()
        with suppress(paramiko.SSHException, OSError, EOFError), self._connection.channel() as channel:
            channel.exec_command(f"exec /bin/sh -c {shlex.quote(FOLLOW)}")
            while data := channel.recv(PIECE):
                self.lost_s = None
                self._put(records.take(data))
        if self.lost_s is None and records.heard:
            self.lost_s = time.monotonic()

    def _put(self, piece: bytes | HarnessError) -> None:
        while piece and not self._closed:
            try:
                self._pieces.put(piece, timeout=AGAIN_S)
                return
            except queue.Full:
                continue
