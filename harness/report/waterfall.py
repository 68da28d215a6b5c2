"""Lays out a boot as a waterfall: its phases in, rows with bars out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.measure.compare import BESIDE
from harness.measure.phases import PathStep, Phase
from harness.report.ticks import ticks

TICKS = 8
LEAST_SHARE = 0.004  # of the whole boot: what takes less, and says no processor time, is summed up


@dataclass(frozen=True)
class PathLine:
    """Where the path to `ready` goes through a row: from ``left`` on, ``wide``, in per cent of the whole boot."""

    left: float
    wide: float


@dataclass(frozen=True)
class Bar:
    """A row, and where the path to `ready` goes through it.

    ``left``, ``wide`` and ``cpu_wide`` are per cent of the whole boot; ``start_us`` counts from power-on. ``depth`` is
    0 of the main line, 1 of a part of it. A row of several small steps has no bar: its `wide` is 0.
    """

    name: str
    depth: int
    start_us: int | None
    us: int
    left: float
    wide: float
    cpu_us: int | None = None
    cpu_wide: float = 0.0
    slack_us: int | None = None
    path: tuple[PathLine, ...] = ()

    @property
    def cpu_share(self) -> float:
        """How much of the bar's time was the processor's, 0 to 1."""
        return min(1.0, (self.cpu_us or 0) / self.us) if self.us else 0.0


@dataclass(frozen=True)
class TimeTick:
    """A line across the bars at ``left`` per cent, with its time in ms."""

    left: float
    ms: float


@dataclass(frozen=True)
class Waterfall:
    """The rows in order, the axis, and where the kernel's clock began (per cent; None: at the left end)."""

    bars: tuple[Bar, ...]
    ticks: tuple[TimeTick, ...]
    us: int
    clock_zero: float | None


def waterfall(phases: Sequence[Phase], path: Sequence[PathStep] = ()) -> Waterfall | None:
    """Return a boot's waterfall, from power-on as far as that is known, and the path to `ready` through it; None when
    there is nothing to draw."""
    line = [phase for phase in phases if not phase.under]
    if not line:
        return None
    begin = min(phase.start_us for phase in line)
    whole = max(1, *(phase.start_us + phase.us - begin for phase in line))
    bars = tuple(
        replace(bar, path=tuple(_through(bar, path, begin, whole))) for bar in _bars(line, phases, begin, whole)
    )
    axis = tuple(TimeTick(us / whole * 100, us / 1000) for us in ticks(0, whole, TICKS))
    return Waterfall(bars, axis, whole, -begin / whole * 100 if begin < 0 else None)


def _through(bar: Bar, path: Sequence[PathStep], begin: int, whole: int) -> Iterator[PathLine]:
    for step in path:
        if step.phase == bar.name and bar.depth == int(step.phase.startswith(BESIDE)):
            yield PathLine((step.start_us - begin) / whole * 100, step.us / whole * 100)


def _bars(line: Sequence[Phase], phases: Sequence[Phase], begin: int, whole: int) -> Iterator[Bar]:
    for phase in line:
        yield _bar(phase, 0, begin, whole)
        inner = sorted((one for one in phases if one.under == phase.name), key=lambda one: (one.start_us, one.name))
        large = [one for one in inner if one.us < 0 or one.us >= LEAST_SHARE * whole or one.cpu_us is not None]
        yield from (_bar(one, 1, begin, whole) for one in large)
        rest = [one for one in inner if one not in large]
        if rest:
            yield Bar(f"{len(rest)} smaller steps", 1, None, sum(one.us for one in rest), 0.0, 0.0)


def _bar(phase: Phase, depth: int, begin: int, whole: int) -> Bar:
    start = phase.start_us - begin
    cpu = min(phase.us, phase.cpu_us or 0)
    return Bar(
        phase.name,
        depth,
        start,
        phase.us,
        start / whole * 100,
        min(max(0, phase.us), whole - start) / whole * 100,
        phase.cpu_us,
        max(0, cpu) / whole * 100,
        phase.slack_us,
    )
