"""What happens in a run, one JSON line an event: every process of the run appends, whoever looks on reads along."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.secrets import redact

FILE = "events.jsonl"
Event = dict[str, Any]


class Events:
    """The events of the run whose results go to `folder`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._read = 0

    def tell(self, event: str, **facts: Any) -> None:
        """Append one event; safe with several processes at once, for one write is one line."""
        line = redact(json.dumps({"event": event, **facts}, default=str)) + "\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, line.encode())
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
        return [json.loads(line) for line in text[:whole].splitlines()]


def read(folder: Path) -> list[Event]:
    """Return all events of a run."""
    return Events(folder).news()


def mend(folder: Path) -> list[Event]:
    """Cut off what a crash left unfinished at the end of a run's events; return those before it.

    A host that lost its power may have written half a line, or zeros where a line was to come.
    """
    path = folder / FILE
    found: list[Event] = []
    size = 0
    with path.open("rb+") as stream:
        for line in stream:
            try:
                event = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                event = None
            if not isinstance(event, dict) or "event" not in event:
                break
            found.append(event)
            size += len(line)
        stream.truncate(size)
    return found


def of_error(error: HarnessError) -> dict[str, Any]:
    """Return an error as an event tells it: what it says, and the exit code that says whose hand it was."""
    parts = {"message": error.message, "details": error.details, "hint": error.hint}
    return {**parts, "whose": error.whose, "exit": error.exit_code, "text": str(error)}


def to_error(told: dict[str, Any]) -> HarnessError:
    """Return the error that `of_error` told of."""
    error = HarnessError(told["message"], details=told["details"], hint=told["hint"])
    error.exit_code, error.whose = told["exit"], told["whose"]
    return error
