"""The `harness` command: one thin function a subcommand, which imports its module only when it is called.

To add one: a function under ``@command`` whose parameters are its options and whose return value is the exit code.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from harness import __version__
from harness.commands import frame, options

# rich would double the time that every start takes
app = typer.Typer(
    name="harness", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, epilog=options.EPILOG
)

P = ParamSpec("P")


def command(function: Callable[P, int]) -> Callable[P, None]:
    """Make `function` a subcommand: what it returns is the exit code, what it raises is explained on stderr."""

    @functools.wraps(function)
    def framed(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(frame.guarded(lambda: function(*args, **kwargs)))

    return app.command(name=function.__name__.rstrip("_").replace("_", "-"))(framed)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Builds small container-native Linux images for x86_64, arm64 and s390x, boots them, and judges the evidence.

    \b
    Examples:
      harness build cases/images/minimal.yml      for all three architectures
      harness boot cases/images/default.yml -m qemu-arm64
      harness matrix                    build, boot and check everything; one table
      harness doctor                    what this host has and lacks
      harness clean --dry-run           what the cache would give back
      harness --install-completion      completion in your shell
    """
    if debug:
        os.environ[frame.DEBUG] = "1"


@command
def doctor(json: options.Json = False) -> int:
    """Say what this host has and lacks.

    Tools with their versions and packages, KVM, the cache, room for guests, package sources.

    Exit 0 when everything indispensable is there, 3 otherwise.

    \b
    Examples:
      harness doctor
      harness doctor --json
    """
    from harness.commands import doctor as module

    return module.doctor(as_json=json)


@command
def clean(
    everything: Annotated[bool, typer.Option("--all", help="Downloads too: the next build needs the network.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: options.Json = False,
) -> int:
    """Free the cache of what can be made again.

    Never while a build or a boot is using it.

    \b
    Examples:
      harness clean --dry-run
      harness clean --all
    """
    from harness.commands import clean as module

    return module.clean(everything=everything, dry_run=dry_run, as_json=json)


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
    cache: Annotated[Path | None, typer.Option(help="The cache's folder, instead of HARNESS_CACHE.")] = None,
    lock: options.Lock = None,
    refresh: options.Refresh = False,
    offline: options.Offline = False,
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

    Exit 0 when all passed, 1 when cases failed or something became worse (--against), 3 when this host cannot run
    some cells, 130 when interrupted.

    \b
    Examples:
      harness matrix
      harness matrix nightly.yml --machine qemu-arm64 --results out
      harness matrix nightly.yml --lock nightly.lock
      harness matrix --image default -k root -- -x
      harness matrix --against latest-baseline
    """
    from harness.commands import gate
    from harness.commands import matrix as module
    from harness.suite.builds import How

    after = gate.prepare(against, keep=not no_history, where=where)
    return module.from_words(
        words or [], images=image or [], machines=machine or [], results=results, keyword=keyword, workers=workers,
        patience=timeout_multiplier, how=How(cache, lock, offline, refresh), as_json=json,
        after=after,
    )  # fmt: skip


@command
def build(
    images: options.Images,
    arch: Annotated[str, typer.Option(help="all, host, or some of x86_64,arm64,s390x.")] = "all",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Copy the images to DIR/NAME-ARCH.")] = None,
    explain_size: Annotated[bool, typer.Option("--explain-size", help="Show what makes it large.")] = False,
    lock: options.Lock = None,
    mirror: options.Mirror = None,
    keyring: options.Keyring = None,
    suite: options.Suite = "bookworm",
    compression: options.Compression = "lz4-fast",
    refresh: options.Refresh = False,
    offline: options.Offline = False,
    json: options.Json = False,
) -> int:
    """Build an image for some architectures.

    What has not changed is not built again; the images stay in the cache.

    \b
    Examples:
      harness build cases/images/minimal.yml
      harness build base.yml site.yml --arch arm64,s390x -o out
      harness build cases/images/default.yml --arch host --explain-size
    """
    from harness.build.settings import Settings
    from harness.commands import build as module

    settings = Settings(suite=suite, mirror=mirror, keyring=keyring, compression=compression,
                        lock=lock, refresh=refresh, offline=offline)  # fmt: skip
    return module.build(images, arch, settings, output=output, explain_size=explain_size, as_json=json)


@command
def boot(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image YAML files, or one built folder.")],
    machine: Annotated[str, typer.Option("--machine", "-m", help="A machine's name, or its YAML.")],
    exact: Annotated[bool, typer.Option("--exact", help="Two counted boots: exact times, and their proof.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Where its time goes, down to initcalls and modules.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="Run this command in the system, print what it says, end.")] = None,
    append: Annotated[list[str] | None, typer.Option(help="A word more for the kernel's command line.")] = None,
    forward: Annotated[list[int] | None, typer.Option(help="Reach this TCP port of the guest on 127.0.0.1.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds until it must be ready.")] = 120.0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Keep transcript and record here.")] = None,
    json: options.Json = False,
) -> int:
    """Boot an image on a machine.

    At a terminal the console is yours until Ctrl-]; else it boots to ready, shows the boot's steps, and powers off.

    \b
    Examples:
      harness boot cases/images/default.yml -m qemu-arm64 --forward 80
      harness boot cases/images/minimal.yml -m qemu-s390x --exact
      harness boot cases/images/default.yml -m qemu-arm64 --explain
      harness boot cases/images/default.yml -m qemu-x86_64 --run 'ps; mount'
    """
    from harness.build.settings import Settings
    from harness.commands import boot as module

    wish = module.Wish(exact=exact, explain=explain, command=run, append=tuple(append or ()),
                       forwards=tuple(forward or ()), timeout=timeout, out=output, as_json=json)  # fmt: skip
    return module.boot(images, machine, Settings(), wish)


@command
def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="Image YAML (A.yml+B.yml), built folder, run, results.")],
    after: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    machine: Annotated[list[str] | None, typer.Option("--machine", "-m", help="For images: one, or one each.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Look at every initcall and module in any case.")] = False,
    pairs: Annotated[int, typer.Option(help="Compare wall times of this many pairs of boots instead.", min=0)] = 0,
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
    from harness.commands import compare as module

    wish = module.Wish(before, after, machines=tuple(machine or ()), explain=explain, pairs=pairs, history=where,
                       as_json=json)  # fmt: skip
    return module.run(wish, Settings())


@command
def calibrate(
    images: options.Images,
    machine: Annotated[str, typer.Option("--machine", "-m", help="A machine's name, or its YAML.")],
    no_history: Annotated[bool, typer.Option("--no-history", help="Only print the floors.")] = False,
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
    from harness.commands import calibrate as module

    return module.calibrate(images, machine, Settings(), history=where, keep=not no_history, as_json=json)


@command
def cache(
    action: Annotated[str, typer.Argument(metavar="export|import")],
    folder: Annotated[Path, typer.Argument(help="Where the packages go to, or come from.")],
    json: options.Json = False,
) -> int:
    """Keep the downloaded packages elsewhere, or take them back.

    With a lock (harness build --lock FILE) and an exported cache an image can be built again, byte for byte, when the
    mirror no longer has its packages.

    \b
    Examples:
      harness cache export /backup/packages
      harness cache import /backup/packages
      harness build my-os.yml --lock my-os.lock --offline
    """
    from harness.commands import cache as module

    return module.cache(action, folder, as_json=json)


@command
def lint(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="YAML of any kind, or folders of them.")],
    json: options.Json = False,
) -> int:
    """Check YAML files without building: images, components, machines, plans.

    \b
    Examples:
      harness lint cases/images/default.yml
      harness lint machines cases
    """
    from harness.commands import lint as module

    return module.lint(files, as_json=json)


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
    from harness.commands import history as module

    wish = module.Wish(machine, mode, figure, last, every_key=all_keys, runs=runs, as_json=json)
    return module.history(words or [], wish, where)


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
      harness matrix --against latest-baseline
    """
    from harness.commands import baseline as module

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
    from harness.commands import report as module

    return module.report(folder, output, over_time=over_time, where=where)


def main() -> None:
    """Run the command; the console script's entry point."""
    app()
