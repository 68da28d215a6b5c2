"""Judges a run against a baseline: which figures became worse by more than their floor. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# Where nobody has calibrated: a word more on the kernel's command line, which does nothing, moved arm64 by 0.13 %.
FLOOR_PART = 0.002
FLOOR_US = 200
# A file more or less moves what the compressed root shares out to its neighbours.
FLOOR_BYTES = 4096


@dataclass(frozen=True)
class Floor:
    """How much a figure may move and mean nothing, in its own unit; ``calibrated`` when that was measured."""

    value: int
    calibrated: bool = False


@dataclass(frozen=True)
class Regression:
    """A figure that is worse than before by more than its floor: µs of exact time, or bytes of size."""

    figure: str
    old: int
    new: int
    floor: Floor

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
class Verdict:
    """What the comparison of a cell came to. ``compared`` counts figures; ``notes`` say what was not compared and why.

    ``better`` has what became less by more than the floor, as a regression the other way round.
    """

    image: str
    machine: str
    compared: int = 0
    slower: tuple[Regression, ...] = ()
    larger: tuple[Regression, ...] = ()
    better: tuple[Regression, ...] = ()
    notes: tuple[str, ...] = ()
    calibrated: bool = True

    @property
    def passed(self) -> bool:
        """Nothing became worse; whether anything was compared is another question."""
        return not self.slower and not self.larger


def exact_floor(old: int) -> Floor:
    """Return the floor of an exact time, in µs, as long as nobody has calibrated it."""
    return Floor(max(round(old * FLOOR_PART), FLOOR_US))


def size_floor(old: int) -> Floor:
    """Return the floor of a size, in bytes."""
    return Floor(max(round(old * FLOOR_PART), FLOOR_BYTES))


def judge(
    old: Mapping[str, int],
    new: Mapping[str, int],
    floors: Mapping[str, Floor],
    default: Callable[[int], Floor] = exact_floor,
) -> list[Regression]:
    """Return the figures of both that are more in `new` by more than their floor, in the order of `new`.

    A figure that `floors` has none for gets the `default` one of its old value.
    """
    found = []
    for name, value in new.items():
        if name not in old:
            continue
        floor = floors.get(name) or default(old[name])
        if value - old[name] > floor.value:
            found.append(Regression(name, old[name], value, floor))
    return found


Floors = Callable[[CellFigures], Mapping[str, Floor]]


def verdicts(old: Iterable[CellFigures], new: Iterable[CellFigures], floors: Floors) -> list[Verdict]:
    """Judge each cell of `new` against the one of `old` with the same image and machine; `floors` gives a cell's."""
    known = {(cell.image, cell.machine): cell for cell in old}
    return [_verdict(known.get((cell.image, cell.machine)), cell, floors) for cell in new]


def _verdict(old: CellFigures | None, new: CellFigures, floors: Floors) -> Verdict:
    if old is None:
        return Verdict(new.image, new.machine, notes=("the baseline has no such cell",))
    notes, exact, floored = [], dict(new.exact), dict(floors(new))
    apart = differing(old.key, new.key)
    if not new.exact or not old.exact:
        notes.append(f"no exact times to compare: {new.why if not new.exact else 'the baseline has none'}")
        exact = {}
    elif apart:
        notes.append(f"exact times not compared, they are of another experiment: {apart}")
        exact = {}
    notes += _unpaired(old.exact if exact else {}, exact, "") + _unpaired(old.sizes, new.sizes, "size of ")
    both = [name for name in exact if name in old.exact]
    return Verdict(
        new.image,
        new.machine,
        compared=len(both) + len(old.sizes.keys() & new.sizes.keys()),
        slower=tuple(judge(old.exact, exact, floored)),
        larger=tuple(judge(old.sizes, new.sizes, {}, size_floor)),
        better=tuple(judge(exact, old.exact, floored)),
        notes=tuple(notes),
        calibrated=all(name in floored for name in both),
    )


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in which parts two keys differ, ``NAME: OLD → NEW`` each; empty when they do not."""
    names = [*new, *(name for name in old if name not in new)]
    return ", ".join(
        f"{name}: {old.get(name, 'none')} → {new.get(name, 'none')}" for name in names if old.get(name) != new.get(name)
    )


def _unpaired(old: Mapping[str, int], new: Mapping[str, int], what: str) -> list[str]:
    if not old or not new:
        return []
    return [*_listed(what, (name for name in new if name not in old), "not in the baseline"),
            *_listed(what, (name for name in old if name not in new), "only in the baseline")]  # fmt: skip


def _listed(what: str, names: Iterable[str], where: str) -> Iterator[str]:
    found = list(names)
    if found:
        yield f"{what}{', '.join(found)}: {where}"
