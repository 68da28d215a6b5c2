"""What a run leaves for people and programs: a table, and files for CI servers, chat rooms and the next night.

All of them show the one outcome that the results hold.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness.errors import UserError
from harness.files import write as write_file
from harness.report import brief, files, junit, metrics
from harness.run import results
from harness.run.changes import RunChange, changes
from harness.run.folder import RunFolder
from harness.run.results_model import Results
from harness.show import run_view as view
from harness.show import table
from harness.show.inert import inert


def since(found: Results, folder: RunFolder) -> list[RunChange]:
    """Return what has changed since the run before in the same folder, or the latest, of the same plan."""
    try:
        before = results.read(folder.previous)
    except UserError:
        return []
    return changes(before, found) if before.plan == found.plan else []


def write(found: Results, folder: RunFolder, changed: Sequence[RunChange]) -> None:
    """Write the page, JUnit XML, summary and metrics. What cannot be written is a warning: the results are there."""
    place = junit.CiPlace(platform.node(), _project())
    text = brief.markdown(found, changed)
    _try("JUnit XML", lambda: write_file(folder.junit, junit.junit(folder.read_events(), found, place)))
    _try("summary", lambda: write_file(folder.summary, text))
    _try("metrics", lambda: write_file(folder.metrics, metrics.openmetrics(found)))
    _try("benchmark", lambda: write_file(folder.benchmark, metrics.benchmark(found)))
    _try("report", lambda: files.write(folder))


def _project() -> Path | None:
    """Return GitLab's folder of the project, below which it looks for attachments."""
    given = os.environ.get("CI_PROJECT_DIR")
    return Path(given) if given else None


def show(found: Results, changed: Sequence[RunChange], folder: RunFolder, against: Iterable[str] = ()) -> None:
    """Print the results, what has changed since the run before, and what the comparison with a baseline says."""
    out = view.console(sys.stdout)

    def say(line: str) -> None:
        out.print(inert(line), markup=False, soft_wrap=True)

    for line in view.failures(found):
        say(line)
    out.print()
    for part in table.summary(found, out):
        out.print(part)
    if changed:
        say("\nsince the run before:")
        for one in changed:
            say(f"  {one.text}")
    for line in against:
        say(line)
    say(f"\nresults: {folder}")


def conclude(
    found: Results, changed: Sequence[RunChange], folder: RunFolder, *, as_json: bool, quiet: bool = False
) -> None:
    """Print the outcome, or all results as JSON; on GitHub's runners also its annotations and summary.

    `quiet`: whoever called says himself what kept the run from beginning.
    """
    if as_json:
        print(results.dumped(found), end="")
    elif not quiet:
        for line in view.verdict(found):
            print(inert(line))
    stream = sys.stderr if as_json else sys.stdout
    if folder.page.exists() and not quiet:
        print(f"report: {folder.page}", file=stream)
    github(found, changed, stream)


def github(found: Results, changed: Sequence[RunChange], stream: TextIO) -> None:
    """On GitHub's runners write annotations and the step's summary."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in brief.workflow_commands(found):
            print(line, file=stream)
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            _try("summary of the step", lambda: _append(Path(path), brief.markdown(found, changed)))


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(text)


def _try(what: str, make: Callable[[], Any]) -> None:
    try:
        make()
    except Exception as error:  # noqa: BLE001 -- a run is what it is, with a page or without
        print(f"harness: warning: no {what}: {error}", file=sys.stderr)
