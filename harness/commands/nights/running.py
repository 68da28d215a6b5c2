"""Runs pytest for `harness matrix`, once more where the host has killed it, and says how that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness import paths, proc
from harness.commands.nights import watch
from harness.commands.nights.request import CasePaths, Request
from harness.commands.nights.watch import EXIT_DEADLINE, Deadline
from harness.errors import EXIT_BUG, EXIT_INTERRUPTED, HarnessError, HostError, UserError
from harness.hostfaults import full, full_disk
from harness.options import pytest_words
from harness.run import beginning, events, inputs, results
from harness.run.events import Event
from harness.run.folder import RunFolder
from harness.run.inputs import RunInputs
from harness.run.outcome import PYTEST_OK
from harness.run.results_model import Results
from harness.show.frame import progress

PYTEST_USAGE = 4
NOTHING_SELECTED = 5
INTERNAL_ERROR = 3


def listed(request: Request, cases: CasePaths) -> int:
    """Let pytest show which cases there are; nothing is run, and nothing is left. Returns its exit code."""
    return subprocess.run([*_argv(replace(request, workers=0), cases, None)], check=False).returncode


def _argv(request: Request, cases: CasePaths, folder: RunFolder | None) -> list[str]:
    from harness.system import limits

    wanted = request.wanted
    workers = request.workers if request.workers is not None else limits.guests(limits.SMALLEST)
    if request.cluster and folder is not None:
        workers = 0  # what runs the cases is on other hosts
    given = {
        "plan": wanted.plan, "image": wanted.images, "machine": wanted.machines, "results": folder and folder.path,
        "timeout_multiplier": request.patience, "explain": request.explain, "resume": request.resume,
        "quarantine": request.quarantine, "history": request.after.where, "shard": request.shard or None,
        "durations_of": request.durations, "cluster": request.cluster or None,
        "certificates": request.certificates, **request.settings.changed,
    }  # fmt: skip
    words = [*pytest_words(given), *([f"-k={request.keyword}"] if request.keyword else [])]
    return [
        # a killed matrix takes pytest with it, which takes its workers, which take their guests
        proc.resolve("setpriv"), "--pdeathsig", "TERM", "--",
        sys.executable, "-m", "pytest", *map(str, cases or [paths.CASES]), *words,
        f"-n={workers}", "-p", "no:cacheprovider", "--color=no", *request.extra,
    ]  # fmt: skip


def run(request: Request, read: RunInputs, cases: CasePaths, folder: RunFolder) -> tuple[Results, HarnessError | None]:
    """Run pytest into `folder`; return the results, and what ended it before its first case.

    What a signal has ended that nobody here sent, a lack of memory for one, is the host's: it goes on once. Raises what
    kept a run that was to go on from that: what is there is another run's then.
    """
    begun = len(folder.read_events())
    inputs.hand_over(read, folder.inputs)
    code = _pytest(request, cases, folder)
    again = ""
    if code < 0 and code != EXIT_DEADLINE:
        again = f"pytest was ended by {_signal(code)}, and went on once more"
        progress(f"{again}: {folder.log}")
        has_begun = any(event["event"] == "run" for event in folder.read_events())
        code = _pytest(replace(request, resume=request.resume or has_begun), cases, folder)
    told = folder.read_events()
    if code == INTERNAL_ERROR and (places := full(_places(folder))):
        return results.fold([*told, {"event": "end", "error": events.of_error(full_disk(places))}]), full_disk(places)
    error = None if code == EXIT_DEADLINE else _early_end(told[begun:], folder, code)
    if error and request.resume and not told[begun:]:
        raise error
    if again:
        folder.events.tell("note", text=again)
    if not any(event["event"] == "run" for event in told):
        plan = request.wanted.plan
        folder.events.tell("run", **beginning.facts(plan, plan))
    _end(told, folder, code, error, request.deadline)
    return results.fold(folder.read_events()), error


def _places(folder: RunFolder) -> tuple[Path, ...]:
    """Return the folders that a run cannot do without."""
    return folder.path, paths.cache_dir(), Path(tempfile.gettempdir())


def _pytest(request: Request, cases: CasePaths, folder: RunFolder) -> int:
    # without asserts each case would pass
    env = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
    env[inputs.HANDED] = str(folder.inputs)
    return watch.run(_argv(request, cases, folder), folder, env=env, until=request.deadline)


def _signal(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _end(
    told: Sequence[Event], folder: RunFolder, code: int, error: HarnessError | None, deadline: Deadline | None
) -> None:
    """Tell how the run ended where pytest could not know it."""
    end: Event = {"interrupted": code == EXIT_INTERRUPTED, "code": code}
    if error:
        end["error"] = events.of_error(error)
    elif code == EXIT_DEADLINE and deadline:
        end |= {"code": 0, "deadline": deadline.text}
    elif code < 0:
        what = f"pytest was ended by {_signal(code)} twice"
        end["error"] = events.of_error(HostError(what, hint=f"look for a lack of memory; log: {folder.log}"))
    elif code != EXIT_INTERRUPTED and told and told[-1]["event"] == "end":
        return
    folder.events.tell("end", **end)


def _early_end(told: Sequence[Event], folder: RunFolder, code: int) -> HarnessError | None:
    """Return why no case was run though one should have been, in the words of whoever knows; None when all is well."""
    if code == EXIT_INTERRUPTED or any(event["event"] == "case" for event in told):
        return None
    last = told[-1] if told else {}
    if last.get("interrupted"):  # by a signal that pytest itself was sent
        return None
    if last.get("error"):
        return events.to_error(last["error"])
    own = last.get("code", code)  # before the results had their say
    nothing_left = any(event["event"] == "resumed" and not event["cells"] for event in told)
    nothing_left |= any(event["event"] == "run" and event["shard"] and not event["cells"] for event in told)
    if nothing_left or (own in PYTEST_OK and code != NOTHING_SELECTED):
        return None
    return _pytests_error(code, folder)


def _pytests_error(code: int, folder: RunFolder) -> HarnessError:
    """Return what pytest's exit code and its log say of a run without a case."""
    lines = folder.log.read_text(errors="replace").strip().splitlines()
    said = "\n".join(lines[-30:])
    if code < 0:
        return HostError(f"pytest was ended by {_signal(code)} twice before any case", details=said)
    if code == NOTHING_SELECTED:
        return UserError("no case was selected", details=said)
    if code == PYTEST_USAGE:
        words = [line.removeprefix("ERROR: ") for line in lines if line and not line.startswith("building ")]
        return UserError(words[0] if words else "pytest refused its arguments", details="\n".join(words[1:]))
    if not any(event["event"] == "run" for event in folder.read_events()) and str(paths.PACKAGE) not in said:
        # the plugin was not asked yet: what stands behind --, or another plugin, has kept pytest from beginning
        hint = "look at what stands behind --, at PYTEST_ADDOPTS, and at the other plugins that are installed"
        return UserError("pytest could not begin", hint=hint, details=said)
    error = HarnessError(f"pytest ended with exit code {code} before any case", details=f"{said}\nlog: {folder.log}")
    error.exit_code = EXIT_BUG
    return error
