"""Judges a run against a baseline: which figures became worse by more than their floor. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from harness.measure.blame import inputs_apart
from harness.measure.compare import BESIDE, TOTAL, Cause, causes, unsure
from harness.measure.floor import Floors
from harness.measure.paired import PairedJudgement
from harness.measure.phases import READY
from harness.measure.waterfalls import DiffRow

if TYPE_CHECKING:
    from harness.system.record import BootRecord

# Of sizes: a file more or less moves what the compressed root shares out to its neighbours.
SIZE_SHARE = 0.002
LEAST_BYTES = 4096
# A word of up to 40 letters that means nothing moved boots of one image by at most 0.45 ms, on all three architectures.
WORDS_US = 750
GateAnswer = Literal["better", "same", "worse", "not judged"]
JudgedBy = Literal["", "equal", "pairs", "floor"]


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
    """What is compared of one image on one machine; ``why`` says why it has no exact figures.

    ``cell`` is the name of its boots' folder in a run, ``record`` that of its first exact boot where it is at hand,
    ``inputs`` what its image and machine were made of, by name.
    """

    image: str
    machine: str
    exact: Mapping[str, int] = field(default_factory=dict)
    key: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    run: str = ""
    cell: str = ""
    record: BootRecord | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GatePairs:
    """What pairs of boots of the baseline's image and of this one showed, the sentence that says it, and whose doing it
    is. ``notes`` say what else is to be known of them, ``diff`` is their waterfalls side by side. ``slack`` says which
    services take longer though `ready` waits for others, where that counts."""

    judgement: PairedJudgement
    sentence: str
    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()
    diff: tuple[DiffRow, ...] = ()
    slack: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateVerdict:
    """What the comparison of a cell came to. ``compared`` counts figures; ``differ`` says what differs of what the two
    were made of, before any figure, ``notes`` what else is to be known.

    Of exact times the whole alone decides; ``causes`` say who uses more or less of the processor. ``better`` has what
    became less by more than the floor, as a regression the other way round. ``unjudged`` says why a cell, or its exact
    times, could not be judged: that has not passed. ``base`` is the run compared with. ``by`` says how the exact times
    were judged: they were ``equal`` to the microsecond, by ``pairs``, or by the ``floor`` of single boots; then
    ``unpaired`` says why not by pairs.
    """

    image: str
    machine: str
    compared: int = 0
    slower: tuple[Regression, ...] = ()
    larger: tuple[Regression, ...] = ()
    causes: tuple[Cause, ...] = ()
    better: tuple[Regression, ...] = ()
    differ: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    calibrated: bool = False
    unjudged: str = ""
    base: str = ""
    by: JudgedBy = ""
    pairs: GatePairs | None = None
    unpaired: str = ""

    @property
    def answer(self) -> GateAnswer:
        """What it comes to: worse wins over what could not be judged, and that over better."""
        paired = self.pairs.judgement.answer if self.pairs else "same"
        if self.slower or self.larger or paired == "worse" or (self.pairs and self.pairs.slack):
            return "worse"
        if self.unjudged:
            return "not judged"
        return "better" if self.better or paired == "better" else "same"

    @property
    def passed(self) -> bool:
        """It was judged, and nothing became worse."""
        return self.answer in ("same", "better")


def judge(old: Mapping[str, int], new: Mapping[str, int], floor: Callable[..., int]) -> list[Regression]:
    """Return the figures of both that are more in `new` by more than their floor, in the order of `new`.

    ``floor(figure, old value, new value)`` is in the figures' unit, as `Floors.of` and `size_floor` give it.
    """
    both = [(name, old[name], value, floor(name, old[name], value)) for name, value in new.items() if name in old]
    return [Regression(*row) for row in both if row[2] - row[1] > row[3]]


@dataclass(frozen=True)
class GateCell:
    """A cell of a run, the baseline's of the same image and machine (None: it has none), and what they come to."""

    old: CellFigures | None
    new: CellFigures
    floors: Floors

    @cached_property
    def verdict(self) -> GateVerdict:
        """The judgement of single boots, by the floor."""
        return _verdict(self.old, self.new, self.floors)

    @property
    def can_pair(self) -> bool:
        """Whether pairs of boots say more: both have exact times, which are not the same or of another machine."""
        return bool(self.old and self.old.exact and self.new.exact) and self.verdict.by != "equal"

    @property
    def differs_in_slack(self) -> bool:
        """Whether pairs can say more of services that `ready` does not wait for: one is not as long as before."""
        both = (self.old.exact if self.old else {}, self.new.exact)
        spans = [{name: us for name, us in side.items() if name.startswith(BESIDE)} for side in both]
        return all(spans) and spans[0] != spans[1]

    def by_pairs(self, pairs: GatePairs) -> GateVerdict:
        """Return the judgement of pairs of boots, wherever the baseline's figures were measured."""
        assert self.old is not None
        return _verdict(self.old, self.new, self.floors, pairs)

    def by_floor(self, unpaired: str) -> GateVerdict:
        """Return the judgement of single boots, and why there are no pairs, where these would say more."""
        return replace(self.verdict, unpaired=unpaired if self.can_pair else "")


def gate_cells(
    old: Iterable[CellFigures], new: Iterable[CellFigures], floors: Callable[[CellFigures], Floors]
) -> list[GateCell]:
    """Put each cell of `new` beside the one of `old` with the same image and machine; `floors` gives a cell's."""
    known = {(cell.image, cell.machine): cell for cell in old}
    return [GateCell(known.get((cell.image, cell.machine)), cell, floors(cell)) for cell in new]


def verdicts(
    old: Iterable[CellFigures], new: Iterable[CellFigures], floors: Callable[[CellFigures], Floors]
) -> list[GateVerdict]:
    """Judge each cell of `new` against the one of `old` with the same image and machine, by single boots."""
    return [one.verdict for one in gate_cells(old, new, floors)]


def _verdict(old: CellFigures | None, new: CellFigures, floors: Floors, pairs: GatePairs | None = None) -> GateVerdict:
    if old is None:
        return GateVerdict(new.image, new.machine, unjudged="the baseline has no such cell")
    why = "" if pairs else _incomparable(old, new)
    before, after = ({}, {}) if why else (_deciding(old.exact), _deciding(new.exact))
    floor = _floor(old, new, floors)
    slower, faster = ([], []) if pairs else (judge(before, after, floor), judge(after, before, floor))
    whole = next((after[name] - before[name] for name in after if name in before), 0)
    moved = _apart(before, after) if pairs else _moved(before, after, floor)
    by: JudgedBy = "pairs" if pairs else "" if not before else "equal" if before == after else "floor"
    return GateVerdict(
        new.image,
        new.machine,
        compared=len(before.keys() & after.keys()) + len(old.sizes.keys() & new.sizes.keys()),
        slower=tuple(slower),
        larger=tuple(judge(old.sizes, new.sizes, size_floor)),
        causes=() if why else pairs.causes if pairs else tuple(causes(old.exact, new.exact, whole)),
        better=(*faster, *judge(new.sizes, old.sizes, size_floor)),
        differ=tuple(_differ(old, new)),
        notes=(*moved, *(pairs.notes if pairs else ()),
               *_unpaired(old.sizes, new.sizes, "size of ")),
        calibrated=floors.calibrated,
        unjudged=why,
        base=old.run,
        by=by,
        pairs=pairs,
    )  # fmt: skip


def _floor(old: CellFigures, new: CellFigures, floors: Floors) -> Callable[..., int]:
    """Return the floor of exact figures: where the command line alone differs nothing else lies elsewhere."""
    words_alone = bool(old.sizes) and old.sizes == new.sizes and _of_the_image(old.key) != _of_the_image(new.key)
    most = WORDS_US if words_alone and not floors.calibrated else math.inf

    def floor(figure: str, *values: int) -> int:
        return round(min(floors.of(figure, *values), most)) + unsure(figure, old.exact, new.exact)

    return floor


def _deciding(figures: Mapping[str, int]) -> dict[str, int]:
    """Return the figures that decide: from power-on to ready, and from the clock's zero."""
    return {name: figures[name] for name in (TOTAL, READY) if name in figures}


def _differ(old: CellFigures, new: CellFigures) -> Iterator[str]:
    """Say what differs of what somebody has made, the image and the machine's YAML: it is compared, and first named."""
    if old.exact and new.exact and (apart := differing(*(_of_the_image(one.key) for one in (old, new)))):
        yield f"the image is another: {apart}"
    if old.inputs and new.inputs:
        yield from inputs_apart(old.inputs, new.inputs)


def _moved(before: Mapping[str, int], after: Mapping[str, int], floor_of: Callable[..., int]) -> Iterator[str]:
    """Say what moved without counting, as what it is."""
    for name, us in after.items():
        by = us - before.get(name, us)
        floor = floor_of(name, before.get(name, us), us)
        if by and abs(by) <= floor:
            yield f"exact {name} {by / 1000:+.3f} ms, within the floor of {floor / 1000:.3f} ms"


def _apart(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    """Say how far the single boots of the two runs lie apart, of the whole: pairs judge."""
    for name, us in after.items():
        if name in before:
            yield f"single boots of the two runs: exact {name} {(us - before[name]) / 1000:+.3f} ms"
            return


ANOTHER = "exact times not compared, for they are of another experiment"
OF_THE_IMAGE = (
    "cmdline",
)  # parts of a key that the image brings: a difference there is to be judged, not to prevent it


def _of_the_image(key: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in key.items() if name in OF_THE_IMAGE}


def _incomparable(old: CellFigures, new: CellFigures) -> str:
    """Return why two cells' exact figures cannot be compared; empty when they can, or when neither has any."""
    if not new.exact and not old.exact:
        return "" if old.sizes and new.sizes and not (new.why or old.why) else f"no exact times: {new.why or old.why}"
    if not new.exact:
        return f"no exact times: {new.why or 'nothing measured them'}"
    if not old.exact:
        return f"no exact times in the baseline{': ' * bool(old.why)}{old.why}"
    if not _deciding(old.exact).keys() & _deciding(new.exact).keys():
        return f"no exact times: the two have neither {TOTAL} nor {READY} in common"
    return another_machine(old.key, new.key)


def another_machine(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return why figures under two keys cannot be compared: what is not the image's differs; empty where nothing."""
    machines = ({name: value for name, value in one.items() if name not in OF_THE_IMAGE} for one in (old, new))
    apart = differing(*machines)
    return f"{ANOTHER}: {apart}" if apart else ""


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in which parts two keys differ, ``NAME: OLD → NEW`` each; empty when they do not."""
    names = [*new, *(name for name in old if name not in new)]
    return ", ".join(
        f"{name}: {old.get(name, 'none')} → {new.get(name, 'none')}" for name in names if old.get(name) != new.get(name)
    )


def _unpaired(old: Mapping[str, int], new: Mapping[str, int], what: str) -> Iterator[str]:
    """Say which figures only one side has, where both have any."""
    for mine, other, where in ((new, old, "not in the baseline"), (old, new, "only in the baseline")):
        names = [name for name in mine if name not in other]
        if old and new and names:
            yield f"{what}{', '.join(names)}: {where}"
