"""What a run leaves for people and programs: a table, and files for CI servers, chat rooms and the next night."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness.errors import UserError
from harness.report import brief, files, junit
from harness.run import events, results
from harness.run.changes import RunChange, changes
from harness.show import run_view as view
from harness.show import table

JUNIT, SUMMARY = "junit.xml", "summary.md"
FILES = (JUNIT, SUMMARY, files.RUN)


def show(found: Mapping[str, Any], folder: Path, *, as_json: bool) -> list[RunChange]:
    """Print the results, and what has changed since the run before; return that."""
    changed = since(found, folder)
    if as_json:
        print(json.dumps(found, indent=1))
        return changed
    out = view.console(sys.stdout)
    for line in view.failures(found):
        out.print(line, markup=False, soft_wrap=True)
    out.print()
    for part in table.summary(found, out):
        out.print(part)
    if lines := [f"  {one.text}" for one in changed]:
        out.print("\nsince the run before:")
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)
    out.print(f"\nresults: {folder}", markup=False, soft_wrap=True)
    if found["error"]:
        out.print(found["error"], markup=False, soft_wrap=True)
    if found["interrupted"]:
        out.print("interrupted: this is what was done until then")
    return changed


def since(found: Mapping[str, Any], folder: Path) -> list[RunChange]:
    """Return what has changed since the run before in the same folder, or the latest, of the same plan."""
    try:
        before = results.read(folder / results.PREVIOUS)
        return changes(before, found) if before.get("plan") == found["plan"] else []
    except (UserError, KeyError, TypeError):  # none, or of an older harness
        return []


def write(found: Mapping[str, Any], folder: Path, changed: Sequence[RunChange], stream: TextIO) -> None:
    """Write the page, JUnit XML and the summary; on GitHub's runners also its annotations and summary.

    What cannot be written is a warning: the results are there.
    """
    summary = brief.markdown(found, changed)
    _try("JUnit XML", lambda: (folder / JUNIT).write_text(junit.junit(events.read(folder), found), "utf-8"))
    _try("summary", lambda: (folder / SUMMARY).write_text(summary, "utf-8", "replace"))
    _try("report", lambda: print(f"report: {files.write(folder)}", file=stream))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in brief.workflow_commands(found):
            print(line, file=stream)
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            _try("summary of the step", lambda: _append(Path(path), summary))


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(text)


def _try(what: str, make: Callable[[], Any]) -> None:
    try:
        make()
    except Exception as error:  # noqa: BLE001 -- a run is what it is, with a page or without
        print(f"harness: warning: no {what}: {error}", file=sys.stderr)
