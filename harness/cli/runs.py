"""What is judged: plans, boots side by side, and figures over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.commands import options


@command
def matrix(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[PLAN] [-- PYTEST ARGUMENTS]", show_default=False)
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Where results go.", show_default="results/TIME")] = None,
    image: Annotated[list[str] | None, typer.Option(help="Only this image of the plan, by name or path.")] = None,
    machine: Annotated[list[str] | None, typer.Option(help="Only this machine of the plan, by name or path.")] = None,
    keyword: Annotated[str, typer.Option("-k", help="Only cases that match, as pytest's -k.")] = "",
    workers: Annotated[int | None, typer.Option("-n", help="Workers.", show_default="by cores and memory")] = None,
    timeout_multiplier: Annotated[float, typer.Option(help="Multiply every time limit.", min=0.01)] = 1.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also boot step by step: a change in a later run is named.")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="The cache's folder, instead of HARNESS_CACHE.")] = None,
    lock: options.LockOption = None,
    refresh: options.Refresh = False,
    offline: options.Offline = False,
    library: options.Library = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --results (or the latest): finished cells stay.")
    ] = False,
    deadline: Annotated[
        str | None, typer.Option(metavar="WHEN", help="End then with what is done: 06:30, 8h, 2026-12-01T06:30.")
    ] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Cases that are flaky by the history do not count.")
    ] = False,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Run the I-th of N parts, each on its own host.", show_default=False)
    ] = "",
    durations_of: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Split by the durations in this results.json.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="BASELINE", help="Fail on what is worse: latest-baseline, a run, a folder.")
    ] = None,
    no_history: Annotated[bool, typer.Option("--no-history", help="Keep this run out of the history.")] = False,
    where: options.Where = None,
    json: options.Json = False,
) -> int:
    """Build a plan's images, boot each on its machines, run the cases, and end with one table.

    Without PLAN, the two images that ship with the harness on all three architectures. With --image and --machine
    and no PLAN, an image's YAML (A.yml+B.yml are merged) on a machine.

    Exit 0 when all passed, 1 when cases failed or something became worse (--against), 4 when only machines or this
    host failed, 3 when some cells were not run, 130 when interrupted.

    \b
    Examples:
      harness matrix
      harness matrix nightly.yml --machine qemu-arm64 --results out
      harness matrix nightly.yml --lock nightly.lock
      harness matrix nightly.yml --results out --deadline 06:30
      harness matrix nightly.yml --results out --resume
      harness matrix --image default -k root -- -x
      harness matrix --explain --against latest-baseline
    """
    from datetime import datetime

    from harness.commands.nights import gate, watch
    from harness.commands.nights import matrix as module
    from harness.run.builds import BuildOptions

    until = watch.deadline(deadline, datetime.now()) if deadline else None
    after = gate.prepare(against, keep=not no_history, where=where)
    return module.from_words(
        words or [],
        images=image or [],
        machines=machine or [],
        results=results,
        keyword=keyword,
        workers=workers,
        patience=timeout_multiplier,
        how=BuildOptions(cache, lock, offline, refresh, library),
        explain=explain,
        as_json=json,
        after=after,
        resume=resume,
        deadline=until,
        shard=shard,
        durations=durations_of,
        quarantine=quarantine,
    )


@command
def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="Image YAML (A.yml+B.yml), built folder, run, results.")],
    after: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    machine: Annotated[list[str] | None, typer.Option("--machine", "-m", help="For images: one, or one each.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Look at every initcall and module in any case.")] = False,
    pairs: Annotated[int, typer.Option(help="Compare wall times of this many pairs of boots instead.", min=0)] = 0,
    library: options.Library = False,
    where: options.Where = None,
    json: options.Json = False,
) -> int:
    """Say whether B boots slower than A, by how much, and what makes the difference.

    Two images are booted in exact time; runs, results and records are compared as they are. Only a change beyond the
    floor counts (harness calibrate).

    Exit 0: the same, 1: B is worse, 6: B is better.

    \b
    Examples:
      harness compare old.yml new.yml -m qemu-arm64
      harness compare latest-baseline latest
      harness compare cases/images/default.yml cases/images/default.yml -m qemu-x86_64 -m qemu-x86_64-microvm
      harness compare old.yml new.yml -m qemu-arm64 --pairs 30
    """
    from harness.build.settings import Settings
    from harness.commands.runs import compare as module
    from harness.commands.runs.sides import CompareRequest

    request = CompareRequest(before, after, machines=tuple(machine or ()), explain=explain, pairs=pairs,
                             history=where, as_json=json)  # fmt: skip
    return module.run(request, Settings(library=library))


@command
def calibrate(
    images: options.ImagesArgument,
    machine: Annotated[str, typer.Option("--machine", "-m", help="A machine's name, or its YAML.")],
    no_history: Annotated[bool, typer.Option("--no-history", help="Only print the floors.")] = False,
    library: options.Library = False,
    where: options.Where = None,
    json: options.Json = False,
) -> int:
    """Measure how far an image's exact times move on a machine without a cause: the floor that a change must exceed.

    Boots it with other random numbers, longer command lines, and its files in another order, and keeps the range of
    every figure in the history. Takes some minutes.

    \b
    Examples:
      harness calibrate cases/images/default.yml -m qemu-arm64
      harness calibrate cases/images/minimal.yml -m qemu-s390x --no-history
    """
    from harness.build.settings import Settings
    from harness.commands.runs import calibrate as module

    settings = Settings(library=library)
    return module.calibrate(images, machine, settings, history=where, keep=not no_history, as_json=json)


@command
def history(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE | import FILE… | export [FILE]]", show_default=False)
    ] = None,
    machine: Annotated[str | None, typer.Option("--machine", "-m", help="Only this machine.")] = None,
    figure: Annotated[
        str | None, typer.Option("--figure", "-f", help="Only this figure; of one cell, in detail.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="Only exact, wall or size.")] = None,
    last: Annotated[int, typer.Option(help="How many runs to show.", min=1)] = 30,
    all_keys: Annotated[bool, typer.Option("--all-keys", help="Earlier keys too: another QEMU, another line.")] = False,
    runs: Annotated[bool, typer.Option("--runs", help="List the runs.")] = False,
    where: options.Where = None,
    json: options.Json = False,
) -> int:
    """Show figures over time, and where they changed.

    Without IMAGE the headlines of all; an image and a machine show all their figures, a figure more shows each run.

    \b
    Examples:
      harness history
      harness history minimal -m qemu-arm64 -f ready
      harness history import results
      harness history export all.jsonl
    """
    from harness.commands.runs import history as module

    request = module.HistoryRequest(machine, mode, figure, last, every_key=all_keys, runs=runs, as_json=json)
    return module.history(words or [], request, where)


@command
def baseline(
    action: Annotated[str, typer.Argument(metavar="accept|list")],
    run: Annotated[
        str | None, typer.Argument(help="The run's id, its beginning, or latest.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why its figures are accepted.")] = "",
    image: Annotated[str | None, typer.Option(help="Only for this image of the run.")] = None,
    machine: Annotated[str | None, typer.Option(help="Only for this machine of the run.")] = None,
    where: options.Where = None,
    json: options.Json = False,
) -> int:
    """Accept a run as what harness matrix --against compares with, or list those.

    \b
    Examples:
      harness baseline accept latest --reason 'release 1.0'
      harness baseline list
      harness matrix --explain --against latest-baseline
    """
    from harness.commands.runs import baseline as module

    return module.baseline(action, run, reason, image=image, machine=machine, where=where, as_json=json)


@command
def report(
    folder: Annotated[Path | None, typer.Argument(metavar="[RESULTS]", show_default="results/latest")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE.html", help="Where it goes.")] = None,
    over_time: Annotated[bool, typer.Option("--over-time", help="Of all runs in the history, not of one.")] = False,
    where: options.Where = None,
) -> int:
    """Write a run, or all figures over time, as one HTML page.

    A run's page (report.html beside its results) has the matrix, each boot as a waterfall, what its size is made of,
    failures and transcripts. The page over time (history.html) has boot times and sizes of every image on every
    machine, where they changed, and what was changed then. A page loads nothing and has no script.

    \b
    Examples:
      harness report
      harness report out -o nightly.html
      harness report --over-time -o history.html
    """
    from harness.commands.runs import report as module

    return module.report(folder, output, over_time=over_time, where=where)
