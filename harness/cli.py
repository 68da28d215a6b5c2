"""The `harness` command: one thin function a subcommand, which imports its module only when it is called.

To add one: a function under ``@command`` whose parameters are its options and whose return value is the exit code.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from harness import __version__
from harness.commands import frame

EPILOG = """Exit codes: 0 all is well, 1 cases failed, 2 your input, 3 this host, 4 the machine, 5 the image,
70 a bug, 130 interrupted."""

# rich would double the time that every start takes
app = typer.Typer(
    name="harness", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, epilog=EPILOG
)

P = ParamSpec("P")
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


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
      harness doctor                    what this host has and lacks
      harness clean --dry-run           what the cache would give back
      harness --install-completion      completion in your shell
    """
    if debug:
        os.environ[frame.DEBUG] = "1"


@command
def doctor(json: Json = False) -> int:
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
) -> int:
    """Free the cache of what can be made again.

    Never while a build or a boot is using it.

    \b
    Examples:
      harness clean --dry-run
      harness clean --all
    """
    from harness.commands import clean as module

    return module.clean(everything=everything, dry_run=dry_run)


def main() -> None:
    """Run the command; the console script's entry point."""
    app()
