"""docs/commands.md, made from the table of options: ``python -m harness.cli.reference`` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from harness import cli, options
from harness.cli.app import ORDER
from harness.options import Option

INTRODUCTION = """\
# Commands and options

Made by `python -m harness.cli.reference > docs/commands.md`; change `harness/options/` and the functions in
`harness/cli/` instead. `harness help COMMAND` says the same at a terminal. An option whose default is a variable's
may be given by it. One that may be given several times adds up: `--arch arm64 --arch s390x` builds two. Exit codes
are in [errors.md](errors.md).

## How an image is named

Wherever an image is asked for, in a plan and under pytest too, it is

| written | what it is |
| --- | --- |
| `my-os.yml` | an image's YAML, or that of a foreign OS ([foreign.md](foreign.md)) |
| `my-os.yml+site.yml` | files that are merged in order, as LinuxKit does; several words of a command likewise |
| `out/my-os-arm64` | a built folder, as `harness build -o out` leaves it |
| `boot/` | the folder that `harness boot -o boot` has left: the image that was booted |
| `default` | a word without `/` and ending: an image that ships with the harness |

A `+` in a path stays one: `c++/my-os.yml` is one file. What builds (`build`, `certify`, `calibrate`, `bisect`,
`outdated`) wants YAML, and says so of a folder. `compare` takes a boot's folder for its record unless `-m` names a
machine.

A machine is named by the name of one that ships with the harness (`harness machine list`), or by its YAML. In a
filter of a plan (`harness matrix PLAN --image … --machine …`) an image is named as the plan names it, or as results do
(the name of its first YAML, of a built folder's manifest, of a foreign OS), a machine likewise.

## Build settings

Every command that builds takes these: {builders}.

{build}
"""
PYTEST = """
## Under pytest

The harness is a pytest plugin: its fixtures ([cases.md](cases.md)) are there wherever it is installed, and these
options give them their images and machines. All begin with `--harness-`, so a project with options and fixtures of
its own can have the harness beside them. Without any of `--harness-image`, `--harness-machine`, `--harness-plan` and
`--harness-results` a case that asks for an image fails and says what is missing. `--collect-only` builds nothing and
leaves nothing behind.

"""


def page() -> str:
    """Return the whole page."""
    builders = ", ".join(f"`{name}`" for name in _ordered() if name in options.BUILDERS)
    parts = [INTRODUCTION.format(builders=builders, build="\n".join(table(options.BUILD)))]
    for name in _ordered():
        parts.append("\n".join(_command(name, cli.app.commands[name])))
    parts.append(PYTEST + "\n".join(table(options.UNDER_PYTEST, pytest=True)) + "\n")
    return "".join(parts)


def _ordered() -> list[str]:
    return [name for _, names in ORDER for name in names if name in cli.app.commands]


def _command(name: str, command: click.Command) -> Iterator[str]:
    rows = [row for row in options.of(name) if name not in options.BUILDERS or row not in options.BUILD]
    about, _, examples = (command.help or "").partition("\n\n\b\nExamples:\n")
    usage = " ".join(_usage(row) for row in rows if row.argument)
    yield f"\n## {name}\n"
    yield f"`harness {name}{f' {usage}' if usage else ''}`\n"
    yield about.partition("\n\n\b\n")[0]
    if rows:
        yield ""
        yield from table(rows)
    if name in options.BUILDERS:
        yield "\nand the [build settings](#build-settings)."
    yield "\n```\n" + "\n".join(line.strip() for line in examples.splitlines()) + "\n```\n"


def _usage(row: Option) -> str:
    return row.metavar if row.required or row.metavar.startswith("[") else f"[{row.metavar}]"


def table(rows: Iterable[Option], *, pytest: bool = False) -> Iterator[str]:
    """Yield a table of some options, as pytest has them or as the command."""
    yield "| option | default | meaning |"
    yield "| --- | --- | --- |"
    seen: set[str] = set()
    for row in rows:
        if pytest and row.name in seen:
            continue
        seen.add(row.name)
        yield f"| {_name(row, pytest=pytest)} | {_default(row)} | {_escaped(_meaning(row))} |"


def _name(row: Option, *, pytest: bool) -> str:
    value = f" {row.metavar}" if row.metavar and row.kind != "flag" else ""
    if row.argument:
        return f"`{_escaped(row.metavar)}`"
    if pytest:
        return f"`{row.pytest_name}{_escaped(value)}`"
    short = f"`-{row.short}`, " if row.short else ""
    return f"{short}`--{row.name}{_escaped(value)}`"


def _default(row: Option) -> str:
    said = [f"`{row.env}`"] if row.env else []
    if row.shown:
        said.append(row.shown)
    elif row.default not in (None, ""):
        said.append(f"`{row.default:g}`" if isinstance(row.default, (int, float)) else f"`{row.default}`")
    return "**required**" if row.required else ", else ".join(said) or "–"


def _meaning(row: Option) -> str:
    words = f" One of: {', '.join(row.words)}." if row.words and not row.help else ""
    return (
        f"{row.help}{words}{options.limited(row)}{' Repeatable.' if row.many and not row.argument else ''}".strip()
        or "–"
    )


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
