"""The gate's pairs: where a cell's exact time is not the baseline's, both images boot under the same perturbations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.kept import image_of, shipped_as
from harness.commands.nights.watch import Deadline, interruptible
from harness.errors import HarnessError
from harness.image import Bootable
from harness.measure.blame import BYTES
from harness.measure.compare import ms
from harness.measure.gate import CellFigures, GateCell, GatePairs, GateVerdict, differing
from harness.measure.paired import PairedJudgement, told
from harness.measure.phases import READY, figures
from harness.run.cells import Planned, planned
from harness.run.inputs import BuiltInput, RunInputs
from harness.scratch import scratch
from harness.show.frame import progress
from harness.spec.models.foreign import OsSpec
from harness.suite.pairs import BothSides, KnownBoots, PairedBoots, PairSettings, judged

MINUTE_S = 60.0
NAMES = ("the baseline's image", "this image")
ALIKE = PairedJudgement("same", 0.0, 0.0, 0.0, 0, certain=True)
Pairer = Callable[[Sequence[GateCell]], list[GateVerdict]]


def not_here(cells: Sequence[GateCell]) -> list[GateVerdict]:
    """Judge all by single boots, for nothing is booted where the results of several hosts are put together."""
    why = "nothing is booted where the results of several hosts are put together: `harness compare` boots two images"
    return [one.by_floor(why) for one in cells]


@dataclass(frozen=True)
class PairTimes:
    """How long pairs of boots may take together, in minutes; and when the run is to end."""

    minutes: float
    until: Deadline | None = None

    def begun(self) -> Callable[[], str]:
        """Let the time begin; return what says why it is over, and nothing until then."""
        end = time.monotonic() + self.minutes * MINUTE_S

        def over() -> str:
            if self.until is not None and self.until.has_come():
                return f"the deadline, {self.until.text}, had come"
            return f"the {self.minutes:g} min for pairs of boots were over" if time.monotonic() >= end else ""

        return over


@dataclass(frozen=True)
class _Booter:
    """What it takes to boot a run's cells: what each was planned as, by its id, the cache, and the time."""

    planned: Mapping[str, Planned]
    cache: Path
    over: Callable[[], str]
    known: KnownBoots | None = None
    slack: bool = False

    def judged(self, one: GateCell) -> GateVerdict:
        """Judge a cell, by pairs where these would say more and can be had."""
        wanted = one.can_pair or (self.slack and one.differs_in_slack)
        if not wanted or one.old is None:
            return one.verdict
        planned = self.planned.get(one.new.cell)
        if planned is None:
            return one.by_floor("the plan that was read has no such cell")
        images = [self._image(planned, cell) for cell in (one.old, one.new)]
        if images[0] is None or images[1] is None:
            return one.by_floor(_missing(one.old if images[0] is None else one.new, baseline=images[0] is None))
        if ended := self.over():
            return one.by_floor(ended)
        machine = planned.cell.spec
        progress(f"{planned.cell.id}: not as the baseline's: both boot in pairs")
        try:
            with scratch("pairs") as folder:
                return self._paired(one, ((images[0], machine), (images[1], machine)), folder)
        except HarnessError as error:
            return one.by_floor(f"{error.message}{f' ({error.hint})' if error.hint else ''}")

    def _image(self, planned: Planned, cell: CellFigures) -> Bootable | None:
        """Return the image that a cell was booted from; None where it is not here."""
        wanted, line = cell.inputs.get(BYTES, ""), cell.key.get("cmdline", "")
        if isinstance(planned.spec, OsSpec | BuiltInput):
            there = replace(planned.cell, folder=str(planned.spec.path)).built
            if shipped_as(there, wanted, line):
                return there
        return image_of(self.cache, wanted, line)

    def _paired(self, one: GateCell, both: BothSides, folder: Path) -> GateVerdict:
        assert one.old is not None
        found = judged(both, folder, PairSettings(progress, late=lambda: bool(self.over()), known=self.known))
        for cell, record in zip((one.old, one.new), found.records, strict=True):
            if record.key.get("cmdline") != cell.key.get("cmdline"):
                return one.by_floor(f"the image of run {cell.run[:8]} boots with another command line here")
        paired = found.paired or ALIKE
        if not paired.certain:
            return one.by_floor(f"{self.over()} after {paired.pairs} pairs, which are too few to tell")
        arch = both[0][0].arch.name
        since = f", since {one.verdict.differ[0]}" if found.because and one.verdict.differ else ""
        sentence = told(paired, NAMES, arch, f"{found.because}{since}")
        slow = tuple(each.sentence for each in found.slack if self.slack and each.judgement.answer == "worse")
        notes = (*_notes(one.old, found), *(each.sentence for each in found.slack if each.sentence not in slow))
        return one.by_pairs(GatePairs(paired, sentence, found.comparison.causes, notes, found.diff, slow))


def pairer(
    read: RunInputs,
    cache: Path,
    times: PairTimes,
    *,
    interrupted: bool,
    known: KnownBoots | None = None,
    slack: bool = False,
) -> Pairer:
    """Return what judges the cells of a run of `read`, but for boots that are known; a run that was interrupted boots
    nothing more. `slack`: what takes longer fails the gate also where `ready` waits for something else."""

    def pair(cells: Sequence[GateCell]) -> list[GateVerdict]:
        booter = _Booter({one.cell.id: one for one in planned(read)}, cache, times.begun(), known, slack)
        found, ended = [], interrupted
        for one in cells:
            if not ended:
                try:
                    with interruptible():
                        found.append(booter.judged(one))
                        continue
                except KeyboardInterrupt:
                    ended = True
            found.append(one.by_floor("the run was interrupted"))
        return found

    return pair


def _missing(cell: CellFigures, *, baseline: bool) -> str:
    """Return which image is not here, and what to do."""
    wanted = cell.inputs.get(BYTES, "")
    if not baseline:
        return "the image of this run is not in the cache any more: run it again"
    if not wanted:
        return f"run {cell.run[:8]}, the baseline, has not recorded which bytes it booted: accept a newer baseline"
    return (
        f"the image of the baseline is not here (run {cell.run[:8]}, bytes {wanted[:8]}): build it again from its "
        "commit with its lock (`harness build`), or accept a newer baseline"
    )


def _notes(old: CellFigures, found: PairedBoots) -> Iterator[str]:
    """Say where the baseline's image does not boot here as it did, and what did not vary in the pairs."""
    first = found.records[0]
    own = figures(first)
    if apart := differing(old.key, first.key):
        yield f"the machine is another, and both images were booted on this one: {apart}"
    if READY in own and READY in old.exact and own[READY] != old.exact[READY]:
        yield f"the baseline's image takes {ms(own[READY])} to ready here, and took {ms(old.exact[READY])}"
    if found.untraced:
        yield f"who had the processor is not known: {found.untraced}"
    if found.unturned:
        yield f"files keep their order in every pair, for {found.unturned}"
