"""`harness matrix`: a plan's cases on all its cells, in parallel, to one table and results.json."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import paths, proc
from harness.build.settings import Settings
from harness.commands.nights import gate, outcome, retain, watch
from harness.commands.nights.watch import EXIT_DEADLINE, Deadline
from harness.commands.specs import tell
from harness.errors import EXIT_BUG, EXIT_INTERRUPTED, HarnessError, UserError
from harness.options import pytest_words
from harness.run import events, results
from harness.run import folder as folder_
from harness.run.cells import DEFAULT_PLAN, Wanted, check
from harness.run.events import Event, read
from harness.show.frame import progress
from harness.spec import load_plan
from harness.spec.models.plan import Notify

LATEST = Path("results/latest")
LOG = "pytest.log"
PYTEST_USAGE = 4
LISTING = {"--collect-only", "--co"}  # of pytest: which cases there are; nothing is run or left
NOTHING_SELECTED = 5


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; `extra` goes to pytest as it is."""

    wanted: Wanted
    results: Path | None = None
    keyword: str = ""
    workers: int | None = None
    patience: float = 1.0
    settings: Settings = field(default_factory=Settings)
    explain: bool = False
    extra: Sequence[str] = ()
    after: gate.After = field(default_factory=gate.After)
    resume: bool = False
    deadline: Deadline | None = None
    shard: str = ""
    durations: Path | None = None
    quarantine: bool = False


def matrix(request: Request, *, as_json: bool = False) -> int:
    """Run it and show it. Returns 0 when all passed, 1 failed cases, 3 cells this host cannot run, 130 interrupted.

    Raises what ended the run before its first case; results.json is written nevertheless.
    """
    cases = check(request.wanted, tell)
    if LISTING & set(request.extra):
        return subprocess.run([*_argv(replace(request, workers=0), cases, None)], check=False).returncode
    folder = (
        folder_.resume((request.results or LATEST).resolve()) if request.resume else results_folder(request.results)
    )
    with folder_.held(folder):
        found = run_cases(request, cases, folder)
        changed = outcome.show(found, folder, as_json=as_json)
        verdict = gate.settle(request.after, found, folder, as_json=as_json)
        outcome.write(found, folder, changed, sys.stderr if as_json else sys.stdout)
    if request.wanted.plan:
        plan = load_plan(request.wanted.plan)
        for line in retain.after_run(plan.disk, folder):
            progress(line)
        if plan.notify != Notify():
            from harness.commands.nights import notify  # brings what speaks HTTP and SMTP

            notify.send(plan.notify, found, changed)
    return verdict


def run_cases(request: Request, cases: Sequence[Path | str], folder: Path) -> dict[str, Any]:
    """Run `cases` (files, folders, pytest's node ids; all when empty) into `folder`, showing it; return its results.

    Raises what ended the run before its first case; results.json is written nevertheless.
    """
    begun = len(read(folder))
    code = watch.run(_argv(request, cases, folder), folder, folder / LOG, request.deadline)
    told = read(folder)
    error = None if code == EXIT_DEADLINE else _early_end(told[begun:], folder, code)
    if error and request.resume and not told[begun:]:  # what is there is another run's, and stays
        raise error
    found = _results(told, folder, code, error, request.deadline)
    if error:
        raise error
    if found is None:
        raise KeyboardInterrupt
    return found


def from_words(
    words: Sequence[str],
    *,
    images: Sequence[str],
    machines: Sequence[str],
    settings: Settings,
    as_json: bool,
    **rest: Any,
) -> int:
    """Run what the command line says: `words` is a plan (unless it begins with ``-``), then pytest's arguments."""
    plan = Path(words[0]) if words and not words[0].startswith("-") else None
    if plan is None:
        shipped = load_plan(DEFAULT_PLAN)
        if set(images) <= {image.path.stem for image in shipped.images}:
            plan = DEFAULT_PLAN
        else:  # images of one's own: on the machines that are named, or on those of the shipped plan
            machines = machines or shipped.machines
    wanted = Wanted(plan, tuple(images), tuple(machines), library=settings.library)
    extra = words[1:] if words and not words[0].startswith("-") else words
    return matrix(Request(wanted, settings=settings, extra=tuple(extra), **rest), as_json=as_json)


def results_folder(given: Path | None) -> Path:
    """Return the folder that a run writes to, made ready: `given`, else results/TIME, which results/latest names."""
    if given is not None:
        return folder_.take(given.absolute(), also=(LOG, gate.FILE, *outcome.FILES))
    folder = folder_.new(LATEST.parent.absolute(), time.strftime("%Y%m%d-%H%M%S"))
    with suppress(OSError):  # there may have been none
        shutil.copyfile(LATEST / results.FILE, folder / results.PREVIOUS)
    scratch = folder.parent / f".latest.{os.getpid()}"
    scratch.symlink_to(folder.name)
    scratch.replace(folder.parent / LATEST.name)
    return folder_.take(folder)


def _argv(request: Request, cases: Sequence[Path | str], folder: Path | None) -> list[str]:
    from harness.system import limits

    wanted = request.wanted
    workers = request.workers if request.workers is not None else limits.guests(256)
    given = {
        "plan": wanted.plan, "image": wanted.images, "machine": wanted.machines, "results": folder,
        "timeout_multiplier": request.patience, "explain": request.explain, "resume": request.resume,
        "quarantine": request.quarantine, "history": request.after.where, "shard": request.shard or None,
        "durations_of": request.durations, **request.settings.changed,
    }  # fmt: skip
    words = [*pytest_words(given), *([f"-k={request.keyword}"] if request.keyword else [])]
    return [
        # a killed matrix takes pytest with it, which takes its workers, which take their guests
        proc.resolve("setpriv"), "--pdeathsig", "TERM", "--",
        sys.executable, "-m", "pytest", *map(str, cases or [paths.CASES]), *words,
        f"-n={workers}", "-p", "no:cacheprovider", "--color=no", *request.extra,
    ]  # fmt: skip


def _results(
    told: Sequence[Event], folder: Path, code: int, error: HarnessError | None, deadline: Deadline | None
) -> dict[str, Any] | None:
    """Return the run's results, written anew where pytest could not know the end; None when it never began."""
    if not any(event["event"] == "run" for event in told):
        return None
    end: Event = {"event": "end", "interrupted": code == EXIT_INTERRUPTED, "code": code}
    if error:
        end["error"] = events.of_error(error)
    elif code == EXIT_DEADLINE and deadline:
        end |= {"code": 0, "deadline": deadline.text}
    elif code != EXIT_INTERRUPTED and told[-1]["event"] == "end":
        end = told[-1]
    found = results.fold([*(event for event in told if event["event"] != "end"), end])
    results.write(folder, found)
    return found


def _early_end(told: Sequence[Event], folder: Path, code: int) -> HarnessError | None:
    """Return why no case was run though one should have been, in the words of whoever knows; None when all is well."""
    if code == EXIT_INTERRUPTED or any(event["event"] == "case" for event in told):
        return None
    last = told[-1] if told else {}
    if last.get("error"):
        return events.to_error(last["error"])
    own = last.get("code", code)  # before the results had their say
    nothing_left = any(event["event"] == "resumed" and not event["cells"] for event in told)
    if nothing_left or (own in results.PYTEST_OK and code != NOTHING_SELECTED):
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
