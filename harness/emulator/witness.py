"""The file in which QEMU writes down each frame that its guest sends, with its own clock's time (``filter-dump``)."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from harness.errors import ImageError, MachineError
from harness.system.frames import Frame
from harness.system.milestones import RTC_BASE

PIECE = 1 << 20  # most bytes taken at once
MOST_FILE = 256 << 20  # bytes that a guest's frames may fill the disk with
_HEADER = struct.Struct("<IHHiIII")  # of the file (pcap): magic, version, zone, digits, longest frame, link type
_RECORD = struct.Struct("<IIII")  # of a frame: seconds, microseconds, bytes kept, bytes it had
_MAGIC, _ETHERNET, _LONGEST = 0xA1B2C3D4, 1, 65536
_BASE_US = int(datetime.fromisoformat(f"{RTC_BASE}T00:00:00+00:00").timestamp()) * 1_000_000


class FrameFile:
    """Reads the frames of a pcap file that grows; `counted`: it is an exact boot's, whose clock began at `RTC_BASE`."""

    def __init__(self, path: Path, *, counted: bool) -> None:
        self._path, self._counted = path, counted
        self._file: BinaryIO | None = None
        self._pending = b""
        self._begun = False
        self._size = 0

    def read(self) -> list[Frame]:
        """Return the frames that have come since the last call; MachineError when the file is none of QEMU's."""
        found: list[Frame] = []
        while data := self._next():
            self._pending += data
            found += self._frames()
        return found

    def _next(self) -> bytes:
        if self._file is None:
            try:
                self._file = self._path.open("rb", buffering=0)
            except FileNotFoundError:
                return b""
        data = self._file.read(PIECE)
        self._size += len(data)
        if self._size > MOST_FILE:
            raise ImageError(f"the guest sent more than {MOST_FILE >> 20} MiB")
        return data

    def _frames(self) -> list[Frame]:
        at, found = 0, []
        if not self._begun:
            if len(self._pending) < _HEADER.size:
                return []
            magic, *_, kind = _HEADER.unpack_from(self._pending)
            if magic != _MAGIC or kind != _ETHERNET:
                raise MachineError(f"what QEMU has written down of the network is not a pcap file: {self._path}")
            self._begun, at = True, _HEADER.size
        while len(self._pending) >= at + _RECORD.size:
            seconds, us, kept, _ = _RECORD.unpack_from(self._pending, at)
            if kept > _LONGEST:
                raise MachineError(f"what QEMU has written down of the network has a frame of {kept} bytes")
            end = at + _RECORD.size + kept
            if len(self._pending) < end:
                break
            at_us = seconds * 1_000_000 + us - _BASE_US if self._counted else None
            found.append(Frame(at_us, self._pending[at + _RECORD.size : end]))
            at = end
        self._pending = self._pending[at:]
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()
