"""Manual pages, made from the table of options as docs/commands.md is: one of the program, and one of each command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from harness import __version__, options
from harness.cli.app import CONTEXT, EPILOG, ORDER
from harness.options import Option


def pages(app: click.Group) -> dict[str, str]:
    """Return the pages by the names of their files, ``harness-boot.1``."""
    known = [name for _, names in ORDER for name in names]
    return {"harness.1": _program(app), **{f"harness-{name}.1": _command(name, app.commands[name]) for name in known}}


def write(app: click.Group, folder: Path) -> Iterator[Path]:
    """Write the pages into ``man1`` of `folder`, where man(1) looks for them, and yield where each is."""
    into = folder / "man1"
    into.mkdir(parents=True, exist_ok=True)
    for name, text in pages(app).items():
        (into / name).write_text(text, encoding="utf-8")
        yield into / name


def _program(app: click.Group) -> str:
    about = (app.help or "").partition("\n\n\b\n")[0]
    lines = [_head("harness"), ".SH NAME", "harness \\- build, boot and judge small Linux images", ".SH SYNOPSIS",
             ".B harness\n[\\-\\-debug]\n.I COMMAND\n[...]", ".SH DESCRIPTION", *_text(about)]  # fmt: skip
    for title, names in ORDER:
        lines.append(f".SH {_said(title).upper()}")
        for name in names:
            lines += [".TP", f".BR harness\\-{_said(name)} (1)", _said(app.commands[name].short_help or "")]
    lines += [".SH EXIT STATUS", *_text(EPILOG.replace("\b\n", "").partition(": ")[2]), ".SH ENVIRONMENT"]
    for row in {row.env: row for row in options.OPTIONS if row.env}.values():
        lines += [".TP", f".B {_said(row.env)}", _said(f"Default of --{row.name}. {row.help}")]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> str:
    about, _, examples = (command.help or "").partition("\n\n\b\nExamples:\n")
    context = click.Context(command, info_name=f"harness {name}", **CONTEXT)
    usage = " ".join(command.collect_usage_pieces(context))
    title = command.short_help or name
    lines = [_head(f"harness-{name}"), ".SH NAME", f"harness\\-{_said(name)} \\- {_said(title[0].lower() + title[1:])}",
             ".SH SYNOPSIS", f".B harness {_said(name)}\n{_said(usage)}", ".SH DESCRIPTION",
             *_text(about.partition("\n\n\b\n")[0])]  # fmt: skip
    rows = options.of(name)
    for title, kept in (("ARGUMENTS", True), ("OPTIONS", False)):
        mine = [row for row in rows if row.argument is kept]
        if mine:
            lines.append(f".SH {title}")
        for row in mine:
            lines += [".TP", _name(row), _meaning(row)]
    lines += [".SH EXAMPLES", ".nf", *(_said(line.strip()) for line in examples.splitlines()), ".fi",
              ".SH SEE ALSO", ".BR harness (1)"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _head(name: str) -> str:
    return f'.TH "{_said(name.upper())}" "1" "" "harness {__version__}" "harness"'


def _name(row: Option) -> str:
    if row.argument:
        return f".I {_said(row.metavar)}"
    names = ", ".join([*([f"-{row.short}"] if row.short else []), f"--{row.name}"])
    value = f" {row.metavar}" if row.metavar and row.kind != "flag" else ""
    return f".B {_said(names + value)}"


def _meaning(row: Option) -> str:
    words = [row.help + options.limited(row)]
    if row.many and not row.argument:
        words.append("May be given several times: the values add up.")
    default = row.shown or ("" if row.default in (None, "", Path()) else f"{row.default}")
    if default and row.kind != "flag":
        words.append(f"Default: {default}.")
    return _said(" ".join(word for word in words if word)) or "\\&"


def _text(text: str) -> Iterator[str]:
    """Yield paragraphs of running text."""
    for part in re.split(r"\n\s*\n", text.strip()):
        yield from (".PP", _said(" ".join(part.split())))


def _said(text: str) -> str:
    """Return text as roff writes it: nothing in it is a request or an escape."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe
