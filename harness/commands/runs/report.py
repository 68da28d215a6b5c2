"""`harness report`: a run, or figures over time, as one HTML page for people."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError
from harness.history.place import ENV
from harness.report import files
from harness.run.folder import RunFolder

LATEST = Path("results/latest")


def report(folder: Path | None, output: Path | None, *, over_time: bool, where: str | None) -> int:
    """Write a page and say where it is. Returns 0."""
    if over_time:
        if folder is not None:
            raise UserError(f"the page over time is of the history, not of {folder}", hint="--history FILE|URL")
        print(files.write_over_time(where, output))
    else:
        if where not in (None, os.environ.get(ENV)):  # what stands in the environment is for other commands
            raise UserError("the page of a run takes nothing from a history", hint="harness report --over-time")
        print(files.write(RunFolder(folder or LATEST), output))
    return 0
