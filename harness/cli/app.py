"""The `harness` command itself: how a function becomes a subcommand, with the options that the table gives it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from harness import __version__, options
from harness.cli import meant
from harness.cli.kinds import kind_of
from harness.options import Option
from harness.show import frame
from harness.text import message

# In the order of work; a command that is not here is refused by a test.
ORDER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("First", ("help", "doctor", "init", "new", "add", "library", "lint", "schema")),
    ("Images", ("build", "boot", "push", "pull", "sbom", "outdated", "metadata")),
    ("Runs", ("matrix", "results", "report")),
    ("Figures", ("compare", "bisect", "history", "baseline", "calibrate")),
    ("Machines", ("machine", "cluster")),
    ("Certificates", ("profile", "certify", "verify")),
    ("This host", ("cache", "clean", "completion", "man", "version")),
)
CACHE = "cache"
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EPILOG = """\b
Exit codes: 0 all is well, 1 cases failed, 2 your input, 3 this host,
4 the machine, 5 the image, 6 better (of compare), 7 not repeatable here
(of verify), 8 not all was judged (of matrix), 70 a bug, 130 interrupted."""


@contextmanager
def _readable() -> Iterator[None]:
    """Let what click says of a wrong command line name the option that was meant, and be no longer than a message."""
    try:
        yield
    except click.NoSuchOption as error:
        near = meant.option_meant(error.option_name, error.ctx.command) if error.ctx else ""
        raise click.UsageError(
            f"{message(error.message)}{f' Did you mean {near}?' if near else ''}", error.ctx
        ) from None
    except click.MissingParameter as error:
        row = (
            next((row for row in options.of(error.ctx.info_name or "") if error.param.name == row.key), None)
            if error.ctx and error.param
            else None
        )
        such = meant.SUCH_AS.get(row.completes) if row else None
        if such is None:
            raise
        raise click.UsageError(f"{error.format_message()} Give one, {such}.", error.ctx) from None
    except click.UsageError as error:
        if (said := error.format_message()) != (short := message(said)):
            raise click.UsageError(short, error.ctx) from None
        raise


class Commands(click.Group):
    """The subcommands in the order of work, and the nearest one for a name that is none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the subcommand."""
        with _readable():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Read the subcommand's words and run it."""
        with _readable():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of work."""
        known = [name for _, names in ORDER for name in names if name in self.commands]
        return [*known, *sorted(set(self.commands) - set(known))]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under what they are about, each with its whole description."""
        for title, names in ORDER:
            rows = [(name, self.commands[name].short_help or "") for name in names if name in self.commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; one that is not there is answered with the nearest."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            ctx.fail(f"there is no command {name!r}: {meant.command_meant(name, self.commands)}")
        return super().resolve_command(ctx, args)


def _parameter(row: Option) -> click.Parameter:
    kind = kind_of(row)
    if row.argument:
        return click.Argument([row.key], type=kind, required=row.required, nargs=-1 if row.many else 1,
                              metavar=row.metavar, shell_complete=_complete(row),
                              **({} if row.default is None else {"default": row.default}))  # fmt: skip
    names = [row.key, f"--{row.name}", *([f"-{row.short}"] if row.short else [])]
    if row.kind == "flag":
        return click.Option(names, is_flag=True, default=False, help=row.help)
    shown: bool | str = row.shown or (row.default not in (None, "", 0))
    # to click a default of None is a value, and what has one is not required
    default = {} if row.default is None else {"default": row.default}
    return click.Option(names, type=kind, required=row.required, multiple=row.many, metavar=row.metavar or None,
                        help=row.help + options.limited(row), envvar=row.env or None, show_envvar=True,
                        show_default=shown, shell_complete=_complete(row), **default)  # fmt: skip


def _complete(row: Option) -> Callable[[click.Context, click.Parameter, str], Any] | None:
    if not (row.completes or row.words):
        return None

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> Any:
        from harness.cli import completion

        if row.completes == "commands":
            return [name for name in app.commands if name.startswith(incomplete)]
        return completion.complete(row, incomplete)

    return complete


@click.group(cls=Commands, context_settings=CONTEXT, epilog=EPILOG, no_args_is_help=True)
@click.option("--debug", is_flag=True, help="Show the traceback of every error.")
@click.version_option(__version__, prog_name="harness", message="%(prog)s %(version)s", help="Print the version.")
def app(debug: bool) -> None:
    """Builds small container-native Linux images for x86_64, arm64 and s390x, boots them, and judges the evidence.

    \b
    Examples:
      harness boot default -m qemu-arm64      build and boot a shipped image
      harness init my-os      begin a project: image, service, case, plan, CI
      harness new nginx sshd -o os.yml        begin an image of your own
      harness matrix          build, boot and check everything; one table
      harness doctor          what this host has and lacks
      harness help COMMAND    all about one command, with examples
    """
    if debug:
        os.environ[frame.DEBUG] = "1"


def command(function: Callable[..., int]) -> Callable[..., int]:
    """Make `function` a subcommand: its parameters are the rows of the table that name it, its docstring the help.

    What it returns is the exit code, what it raises is explained on stderr. The options of a build come as one
    parameter, ``settings``.
    """
    name = function.__name__.rstrip("_").replace("_", "-")
    rows = options.of(name)
    builds = any(row in options.BUILD for row in rows) and name in options.BUILDERS

    @functools.wraps(function)
    def framed(**given: Any) -> None:
        raise click.exceptions.Exit(
            frame.guarded(lambda: function(**_arguments(given, builds=builds)), f"harness {name}")
        )

    text = (function.__doc__ or "").strip()
    app.add_command(
        click.Command(
            name,
            callback=framed,
            params=[_parameter(row) for row in rows],
            help=_help(text, rows),
            short_help=text.partition("\n")[0].rstrip("."),
            context_settings=CONTEXT,
        )
    )
    return function


def _arguments(given: dict[str, Any], *, builds: bool) -> dict[str, Any]:
    if cache := given.get(CACHE):
        os.environ["HARNESS_CACHE"] = str(cache.absolute())  # for all that this process asks, and starts
    if not builds:
        return {key: value for key, value in given.items() if key != CACHE}
    build = {row.key: given.pop(row.key) for row in options.BUILD}
    return {**given, options.SETTINGS: options.settings_of(build)}


def _help(text: str, rows: Sequence[Option]) -> str:
    """Return a docstring with what its arguments are, before its examples."""
    told = [f"  {row.metavar}  {row.help}" for row in rows if row.argument and row.help]
    lines = [line.removeprefix("    ") for line in text.splitlines()]
    before, examples, after = "\n".join(lines).partition("\n\n\b\nExamples:")
    return before + ("\n\n\b\n" + "\n".join(told) if told else "") + examples + after


def show_help(name: str | None) -> int:
    """Print the help of a command, of the whole program without a name. Returns 0; UserError for an unknown name."""
    from harness.errors import UserError

    if name is None:
        found: click.Command = app
    elif name in app.commands:
        found = app.commands[name]
    else:
        raise UserError(f"there is no command {name!r}", hint=meant.command_meant(name, app.commands))
    parent = click.Context(app, info_name="harness", **CONTEXT)
    context = parent if name is None else click.Context(found, info_name=name, parent=parent, **CONTEXT)
    print(found.get_help(context))
    return 0
