"""What runs have left: results, pages, comparisons, and figures over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from harness.build.settings import Settings


@command
def results(
    action: str,
    folders: tuple[Path, ...],
    partial: bool,
    against: str | None,
    no_history: bool,
    history: str | None,
    output: Path,
    json: bool,
) -> int:
    """Put the results of several hosts together.

    They are of one plan, and it looks as if one host had run it: one run in the history, judged once.

    Refused are parts that contradict each other: a cell twice, other images, another commit or harness, a shard of
    another split or none.

    Exit code of the whole run, as `harness matrix`.

    \b
    Examples:
      harness matrix nightly.yml --shard 1/2 --durations-of last/results.json --results one     (on a host)
      harness matrix nightly.yml --shard 2/2 --durations-of last/results.json --results two     (on another)
      harness results merge one two -o night
    """
    from harness.commands.nights import gate
    from harness.commands.runs import results as module
    from harness.errors import UserError

    if action != "merge":
        raise UserError(f"unknown action {action!r}", hint="harness results merge FOLDER… -o DIR")
    after = gate.After(keep=not no_history, where=history, against=against)
    return module.merge_results(folders, output, partial=partial, as_json=json, after=after)


@command
def report(folder: Path | None, over_time: bool, history: str | None, output: Path | None) -> int:
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

    return module.report(folder, output, over_time=over_time, where=history)


@command
def compare(
    before: str,
    after: str,
    machine: tuple[str, ...],
    explain: bool,
    pairs: int,
    slack: bool,
    history: str | None,
    settings: Settings,
    json: bool,
) -> int:
    """Say whether B boots slower than A, by how much, and why.

    Two images are booted in exact time; runs, results and records are compared as they are. Only a change beyond the
    floor counts (harness calibrate).

    Exit 0: the same, 1: B is worse, 6: B is better, 8: not judged, as figures of another machine or QEMU are.

    \b
    Examples:
      harness compare old.yml new.yml -m qemu-arm64
      harness compare latest-baseline latest
      harness compare cases/images/default.yml cases/images/default.yml -m qemu-x86_64 -m qemu-x86_64-microvm
      harness compare old.yml new.yml -m qemu-arm64 --pairs 30
    """
    from harness.commands.runs import compare as module
    from harness.commands.runs.sides import CompareRequest

    request = CompareRequest(before, after, machines=machine, explain=explain, pairs=pairs, slack=slack,
                             history=history, as_json=json)  # fmt: skip
    return module.run(request, settings)


@command
def bisect(old: str, new: str, image: str, machine: str, figure: str, settings: Settings) -> int:
    """Find the commit or package that moved an exact figure.

    Between two commits of the project, each step builds the image as it was then; between two locks, the image as it
    is with some of the packages updated. Builds and exact times repeat, so each step is one boot.

    With two figures in ms this tree is judged, for `git bisect run`: exit 0 when it is nearer to OLD, 1 when it is
    nearer to NEW, 125 when it cannot be built or booted.

    \b
    Examples:
      harness bisect v1.0 HEAD --image os.yml -m qemu-arm64
      harness bisect monday.lock tuesday.lock --image os.yml -m qemu-arm64 -f ready
      git bisect run harness bisect 313.822 333.822 --image os.yml -m qemu-arm64 -f ready
    """
    from harness.commands.runs import bisect as module

    return module.bisect(module.BisectRequest(old, new, image, machine, figure), settings)


@command
def outdated(
    images: tuple[str, ...], arch: tuple[str, ...], size: bool, machine: tuple[str, ...], settings: Settings, json: bool
) -> int:
    """Say what of an image is newer on the mirror.

    What the lock names, or without one what the cache holds, is compared with what the mirror has today; nothing that
    is kept changes. Exit 0: all is as it is there, 1: something differs.

    \b
    Examples:
      harness outdated default --arch all
      harness outdated os.yml --lock os.lock --size
      harness outdated os.yml -m qemu-arm64
    """
    from harness.commands.runs import outdated as module

    request = module.OutdatedRequest(",".join(arch), size, machine, as_json=json)
    return module.outdated(images, settings, request)


@command
def history(
    words: tuple[str, ...],
    machine: str | None,
    figure: str | None,
    mode: str | None,
    last: int,
    all_keys: bool,
    runs: bool,
    history: str | None,
    json: bool,
) -> int:
    """Show figures over time, and where they changed.

    Without IMAGE the headlines of all; an image and a machine show all their figures, a figure more shows each run.

    \b
    Examples:
      harness history
      harness history minimal -m qemu-arm64 -f ready
      harness history import results
      harness history export all.jsonl
      harness history ack 76860c9a 'the tables are worth it'
      harness history note 76860c9a 'the lab had no cooling'
      harness history rename old/os.yml os.yml
      harness history drop 76860c9a
    """
    from harness.commands.runs import history as module

    request = module.HistoryRequest(machine, mode, figure, last, every_key=all_keys, runs=runs, as_json=json)
    return module.history(words, request, history)


@command
def baseline(
    action: str, run: str | None, reason: str, image: str | None, machine: str | None, history: str | None, json: bool
) -> int:
    """Accept a run as what later ones are compared with.

    harness matrix --against compares with it. list shows those that there are, remove takes one away by its number.

    \b
    Examples:
      harness baseline accept latest --reason 'release 1.0'
      harness baseline list
      harness baseline remove 3
      harness matrix --explain --against latest-baseline
    """
    from harness.commands.runs import baseline as module

    return module.baseline(action, run, reason, image=image, machine=machine, where=history, as_json=json)


@command
def calibrate(
    images: tuple[str, ...], machine: str, no_history: bool, history: str | None, settings: Settings, json: bool
) -> int:
    """Measure how far exact times move without a cause.

    That is the floor which a change must exceed to count.

    Boots it with other random numbers, longer command lines, and its files in another order, and keeps the range of
    every figure in the history. Takes some minutes.

    \b
    Examples:
      harness calibrate cases/images/default.yml -m qemu-arm64
      harness calibrate cases/images/minimal.yml -m qemu-s390x --no-history
    """
    from harness.commands.runs import calibrate as module

    return module.calibrate(images, machine, settings, history=history, keep=not no_history, as_json=json)
