"""How the history looks on a terminal: amounts with their units, sparklines, lines that fit. Pure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from harness.text import one_line

PIPED_WIDTH = 160  # nobody folds what goes to a file
NARROWEST = 20
BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
RED, GREEN = "31", "32"
UNITS = ((1e6, "MB", 3), (1e3, "kB", 1), (1, "B", 0))


@dataclass(frozen=True)
class Page:
    """Where text goes: its width in letters, the encoding that it must pass, and whether colours are welcome."""

    width: int = PIPED_WIDTH
    encoding: str = "utf-8"
    colour: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Page:
        """Return what is known of a stream."""
        terminal = stream.isatty()
        width = shutil.get_terminal_size().columns if terminal else int(os.environ.get("COLUMNS") or PIPED_WIDTH)
        return cls(max(width, NARROWEST), stream.encoding or "ascii", terminal and not os.environ.get("NO_COLOR"))

    def can(self, text: str) -> bool:
        """Return whether the encoding has these letters."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def plain(self, text: str) -> str:
        """Return a stranger's text without what could move the cursor or has no letter in the encoding."""
        return one_line(text, None).encode(self.encoding, "replace").decode(self.encoding)

    def fit(self, text: str, width: int) -> str:
        """Return `text`, cut so that it is not longer than `width`."""
        if len(text) <= width:
            return text
        dots = "…" if self.can("…") else "..."
        return text[: max(width - len(dots), 0)] + dots[: max(width, 0)]

    def painted(self, text: str, colour: str) -> str:
        """Return `text` in a colour, where colours are welcome."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and colour else text

    @property
    def arrow(self) -> str:
        """From old to new."""
        return "→" if self.can("→") else "->"

    def spark(self, values: Sequence[int], floor: int, width: int) -> str:
        """Return the newest of `values` as a line of blocks: a move as small as `floor` is not seen."""
        shown = values[-width:] if width > 0 else []
        if not shown:
            return ""
        steps = BLOCKS if self.can(BLOCKS) else ASCII
        low, high = min(shown), max(shown)
        if high - low <= floor:
            return steps[0] * len(shown)
        return "".join(steps[(value - low) * (len(steps) - 1) // (high - low)] for value in shown)


def amount(mode: str, value: float, *, signed: bool = False) -> str:
    """Return a value of a mode with its unit: µs as ms, bytes as MB, kB or B."""
    sign = "+" if signed else ""
    if mode == "size":
        unit, name, digits = next(row for row in UNITS if abs(value) >= row[0] or row[0] == 1)
        return f"{value / unit:{sign}.{digits}f} {name}"
    return f"{value / 1e3:{sign}.{0 if mode == 'wall' else 3}f} ms"


def part(old: float, new: float) -> str:
    """Return a change in per cent of what was before."""
    return f"{(new - old) / old * 100:+.2f} %" if old else "new"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return rows as lines with columns below each other, those numbered in `right` to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
