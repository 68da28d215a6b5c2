"""Two images booted under the same perturbations, by turns, until it is certain which is slower: of `harness compare`
and of a run's gate alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.build.turned import NotTurnedError, TurnedRoot
from harness.errors import ImageError, MachineError
from harness.image import Bootable
from harness.launch.exact import compare as compare_boots
from harness.launch.perturb import PERTURBATIONS, PLAIN, Perturbation, perturbed_boot
from harness.measure import account
from harness.measure.compare import TOTAL, Comparison, causes, compare
from harness.measure.floor import Floors
from harness.measure.paired import (
    FEWEST,
    PairedJudgement,
    SlackChange,
    SlackSpan,
    in_slack,
    judge_boots,
    may_lie_in_slack,
)
from harness.measure.phases import Phase, asked_us, figures, phases, total_us
from harness.measure.waterfalls import DiffRow, diff, named
from harness.spec.models.machine import MachineSpec
from harness.store import digest_of, file_digest
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
    ``untraced`` says why phases alone explain them, where a kernel does not tell who had the processor. ``slack`` are
    services that take longer or shorter while `ready` waits for another.
    """

    records: tuple[BootRecord, BootRecord]
    comparison: Comparison
    paired: PairedJudgement | None
    unturned: str = ""
    diff: tuple[DiffRow, ...] = ()
    because: str = ""
    untraced: str = ""
    slack: tuple[SlackChange, ...] = ()


@dataclass(frozen=True)
class KnownBoots:
    """Exact boots that were made, by what was booted and how: who compares one image with many boots it once for all.

    An exact boot is the same each time; ``repeats`` has those that were seen to be so.
    """

    records: dict[tuple[object, ...], BootRecord] = field(default_factory=dict)
    traced: dict[tuple[object, ...], tuple[BootRecord, list[account.Stretch]]] = field(default_factory=dict)
    repeats: set[tuple[object, ...]] = field(default_factory=set)


@dataclass(frozen=True)
class PairSettings:
    """How to boot: ``tell`` hears of each boot, ``late`` says before each pair whether time is over.

    ``explain``: trace both in any case, not only where one is slower or faster. ``known``: the boots that need not be
    made once more, to which those that are made are added; None: each is made.
    """

    tell: Callable[[str], None]
    late: Callable[[], bool] = lambda: False
    explain: bool = False
    known: KnownBoots | None = None


def judged(both: BothSides, folder: Path, how: PairSettings) -> PairedBoots:
    """Boot both images once; where they do not boot alike, in pairs under perturbations, and with the kernel's trace
    where one is slower or faster, or has other containers: under another name, perhaps.

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
    moved = paired is not None and (paired.answer != "same" or _names(lines[0]) != _names(lines[1]))
    traced, untraced = _traced(pairs) if (moved or how.explain) and not _is_foreign(both) else ([], "")
    parts: list[Mapping[str, Mapping[str, int]]] = [{}, {}]
    for number, (record, found) in enumerate(traced):
        made[number].update(step_figures(found))
        parts[number] = account.parts(found)
        lines[number] = account.explained(lines[number], phases(record), account.rows(found, phases(record)))
    comparison = compare(made[0], made[1], Floors(arch=both[0][0].arch.name))
    if paired is None:
        return PairedBoots((first, second), comparison, None, untraced=untraced)
    # the plain boots may lie on the other side of nothing: shares are of what the pairs showed
    whole = round(paired.first_us if paired.first else paired.mean_us)
    comparison = replace(comparison, answer=paired.answer, causes=tuple(causes(made[0], made[1], whole)))
    rows = diff(*lines)
    culprit = comparison.culprit
    before, after = (side.get(culprit.owner, {}) if culprit else {} for side in parts)
    because = named(culprit, rows, (before, after))
    return PairedBoots((first, second), comparison, paired, pairs.unturned, tuple(rows), because, untraced, pairs.slack)


def _names(line: Sequence[Phase]) -> set[str]:
    return {phase.name for phase in line}


def _is_foreign(both: BothSides) -> bool:
    return any(side[0].milestones for side in both)


def _traced(pairs: _Pairs) -> tuple[list[tuple[BootRecord, list[account.Stretch]]], str]:
    """Return both sides' traced boots, and why there are none where a kernel cannot trace."""
    try:
        return [pairs.traced(number) for number in (0, 1)], ""
    except ImageError as error:
        return [], error.message


class _Pairs:
    """Two sides that boot by turns."""

    def __init__(self, both: BothSides, folder: Path, how: PairSettings) -> None:
        self._both, self._folder, self._how = both, folder, how
        self._turned: list[TurnedRoot] = []
        self._identities: dict[int, tuple[object, ...]] = {}
        self.unturned = ""
        self.slack: tuple[SlackChange, ...] = ()

    def boot(self, number: int, name: str, how: Perturbation) -> BootRecord:
        """Boot a side, unless that boot is known."""
        known = self._how.known
        if known is None:
            return self._boot(number, name, how)
        key = (*self._identity(number), how, bool(self._turned))
        if key not in known.records:
            known.records[key] = self._boot(number, name, how)
        return known.records[key]

    def _boot(self, number: int, name: str, how: Perturbation) -> BootRecord:
        image, machine = self._both[number]
        out = self._folder / f"{NAMES[number]}-{name}"
        self._how.tell(f"{image.name} on {machine.name}: exact boot {out.name}")
        return perturbed_boot(image, machine, out, how, self._turned[number] if self._turned else None)

    def _identity(self, number: int) -> tuple[object, ...]:
        """Return what tells this side's boots from others: what the image ships, its words, and the machine."""
        image, machine = self._both[number]
        if number not in self._identities:
            files = {part: file_digest(path) for part, path in image.parts.shipped.items()}
            self._identities[number] = (digest_of(files), image.cmdline, machine.model_dump_json())
        return self._identities[number]

    def traced(self, number: int) -> tuple[BootRecord, list[account.Stretch]]:
        """Boot a side once more, unless that is known; return its record and who had the processor."""
        known = self._how.known
        if known is None:
            return self._trace(number)
        key = self._identity(number)
        if key not in known.traced:
            known.traced[key] = self._trace(number)
        return known.traced[key]

    def _trace(self, number: int) -> tuple[BootRecord, list[account.Stretch]]:
        image, machine = self._both[number]
        self._how.tell(f"{image.name} on {machine.name}: once more, with the kernel's trace")
        return traced_boot(image, machine, self._folder / f"{NAMES[number]}-traced")

    def see_that_they_repeat(self, *plain: BootRecord) -> None:
        """MachineError when a side boots otherwise the second time."""
        known = self._how.known
        for number, record in enumerate(plain):
            if known is not None and self._identity(number) in known.repeats:
                continue
            pair = compare_boots(record, self._boot(number, "0-again", PLAIN))
            if known is not None and pair.repeats:
                known.repeats.add(self._identity(number))
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
        spans = [[_spans(record)] for record in plain]
        arch = self._both[0][0].arch.name
        unsure = max(asked_us(record) for record in plain)
        found = judge_boots(before, after, arch, unsure)
        for number, how in enumerate(PERTURBATIONS, 1):
            if self._how.late():
                break
            for side, row in enumerate((before, after)):
                record = self.boot(side, str(number), how)
                row.append(_main_line(record))
                spans[side].append(_spans(record))
                unsure = max(unsure, asked_us(record))
                shutil.rmtree(self._folder / f"{NAMES[side]}-{number}", ignore_errors=True)
            found = judge_boots(before, after, arch, unsure)
            if found.certain and not (len(before) < FEWEST and may_lie_in_slack(spans[0], spans[1])):
                break
        self.slack = in_slack(spans[0], spans[1], arch)
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


def _spans(record: BootRecord) -> dict[str, SlackSpan]:
    """Return how long each service took to be healthy, with its slack."""
    return {phase.name: SlackSpan(phase.us, phase.slack_us) for phase in phases(record)
            if phase.under and phase.slack_us is not None}  # fmt: skip


def _main_line(record: BootRecord) -> dict[str, int]:
    """Return the phases that follow each other, in order, and the whole."""
    whole = total_us(record)
    line = {phase.name: phase.us for phase in phases(record) if not phase.under}
    return {**line, TOTAL: whole if whole is not None else record.ready_us or 0}
