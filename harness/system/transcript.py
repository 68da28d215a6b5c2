"""The console on disk: a host time per line, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from harness.secrets import redact_bytes

LIMIT = 64 << 20  # bytes


class Transcript:
    """A file of console lines, each with the seconds since QEMU's start; host facts and command at its head."""

    def __init__(self, path: Path, facts: Mapping[str, object], limit: int = LIMIT) -> None:
        self.path = path
        self._room = limit
        self._full = False
        self._file = path.open("wb")
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        head = {"started": started, **facts}
        for key, value in head.items():
            self._file.write(redact_bytes(f"# {key}: {value}\n".encode(errors="replace")))
        self._file.flush()

    def write(self, lines: bytes, host_s: float) -> None:
        """Add whole lines (cleaned, each ended by a newline) that came at `host_s`; past the limit, a note once."""
        if self._full:
            return
        lines = redact_bytes(lines)
        stamp = b"%12.6f | " % host_s
        out = stamp + lines[:-1].replace(b"\n", b"\n" + stamp) + b"\n"
        if len(out) > self._room:
            self._full = True
            cut = out[: self._room].rpartition(b"\n")
            out = cut[0] + cut[1] + b"# the console said more than fits here: the rest was not written\n"
        self._room -= len(out)
        self._file.write(out)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Transcript:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
