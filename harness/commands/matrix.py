"""`harness matrix`: a plan's cases on all its cells, in parallel, to one table and results.json."""

from __future__ import annotations

import contextlib
import json as json_
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from harness import paths, proc, results
from harness.commands import gate
from harness.commands.specs import tell
from harness.errors import EXIT_BUG, EXIT_INTERRUPTED, HarnessError, UserError
from harness.report import files as report
from harness.suite import events, table, view
from harness.suite import folder as folder_
from harness.suite.builds import How
from harness.suite.cells import DEFAULT_PLAN, Wanted, check
from harness.suite.events import Event, Events, read

TICK_S = 0.1
GRACE_S = 20.0  # for an interrupted pytest to end its guests and write what it has
LOG = "pytest.log"
JUNIT = "junit.xml"
PYTEST_USAGE = 4
NOTHING_SELECTED = 5


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; `extra` goes to pytest as it is."""

    wanted: Wanted
    results: Path | None = None
    keyword: str = ""
    workers: int | None = None
    patience: float = 1.0
    how: How = field(default_factory=How)
    explain: bool = False
    extra: Sequence[str] = ()
    after: gate.After = field(default_factory=gate.After)


def matrix(request: Request, *, as_json: bool = False) -> int:
    """Run it and show it. Returns 0 when all passed, 1 failed cases, 3 cells this host cannot run, 130 interrupted.

    Raises what ended the run before its first case; results.json is written nevertheless.
    """
    cases = check(request.wanted, tell)
    folder = results_folder(request.results)
    found = run_cases(request, cases, folder)
    if as_json:
        print(json_.dumps(found, indent=1))
    else:
        _show(found, folder)
    verdict = gate.settle(request.after, found, folder, as_json=as_json)
    _report(folder, sys.stderr if as_json else sys.stdout)
    return verdict


def run_cases(request: Request, cases: Sequence[Path | str], folder: Path) -> dict[str, Any]:
    """Run `cases` (files, folders, pytest's node ids; all when empty) into `folder`, showing it; return its results.

    Raises what ended the run before its first case; results.json is written nevertheless.
    """
    code = _watched(_argv(request, cases, folder), folder)
    told = read(folder)
    error = _early_end(told, folder, code)
    found = _results(told, folder, code, error)
    if error:
        raise error
    if found is None:
        raise KeyboardInterrupt
    return found


def from_words(
    words: Sequence[str], *, images: Sequence[str], machines: Sequence[str], how: How, as_json: bool, **rest: Any
) -> int:
    """Run what the command line says: `words` is a plan (unless it begins with ``-``), then pytest's arguments."""
    plan = Path(words[0]) if words and not words[0].startswith("-") else None
    if plan is None and not (images and machines and all("/" in one or one.endswith(".yml") for one in images)):
        plan = DEFAULT_PLAN
    wanted = Wanted(plan, tuple(images), tuple(machines), library=how.library)
    extra = words[1:] if words and not words[0].startswith("-") else words
    return matrix(Request(wanted, how=how, extra=tuple(extra), **rest), as_json=as_json)


def results_folder(given: Path | None) -> Path:
    """Return the folder that a run writes to, made ready: `given`, else results/TIME, which results/latest names."""
    if given is not None:
        return folder_.take(given.absolute(), also=(JUNIT, LOG, gate.FILE, report.RUN))
    folder = folder_.new(Path("results").absolute(), time.strftime("%Y%m%d-%H%M%S"))
    scratch = folder.parent / f".latest.{os.getpid()}"
    scratch.symlink_to(folder.name)
    scratch.replace(folder.parent / "latest")
    return folder_.take(folder)


def _argv(request: Request, cases: Sequence[Path | str], folder: Path) -> list[str]:
    from harness.boot import limits

    wanted = request.wanted
    workers = request.workers if request.workers is not None else limits.guests(256)
    options = [f"--plan={wanted.plan}"] if wanted.plan else []
    options += [f"--image={image}" for image in wanted.images]
    options += [f"--machine={machine}" for machine in wanted.machines]
    options += [f"-k={request.keyword}"] if request.keyword else []
    options += [f"--cache={request.how.cache}"] if request.how.cache else []
    options += [f"--lock={request.how.lock}"] if request.how.lock else []
    options += ["--explain"] if request.explain else []
    options += ["--offline"] if request.how.offline else []
    options += ["--refresh"] if request.how.refresh else []
    options += ["--library"] if request.how.library else []
    return [
        # a killed matrix takes pytest with it, which takes its workers, which take their guests
        proc.resolve("setpriv"), "--pdeathsig", "TERM", "--",
        sys.executable, "-m", "pytest", *map(str, cases or [paths.CASES]), *options,
        f"--results={folder}", f"--junitxml={folder / JUNIT}", f"--timeout-multiplier={request.patience:g}",
        f"-n={workers}", "-p", "no:cacheprovider", "--color=no", *request.extra,
    ]  # fmt: skip


def _watched(argv: Sequence[str], folder: Path) -> int:
    """Run pytest while showing what its events tell; return its exit code, 130 when it was interrupted."""
    news = Events(folder).news
    with (folder / LOG).open("wb") as log, view.View() as shown:
        # its own session: Ctrl-C reaches it once, from here, and not a second time while it cleans up
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            while process.poll() is None:
                shown.feed(news(), time.monotonic())
                time.sleep(TICK_S)
        except KeyboardInterrupt:
            shown.say("interrupted: ending the guests")
            _end(process)
            return EXIT_INTERRUPTED
        finally:
            signal.signal(signal.SIGTERM, before)
            if process.poll() is None:
                _kill(process)
            shown.feed(news(), time.monotonic())
    return process.returncode


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt pytest and its workers; what does not end in time, or at a second Ctrl-C, is killed."""
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt, ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(GRACE_S)
    # workers and guests as well: pytest may have gone before them
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _results(told: Sequence[Event], folder: Path, code: int, error: HarnessError | None) -> dict[str, Any] | None:
    """Return the run's results, written anew where pytest could not know the end; None when it never began."""
    if not any(event["event"] == "run" for event in told):
        return None
    end: Event = {"event": "end", "interrupted": code == EXIT_INTERRUPTED, "code": code}
    if error:
        end["error"] = events.of_error(error)
    elif code != EXIT_INTERRUPTED and told[-1]["event"] == "end":
        end = told[-1]
    found = results.fold([*(event for event in told if event["event"] != "end"), end])
    results.write(folder, found)
    return found


def _early_end(told: Sequence[Event], folder: Path, code: int) -> HarnessError | None:
    """Return why no case was run though one should have been, in the words of whoever knows; None when all is well."""
    if code == EXIT_INTERRUPTED or any(event["event"] == "case" for event in told):
        return None
    if told[-1].get("error"):
        return events.to_error(told[-1]["error"])
    own = told[-1].get("code", code)  # before the results had their say
    if own in results.PYTEST_OK and code != NOTHING_SELECTED:
        return None
    lines = (folder / LOG).read_text(errors="replace").strip().splitlines()
    said = "\n".join(lines[-30:])
    if code == NOTHING_SELECTED:
        return UserError("no case was selected", details=said)
    if code == PYTEST_USAGE:
        words = [line.removeprefix("ERROR: ") for line in lines if line and not line.startswith("building ")]
        return UserError(words[0] if words else "pytest refused its arguments", details="\n".join(words[1:]))
    error = HarnessError(f"pytest ended with exit code {code} before any case", details=f"{said}\nlog: {folder / LOG}")
    error.exit_code = EXIT_BUG
    return error


def _report(folder: Path, stream: TextIO) -> None:
    """Write the page for people and say where it is; one that cannot be written is a warning: the results are there."""
    try:
        print(f"report: {report.write(folder)}", file=stream)
    except Exception as error:  # noqa: BLE001 -- a run is what it is, with a page or without
        print(f"harness: warning: no report: {error}", file=sys.stderr)


def _show(found: dict[str, Any], folder: Path) -> None:
    out = view.console(sys.stdout)
    for line in view.failures(found):
        out.print(line, markup=False, soft_wrap=True)
    out.print()
    for part in table.summary(found, out):
        out.print(part)
    out.print(f"\nresults: {folder}", markup=False, soft_wrap=True)
    if found["error"]:
        out.print(found["error"], markup=False, soft_wrap=True)
    if found["interrupted"]:
        out.print("interrupted: this is what was done until then")
