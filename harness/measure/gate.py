"""Judges a run against a baseline: which figures became worse by more than their floor. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.measure.compare import alike, decides, is_step
from harness.measure.floor import LEAST_US, Floors

# Of sizes: a file more or less moves what the compressed root shares out to its neighbours.
SIZE_SHARE = 0.002
LEAST_BYTES = 4096


def size_floor(_: str, *values: int) -> int:
    """Return the floor of a size, in bytes, for a change between `values`."""
    return max([LEAST_BYTES, *(round(SIZE_SHARE * value) for value in values)])


@dataclass(frozen=True)
class Regression:
    """A figure that is worse than before by more than its floor: µs of exact time, or bytes of size."""

    figure: str
    old: int
    new: int
    floor: int

    @property
    def difference(self) -> int:
        """How much more it is."""
        return self.new - self.old


@dataclass(frozen=True)
class CellFigures:
    """What is compared of one image on one machine; ``why`` says why it has no exact figures."""

    image: str
    machine: str
    exact: Mapping[str, int] = field(default_factory=dict)
    key: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    run: str = ""


@dataclass(frozen=True)
class GateVerdict:
    """What the comparison of a cell came to. ``compared`` counts figures; ``notes`` say what was not compared and why.

    ``shared`` is what grew of services that run side by side: it hints at a cause, and decides nothing. ``better`` has
    what became less by more than the floor, as a regression the other way round.
    """

    image: str
    machine: str
    compared: int = 0
    slower: tuple[Regression, ...] = ()
    larger: tuple[Regression, ...] = ()
    shared: tuple[Regression, ...] = ()
    better: tuple[Regression, ...] = ()
    notes: tuple[str, ...] = ()
    calibrated: bool = False

    @property
    def passed(self) -> bool:
        """Nothing became worse; whether anything was compared is another question."""
        return not self.slower and not self.larger


def judge(old: Mapping[str, int], new: Mapping[str, int], floor: Callable[..., int]) -> list[Regression]:
    """Return the figures of both that are more in `new` by more than their floor, in the order of `new`.

    ``floor(figure, old value, new value)`` is in the figures' unit, as `Floors.of` and `size_floor` give it.
    """
    both = [(name, old[name], value, floor(name, old[name], value)) for name, value in new.items() if name in old]
    return [Regression(*row) for row in both if row[2] - row[1] > row[3]]


def verdicts(
    old: Iterable[CellFigures], new: Iterable[CellFigures], floors: Callable[[CellFigures], Floors]
) -> list[GateVerdict]:
    """Judge each cell of `new` against the one of `old` with the same image and machine; `floors` gives a cell's."""
    known = {(cell.image, cell.machine): cell for cell in old}
    return [_verdict(known.get((cell.image, cell.machine)), cell, floors(cell)) for cell in new]


def _verdict(old: CellFigures | None, new: CellFigures, floors: Floors) -> GateVerdict:
    if old is None:
        return GateVerdict(new.image, new.machine, notes=("the baseline has no such cell",))
    why = _incomparable(old, new)
    both = ({}, {}) if why else alike(old.exact, new.exact)
    # a step that was not there took nothing, one that is too short to be kept next to nothing
    moved = judge({**dict.fromkeys(filter(is_step, both[1]), 0), **both[0]}, both[1], floors.of)
    before, after = ({name: us for name, us in side.items() if decides(name)} for side in both)
    return GateVerdict(
        new.image,
        new.machine,
        compared=len(before.keys() & after.keys()) + len(old.sizes.keys() & new.sizes.keys()),
        slower=tuple(one for one in moved if decides(one.figure)),
        larger=tuple(judge(old.sizes, new.sizes, size_floor)),
        shared=tuple(one for one in moved if not decides(one.figure)),
        better=(*judge(after, before, floors.of), *judge(new.sizes, old.sizes, size_floor)),
        notes=tuple(filter(None, (why, *_unpaired(before, after, ""), *_unpaired(old.sizes, new.sizes, "size of ")))),
        calibrated=floors.calibrated,
    )


def _incomparable(old: CellFigures, new: CellFigures) -> str:
    """Return why two cells' exact figures cannot be compared; empty when they can."""
    if not new.exact:
        return f"no exact times: {new.why or 'nothing measured them'}"
    if not old.exact:
        return f"no exact times in the baseline{': ' * bool(old.why)}{old.why}"
    apart = differing(old.key, new.key)
    return f"exact times not compared, for they are of another experiment: {apart}" if apart else ""


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in which parts two keys differ, ``NAME: OLD → NEW`` each; empty when they do not."""
    names = [*new, *(name for name in old if name not in new)]
    return ", ".join(
        f"{name}: {old.get(name, 'none')} → {new.get(name, 'none')}" for name in names if old.get(name) != new.get(name)
    )


def _unpaired(old: Mapping[str, int], new: Mapping[str, int], what: str) -> Iterator[str]:
    """Say which figures only one side has, where both have any; of steps those that take long enough to count."""
    for mine, other, where in ((new, old, "not in the baseline"), (old, new, "only in the baseline")):
        names = [name for name in mine if name not in other and (mine[name] > LEAST_US or not is_step(name))]
        if old and new and names:
            yield f"{what}{', '.join(names)}: {where}"
