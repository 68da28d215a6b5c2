"""What a bench finds: figures with their spread and goal, and tables. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

GoalVerdict = Literal["reached", "missed", "skipped", ""]


@dataclass(frozen=True)
class BenchFigure:
    """One thing measured `values` times, in `unit`. ``goal`` is the most that its median may be; None: no goal.

    ``broken`` says why the values count as missed whatever they are; ``skipped`` why there are none.
    """

    subject: str
    unit: str
    values: tuple[float, ...] = ()
    goal: float | None = None
    note: str = ""
    broken: str = ""
    skipped: str = ""

    @property
    def median(self) -> float:
        """The middle of the values: what the goal is about."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> GoalVerdict:
        """Whether the goal was reached; empty when there is none."""
        if self.skipped or not self.values:
            return "skipped"
        if self.broken:
            return "missed"
        if self.goal is None:
            return ""
        return "reached" if self.median <= self.goal else "missed"

    def to_json(self) -> dict[str, Any]:
        """Return the figure as what JSON can hold."""
        spread = {"min": min(self.values), "median": self.median, "max": max(self.values)} if self.values else {}
        return {"subject": self.subject, "unit": self.unit, "n": len(self.values), **spread, "values": [*self.values],
                "goal": self.goal, "verdict": self.verdict, "note": self.note, "broken": self.broken,
                "skipped": self.skipped}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows of text under a title: what explains figures without being one."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass
class Report:
    """All that one bench found, with what it was found on. ``command`` repeats it; ``finished``: nothing is missing."""

    name: str
    command: str
    host: dict[str, str | int | float]
    date: str
    figures: list[BenchFigure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    finished: bool = False

    @property
    def missed(self) -> list[BenchFigure]:
        """The figures whose goal was not reached."""
        return [figure for figure in self.figures if figure.verdict == "missed"]

    def to_json(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return {"name": self.name, "command": self.command, "host": self.host, "date": self.date,
                "finished": self.finished, "figures": [figure.to_json() for figure in self.figures],
                "tables": [{"title": one.title, "header": one.header, "rows": one.rows} for one in self.tables],
                }  # fmt: skip


def number(value: float, unit: str) -> str:
    """Return `value` with as many digits as its unit deserves."""
    digits = {"ms": 3, "MB": 2, "s": 2, "ratio": 3}.get(unit, 0)
    return f"{value:.{digits}f}"


def best(figures: Sequence[BenchFigure], subject: str, goal: float) -> BenchFigure:
    """Return the figure with the lowest median under the name `subject` and with a goal."""
    least = min(figures, key=lambda figure: figure.median)
    return BenchFigure(subject, least.unit, least.values, goal, note=least.subject, broken=least.broken)
