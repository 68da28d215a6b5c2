"""Two images booted under the same perturbations, by turns, until it is certain which is slower: of `harness compare`
and of a run's gate alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.turned import NotTurnedError, TurnedRoot
from harness.errors import MachineError
from harness.image import Bootable
from harness.launch.exact import compare as compare_boots
from harness.launch.perturb import PERTURBATIONS, PLAIN, Perturbation, perturbed_boot
from harness.measure import account
from harness.measure.compare import TOTAL, Comparison, compare
from harness.measure.floor import Floors
from harness.measure.paired import PairedJudgement, judge_boots
from harness.measure.phases import asked_us, figures, phases, total_us
from harness.measure.waterfalls import DiffRow, diff, named
from harness.spec.models.machine import MachineSpec
from harness.suite.steps import step_figures, traced_boot
from harness.system.record import BootRecord

BootSide = tuple[Bootable, MachineSpec]
BothSides = tuple[BootSide, BootSide]
NAMES = "ab"  # of the two sides' folders


@dataclass(frozen=True)
class PairedBoots:
    """What came of two images: the records of their plain boots, the comparison of these, what pairs showed (None: they
    boot alike), and why the files of their roots kept their order in every pair (empty: they did not).

    ``diff`` is their waterfalls side by side, of boots that are not alike; ``because`` ends a sentence with the cause.
    """

    records: tuple[BootRecord, BootRecord]
    comparison: Comparison
    paired: PairedJudgement | None
    unturned: str = ""
    diff: tuple[DiffRow, ...] = ()
    because: str = ""


@dataclass(frozen=True)
class PairSettings:
    """How to boot: ``tell`` hears of each boot, ``late`` says before each pair whether time is over.

    ``explain``: trace both in any case, not only where they differ.
    """

    tell: Callable[[str], None]
    late: Callable[[], bool] = lambda: False
    explain: bool = False


def judged(both: BothSides, folder: Path, how: PairSettings) -> PairedBoots:
    """Boot both images once; where they do not boot alike, in pairs under perturbations, and with the kernel's trace.

    MachineError when one of them does not boot the same twice: then there are only wall times to compare.
    """
    pairs = _Pairs(both, folder, how)
    first, second = (pairs.boot(number, "0", PLAIN) for number in (0, 1))
    made = [figures(record) for record in (first, second)]
    paired: PairedJudgement | None = None
    if not compare_boots(first, second).repeats:
        pairs.see_that_they_repeat(first, second)
        paired = pairs.judged(first, second)
    lines = [phases(record) for record in (first, second)]
    parts: list[Mapping[str, Mapping[str, int]]] = [{}, {}]
    if (paired is not None or how.explain) and not any(side[0].milestones for side in both):
        for number in (0, 1):
            traced, found = pairs.traced(number)
            made[number].update(step_figures(found))
            parts[number] = account.parts(found)
            lines[number] = account.explained(lines[number], phases(traced), account.rows(found, phases(traced)))
    comparison = compare(made[0], made[1], Floors())
    if paired is None:
        return PairedBoots((first, second), comparison, None)
    comparison = replace(comparison, answer=paired.answer)
    rows = diff(*lines)
    culprit = comparison.culprit
    before, after = (side.get(culprit.owner, {}) if culprit else {} for side in parts)
    because = named(culprit, rows, (before, after))
    return PairedBoots((first, second), comparison, paired, pairs.unturned, tuple(rows), because)


class _Pairs:
    """Two sides that boot by turns."""

    def __init__(self, both: BothSides, folder: Path, how: PairSettings) -> None:
        self._both, self._folder, self._how = both, folder, how
        self._turned: list[TurnedRoot] = []
        self.unturned = ""

    def boot(self, number: int, name: str, how: Perturbation) -> BootRecord:
        """Boot a side once."""
        image, machine = self._both[number]
        out = self._folder / f"{NAMES[number]}-{name}"
        self._how.tell(f"{image.name} on {machine.name}: exact boot {out.name}")
        return perturbed_boot(image, machine, out, how, self._turned[number] if self._turned else None)

    def traced(self, number: int) -> tuple[BootRecord, list[account.Stretch]]:
        """Boot a side once more, and return its record and who had the processor."""
        image, machine = self._both[number]
        self._how.tell(f"{image.name} on {machine.name}: once more, with the kernel's trace")
        return traced_boot(image, machine, self._folder / f"{NAMES[number]}-traced")

    def see_that_they_repeat(self, *plain: BootRecord) -> None:
        """MachineError when a side boots otherwise the second time."""
        for number, record in enumerate(plain):
            pair = compare_boots(record, self.boot(number, "0-again", PLAIN))
            if not pair.repeats:
                image, machine = self._both[number]
                raise MachineError(
                    f"{image.name} on {machine.name}: two exact boots: {pair.verdict}",
                    hint="compare wall times: --pairs 30",
                )

    def judged(self, *plain: BootRecord) -> PairedJudgement:
        """Boot both under one perturbation after another, until the answer is certain, there are no more, or late."""
        self._turn()
        before, after = ([_main_line(record)] for record in plain)
        arch = self._both[0][0].arch.name
        unsure = max(asked_us(record) for record in plain)
        found = judge_boots(before, after, arch, unsure)
        for number, how in enumerate(PERTURBATIONS, 1):
            if self._how.late():
                break
            for side, row in enumerate((before, after)):
                record = self.boot(side, str(number), how)
                row.append(_main_line(record))
                unsure = max(unsure, asked_us(record))
                shutil.rmtree(self._folder / f"{NAMES[side]}-{number}", ignore_errors=True)
            found = judge_boots(before, after, arch, unsure)
            if found.certain:
                break
        return found

    def _turn(self) -> None:
        """Read both roots, to be written in other orders: of both or of none, for else a pair were not alike."""
        try:
            for (image, _), name in zip(self._both, NAMES, strict=True):
                root = TurnedRoot(image.parts.initrd, image.manifest, self._folder / f"{name}-root")
                self._turned.append(root)
        except NotTurnedError as error:
            self._turned.clear()
            self.unturned = f"{image.name}: {error.message}"


def _main_line(record: BootRecord) -> dict[str, int]:
    """Return the phases that follow each other, in order, and the whole."""
    whole = total_us(record)
    line = {phase.name: phase.us for phase in phases(record) if not phase.under}
    return {**line, TOTAL: whole if whole is not None else record.ready_us or 0}
