"""`harness matrix`: a plan's cases on all its cells, in parallel, to one table and results.json."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.build.settings import Settings
from harness.commands.nights import gate, pairing, retain, running, settle, views, watch
from harness.commands.nights.request import CasePaths, Request
from harness.commands.specs import tell
from harness.errors import HarnessError, UserError
from harness.hostfaults import explained
from harness.run import beginning, events, inputs, results
from harness.run import folder as folder_
from harness.run.changes import RunChange
from harness.run.events import Event
from harness.run.folder import HINT, RunFolder
from harness.run.inputs import DEFAULT_PLAN, RunInputs, Wanted
from harness.run.results_model import Results
from harness.show.frame import progress
from harness.spec import load_plan
from harness.spec.cluster import load_cluster
from harness.spec.models.plan import Notify

LATEST = Path("results/latest")
LISTING = {"--collect-only", "--co"}  # of pytest: which cases there are; nothing is run or left


def matrix(request: Request, *, as_json: bool = False) -> int:
    """Run it and show it. Returns the exit code of its outcome (`harness.run.outcome`).

    Raises what kept it from beginning. The results, all files that show them, and whoever is to be notified tell of
    that as of any other outcome.
    """
    try:
        with watch.interruptible():
            baseline = gate.prepare(request.after)
            if away := gate.try_history(request.after_run):
                progress(away)
            read = inputs.read(request.wanted)
            for spec in read.images:
                if not isinstance(spec, inputs.BuiltInput):
                    tell(spec)
    except HarnessError as error:
        _could_not_begin(request, error, as_json=as_json)
        raise
    if LISTING & set(request.extra):
        return running.listed(request, _cases(read))
    notify = read.plan.notify if read.plan else Notify()
    try:
        folder = _named(request)
        with folder.held(resume=request.resume), explained(folder.path):
            found, changed, ended = _night(request, read, baseline, folder, as_json=as_json)
    except HarnessError as error:  # what is there is another run's, and stays
        _notify(notify, results.fold(_unbegun(request, error)), [])
        raise
    if read.plan:
        for line in retain.after_run(read.plan.disk, folder.path):
            progress(line)
        if read.plan.outdated and not found.interrupted and not ended:
            found, changed = _asked_what_is_newer(request, read, found, changed, folder)
    _notify(notify, found, changed)
    if ended:
        raise ended
    if read.plan and read.plan.calibrate and request.after_run.keep and not found.interrupted:
        _calibrate(request, read, read.plan.calibrate, found, folder)
    return found.exit


def _asked_what_is_newer(
    request: Request, read: RunInputs, found: Results, changed: list[RunChange], folder: RunFolder
) -> tuple[Results, list[RunChange]]:
    """Note what of the images is newer on the mirror; whoever is notified of the night is told of it too."""
    from harness.commands.nights import freshness

    with folder.held(), suppress(KeyboardInterrupt), watch.interruptible():
        for note in freshness.after_run(read, request.settings):
            progress(note)
            folder.events.tell("note", text=note)
            with watch.uninterrupted():
                found, changed = settle.left(folder)
    return found, changed


def _calibrate(request: Request, read: RunInputs, minutes: float, found: Results, folder: RunFolder) -> None:
    """Measure floors that are missing, once everybody knows of the night, and note which ones still are."""
    from harness.commands.nights import calibrating

    with folder.held(), suppress(KeyboardInterrupt), watch.interruptible():
        for note in calibrating.after_run(read, found, request.settings, request.after.where, minutes=minutes,
                                          until=request.deadline):  # fmt: skip
            progress(note)
            folder.events.tell("note", text=note)
            with watch.uninterrupted():
                settle.left(folder)


def _cases(read: RunInputs) -> CasePaths:
    return list(read.plan.cases) if read.plan else []


def run_cases(request: Request, cases: CasePaths, folder: RunFolder) -> Results:
    """Run `cases` (files, folders, pytest's node ids; all when empty) into `folder`, showing it; return its results.

    Raises what ended the run before its first case; results.json is written nevertheless.
    """
    with watch.interruptible():
        found, ended = running.run(request, inputs.read(request.wanted), cases, folder)
    if ended:
        raise ended
    return found


def _night(
    request: Request, read: RunInputs, baseline: gate.GateBaseline, folder: RunFolder, *, as_json: bool
) -> tuple[Results, list[RunChange], HarnessError | None]:
    """Run it, and leave everything that shows its outcome; return what ended it before its first case, too."""
    _ = folder.resume() if request.resume else folder.take()
    with watch.interruptible():
        found, ended = running.run(request, read, _cases(read), folder)

    def bridge() -> Iterator[str]:
        from harness.commands.nights import bridging

        return bridging.before_adding(request.after.where, request.settings.cache, read, found)

    times = pairing.PairTimes(request.pair_minutes, request.deadline)
    pair = pairing.pairer(read, request.settings.cache, times, interrupted=found.interrupted, slack=request.slack)
    found, changed = settle.settle(request.after_run, baseline, folder, found, ended=ended is not None, as_json=as_json,
                                   pair=pair, first=bridge)  # fmt: skip
    return found, changed, ended


def _unbegun(request: Request, error: HarnessError) -> list[Event]:
    """Return the events of a run that could not begin."""
    plan = request.wanted.plan
    source = plan if plan and plan.exists() else None
    return [{"event": "run", **beginning.facts(plan, source)}, {"event": "end", "error": events.of_error(error)}]


def _could_not_begin(request: Request, error: HarnessError, *, as_json: bool) -> None:
    """Tell that a run could not begin, in its folder and to whoever is to be notified; what cannot be told is left.

    A run that was to go on stays as it is. A plan that is not there, without a folder that is, leaves nothing behind.
    """
    plan = request.wanted.plan
    told = _unbegun(request, error)
    found = results.fold(told)
    if not request.resume and (request.results is not None or plan is None or plan.exists()):
        with suppress(HarnessError, OSError), watch.uninterrupted():
            folder = _named(request)
            with folder.held():
                folder.take()
                for event in told:
                    folder.events.tell(**event)
                found, _ = settle.left(folder)
                views.conclude(found, [], folder, as_json=as_json, quiet=True)
    if plan:
        from harness.commands.nights.notify import wanted_by

        _notify(wanted_by(plan), found, [])


def _notify(wanted: Notify, found: Results, changed: Sequence[RunChange]) -> None:
    if wanted != Notify():
        from harness.commands.nights import notify  # brings what speaks HTTP and SMTP

        with watch.uninterrupted():
            notify.send(wanted, found, changed)


def from_words(
    words: Sequence[str],
    *,
    images: Sequence[str],
    machines: Sequence[str],
    formats: Sequence[str] = (),
    verity: bool = False,
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
    wanted = Wanted(plan, tuple(images), tuple(machines), library=settings.library, formats=tuple(formats),
                    verity=verity)  # fmt: skip
    extra = words[1:] if words and not words[0].startswith("-") else words
    if second := next((word for word in extra if plan and word.endswith((".yml", ".yaml"))), None):
        raise UserError(f"{second} is a second plan", hint="one plan at a time; what stands behind -- goes to pytest")
    if rest.get("slack") and not rest["after"].against:
        raise UserError("--slack is for --against", hint="--against latest-baseline")
    if rest.get("durations") and not rest.get("shard") and not rest.get("cluster"):
        raise UserError("--durations-of is for --shard and --cluster",
                        hint="--shard NUMBER/OF, for instance 2/5: the second of five")  # fmt: skip
    if rest.get("cluster"):
        load_cluster(rest["cluster"], rest.get("certificates"))  # what is wrong with it is said at once
    return matrix(Request(wanted, settings=settings, extra=tuple(extra), **rest), as_json=as_json)


def _named(request: Request) -> RunFolder:
    """Return the folder that a run writes to, not made ready yet."""
    if request.resume:
        return RunFolder((request.results or LATEST).resolve())
    return RunFolder(request.results.absolute()) if request.results is not None else _fresh()


def _fresh() -> RunFolder:
    """Return a folder of its own, results/TIME, which results/latest names from now on."""
    latest = LATEST.absolute()
    if latest.exists() and not latest.is_symlink():
        raise UserError(f"{latest} is not the link to the latest run that a run leaves", hint=f"move it, or {HINT}")
    folder = folder_.new(latest.parent, time.strftime("%Y%m%d-%H%M%S"))
    with suppress(OSError):  # there may have been none
        folder.keep_previous(RunFolder(LATEST))
    scratch = latest.with_name(f".latest.{os.getpid()}")
    scratch.symlink_to(folder.path.name)
    scratch.replace(latest)
    return folder


def results_folder(given: Path | None) -> RunFolder:
    """Return the folder that a run writes to, made ready: `given`, else results/TIME, which results/latest names."""
    return (RunFolder(given.absolute()) if given is not None else _fresh()).take()
