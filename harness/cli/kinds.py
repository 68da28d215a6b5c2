"""The kinds of values that options take, as click knows them: what is wrong is said with what is expected."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from harness import options
from harness.cli import meant
from harness.options import Option


class Port(click.ParamType[int]):
    """A TCP port of a guest."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; a wrong one ends the command with what is expected."""
        text = str(value)
        if text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536:
            return int(text)
        more = "the port of the guest alone, for a free one of the host's; --publish takes both"
        raise self.fail(f"{text!r} is not a port: {more if ':' in text else '1 to 65535'}", param, ctx)


class Ports(click.ParamType[tuple[int, int, str]]):
    """A port of this host, a guest's behind it, and their protocol."""

    name = "ports"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, str]:
        """Return host's, guest's and protocol; wrong ones end the command with what is expected."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp))?", str(value), re.ASCII)
        if found is None or not all(0 < int(port) < 65536 for port in found.groups()[:2]):
            hint = "--forward takes the guest's alone" if str(value).isdigit() else "each of 1 to 65535"
            raise self.fail(f"{str(value)!r} is not HOST:GUEST or HOST:GUEST/udp: {hint}", param, ctx)
        return int(found[1]), int(found[2]), found[3] or "tcp"


class Number(click.ParamType[float]):
    """A number, within the limits of its row."""

    name = "number"

    def __init__(self, row: Option) -> None:
        self._row = row

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; a wrong one ends the command with what is expected."""
        try:
            return options.number_of(self._row, str(value))
        except ValueError as error:
            raise self.fail(str(error), param, ctx) from None


class PathName(click.Path):
    """A path, which is not empty; the shell completes it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; an empty one ends the command."""
        try:
            options.path_of(str(value))
        except ValueError as error:
            raise self.fail(str(error), param, ctx) from None
        return super().convert(value, param, ctx)


class OneOf(click.Choice[str]):
    """One of some words, in capitals too; a wrong one is answered with the nearest."""

    def __init__(self, row: Option) -> None:
        super().__init__(row.words, case_sensitive=False)
        self._verb = row.argument

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return what is wrong, and what was meant."""
        said = super().get_invalid_choice_message(value, ctx)
        typed = f"harness {ctx.info_name}" if ctx is not None and self._verb else ""
        return f"{said.rstrip('.')}.{meant.word_meant(str(value), [str(one) for one in self.choices], typed)}"


def kind_of(row: Option) -> Any:
    """Return what click makes of a row's values."""
    if row.words and not (row.argument and row.many):
        return OneOf(row)
    if row.kind in options.NUMBERS:
        return Number(row)
    return {"path": PathName(path_type=Path), "port": Port(), "ports": Ports(), "flag": bool}.get(row.kind, str)
