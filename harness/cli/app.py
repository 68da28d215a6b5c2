"""The `harness` command itself, and how a function becomes one of its subcommands."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from harness import __version__
from harness.commands import options
from harness.show import frame

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
