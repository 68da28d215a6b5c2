"""A row of the table of options: what there is to say of an option, and what its values may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

OptionKind = Literal["text", "path", "whole number", "number", "port", "ports", "flag"]
Completes = Literal[
    "",
    "images",
    "machines",
    "architectures",
    "components",
    "profiles",
    "plans",
    "runs",
    "baselines",
    "files",
    "commands",
    "formats",
    "kinds",
    "sides",
    "history",
]

PYTEST_PREFIX = "harness"
NUMBERS = ("number", "whole number")


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option, or with ``argument`` a word that has no name on the command line.

    ``commands`` take it. ``default`` is None where the code decides; ``shown`` then says how. ``many``: it may be given
    several times, and the values add up. ``words`` are the values that there are, or of an argument with ``many`` the
    first words of its grammar. ``under_pytest``: pytest has it too, as ``--harness-NAME``.
    """

    name: str
    commands: tuple[str, ...]
    help: str = ""
    short: str = ""
    kind: OptionKind = "text"
    default: Any = None
    shown: str = ""
    env: str = ""
    metavar: str = ""
    many: bool = False
    required: bool = False
    argument: bool = False
    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()
    completes: Completes = ""
    under_pytest: bool = False

    @property
    def key(self) -> str:
        """The name of the parameter that gets its value."""
        key = self.name.replace("-", "_")
        return f"{key}_" if key in ("all", "format") else key

    @property
    def pytest_name(self) -> str:
        """Its name under pytest."""
        return f"--{PYTEST_PREFIX}-{self.name}"

    @property
    def pytest_key(self) -> str:
        """The name that pytest's ``getoption`` knows it by."""
        return f"{PYTEST_PREFIX}_{self.key}"


def limits(row: Option) -> str:
    """Return which numbers a row takes, as in ``1 to 1000``."""
    return f"{row.least:g} to {row.most:.12g}"


def limited(row: Option) -> str:
    """Return what a row's help says beyond its words: of a number, its limits."""
    return f" From {limits(row)}." if row.kind in NUMBERS else ""


def number_of(row: Option, text: str) -> float:
    """Return a number that a row takes; ValueError says what was given and what is expected."""
    whole = row.kind == "whole number"
    try:
        value = int(text) if whole else float(text)
        fits = math.isfinite(value) and (row.least or 0) <= value <= (row.most or math.inf)
    except (ValueError, OverflowError):
        fits = False
    if not fits:
        unit = f" ({row.metavar})" if row.metavar not in ("", "N") else ""
        raise ValueError(f"{text[:60]!r} is not a {'whole ' if whole else ''}number from {limits(row)}{unit}")
    return value


def path_of(text: str) -> Path:
    """Return a path; ValueError for an empty text, as an unset variable of a shell leaves it: that is not ``.``."""
    if not text:
        raise ValueError("the path is empty")
    return Path(text)
