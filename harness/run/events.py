"""What happens in a run, one JSON line an event: every process of the run appends, whoever looks on reads along."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.hostfaults import explained
from harness.secrets import redact

Event = dict[str, Any]
BEGINNING = b'{"event": '


class Events:
    """The events of a run, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def tell(self, event: str, **facts: Any) -> None:
        """Append one event; safe with several processes at once, for one write is one line."""
        line = redact(json.dumps({"event": event, **facts}, default=str)) + "\n"
        with explained(self.path.parent):
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        data = line.encode()
        try:
            with explained(self.path.parent):
                if os.write(fd, data) < len(data):  # of a disk that is nearly full
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        finally:
            os.close(fd)

    def skip(self) -> None:
        """Pass over what has come so far."""
        self._read = self.path.stat().st_size if self.path.exists() else 0

    def news(self) -> list[Event]:
        """Return the events that have come since the last call; a line that is still being written waits."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._read)
                text = stream.read()
        except FileNotFoundError:
            return []
        whole = text.rfind(b"\n") + 1
        self._read += whole
        return [event for line in text[:whole].splitlines() if (event := parsed(line)) is not None]


def parsed(line: bytes) -> Any:
    """Return the event of a line; the second where a full disk has torn one and the next was written after it.

    None of a line that holds no event at all.
    """
    for start in (0, line.rfind(BEGINNING)):
        try:
            return json.loads(line[max(start, 0) :])
        except (ValueError, RecursionError):
            continue
    return None


def read(path: Path) -> list[Event]:
    """Return all events of a run."""
    return Events(path).news()


def whole(path: Path) -> tuple[list[Event], int]:
    """Return a run's events before what a crash has left unfinished, and how many bytes these take.

    A host that lost its power may have written half a line, or zeros where a line was to come.
    """
    found: list[Event] = []
    size = 0
    with path.open("rb") as stream:
        for line in stream:
            event = parsed(line) if line.endswith(b"\n") else None
            if not isinstance(event, dict) or "event" not in event:
                break
            found.append(event)
            size += len(line)
    return found, size


def mend(path: Path) -> None:
    """Cut off what a crash left unfinished at the end of a run's events."""
    _, size = whole(path)
    os.truncate(path, size)


def of_error(error: HarnessError) -> dict[str, Any]:
    """Return an error as an event tells it: what it says, and the exit code that says whose hand it was."""
    parts = {"message": error.message, "details": error.details, "hint": error.hint}
    return {**parts, "whose": error.whose, "exit": error.exit_code, "text": str(error)}


def to_error(told: dict[str, Any]) -> HarnessError:
    """Return the error that `of_error` told of."""
    error = HarnessError(told["message"], details=told["details"], hint=told["hint"])
    error.exit_code, error.whose = told["exit"], told["whose"]
    return error
