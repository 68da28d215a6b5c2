"""`harness compare` of two images: exact boots under the same perturbations, by turns, until the answer is certain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.settings import Settings
from harness.commands.runs.sides import CellComparison, CompareRequest, CompareSide, sides
from harness.errors import MachineError
from harness.launch.exact import compare as compare_boots
from harness.launch.perturb import PERTURBATIONS, PLAIN, Perturbation, perturbed_boot
from harness.measure.compare import TOTAL, Comparison, blamed, compare, signed
from harness.measure.floor import Floors
from harness.measure.gate import differing
from harness.measure.paired import PairedJudgement, judge_boots, layout_us
from harness.measure.phases import asked_us, figures, phases, total_us
from harness.scratch import scratch
from harness.show.frame import progress
from harness.suite.steps import step_figures, traced_boot
from harness.system.record import BootRecord, first_difference


def booted(request: CompareRequest, settings: Settings) -> CellComparison:
    """Boot both images once; where they do not boot alike, in pairs under perturbations, and with the kernel's trace.

    MachineError when one of them does not boot the same twice: then there are only wall times to compare.
    """
    both = sides(request, settings)
    names = _names(request, both)
    with scratch("compare") as folder:
        records = [_boot(side, folder / f"{name}-0", PLAIN) for side, name in zip(both, "ab", strict=True)]
        made = [figures(record) for record in records]
        paired: PairedJudgement | None = None
        if not compare_boots(*records).repeats:
            _see_that_they_repeat(both, records, folder)
            paired = _pairs(Turned(request, settings, both), records, folder)
        if (paired is not None or request.explain) and not any(side[0].milestones for side in both):
            for side, name, into in zip(both, "ab", made, strict=True):
                progress(f"{side[0].name} on {side[1].name}: once more, with the kernel's trace")
                _, found = traced_boot(*side, folder / f"{name}-traced")
                into.update(step_figures(found))
        comparison = _judged(compare(made[0], made[1], Floors()), paired)
    cell = " and ".join(dict.fromkeys(f"{image.name} on {machine.name}" for image, machine in both))
    arch = both[0][0].arch.name
    return CellComparison(cell, names, comparison, "; ".join(_inputs(both, records)), paired=paired, arch=arch)


def _names(request: CompareRequest, both: tuple[CompareSide, CompareSide]) -> tuple[str, str]:
    if len(request.machines) > 1:
        return f"{request.before} on {both[0][1].name}", f"{request.after} on {both[1][1].name}"
    return request.before, request.after


def _boot(side: CompareSide, out: Path, how: Perturbation) -> BootRecord:
    progress(f"{side[0].name} on {side[1].name}: exact boot {out.name}")
    return perturbed_boot(*side, out, how)


def _see_that_they_repeat(both: tuple[CompareSide, CompareSide], records: list[BootRecord], folder: Path) -> None:
    for side, name, record in zip(both, "ab", records, strict=True):
        pair = compare_boots(record, _boot(side, folder / f"{name}-0-again", PLAIN))
        if not pair.repeats:
            raise MachineError(
                f"{side[0].name} on {side[1].name}: two exact boots: {pair.verdict}",
                hint="compare wall times: --pairs 30",
            )


@dataclass(frozen=True)
class Turned:
    """Two sides, and the same images with the files of their roots in another order, where both can be built."""

    request: CompareRequest
    settings: Settings
    both: tuple[CompareSide, CompareSide]

    def by(self, turn: int) -> tuple[CompareSide, CompareSide]:
        """Return both sides with their files turned by so many per cent."""
        if not turn or any(Path(name).is_dir() for name in (self.request.before, self.request.after)):
            return self.both
        return sides(self.request, replace(self.settings, turn=turn))


def _pairs(both: Turned, records: list[BootRecord], folder: Path) -> PairedJudgement:
    """Boot both sides under one perturbation after another, until the answer is certain or there are no more."""
    before, after = ([_main_line(record)] for record in records)
    arch = both.both[0][0].arch.name
    unsure = max(asked_us(record) for record in records)
    found = judge_boots(before, after, arch, unsure)
    for number, how in enumerate(PERTURBATIONS, 1):
        for side, name, rows in zip(both.by(how.turn), "ab", (before, after), strict=True):
            record = _boot(side, folder / f"{name}-{number}", how)
            rows.append(_main_line(record))
            unsure = max(unsure, asked_us(record))
            shutil.rmtree(folder / f"{name}-{number}", ignore_errors=True)
        found = judge_boots(before, after, arch, unsure)
        if found.certain:
            break
    return found


def _main_line(record: BootRecord) -> dict[str, int]:
    """Return the phases that follow each other, in order, and the whole."""
    whole = total_us(record)
    line = {phase.name: phase.us for phase in phases(record) if not phase.under}
    return {**line, TOTAL: whole if whole is not None else record.ready_us or 0}


def _judged(comparison: Comparison, paired: PairedJudgement | None) -> Comparison:
    return comparison if paired is None else replace(comparison, answer=paired.answer)


def _inputs(both: tuple[CompareSide, CompareSide], records: list[BootRecord]) -> Iterator[str]:
    """Say what differs of what the boots were made of, before any figure."""
    if apart := differing(records[0].key, records[1].key):
        yield apart
    elif first := first_difference(*records):
        yield f"first of all inputs {first}"
    before, after = (side[0] for side in both)
    if before.manifest and after.manifest:
        for name, path in after.parts.shipped.items():
            old = before.parts.shipped.get(name)
            by = path.stat().st_size - old.stat().st_size if old else path.stat().st_size
            if by:
                yield f"{name} {by:+,} bytes"


def verdict(found: CellComparison) -> str:
    """Return the sentence that says what pairs of boots showed."""
    one, paired, (before, after) = found.comparison, found.paired, found.names
    assert paired is not None
    moved = f"{signed(paired.mean_us)} ± {paired.margin_us / 1000:.3f} ms in {paired.pairs} pairs"
    if paired.answer != "same" and paired.first:
        what = "slower" if paired.answer == "worse" else "faster"
        rest = f"({moved} in all, for it moves where the rest lies)"
        own = f"{paired.first} takes {signed(paired.first_us)} in every pair, and all before it the same"
        return f"{after} is {what} than {before}: {own} {rest}{blamed(one.culprit)}."
    if paired.answer != "same":
        return f"{after} takes {moved} against {before}{blamed(one.culprit)}."
    if paired.asked_us:
        why = f"and a service that programs ask for its health may have had it {paired.asked_us / 1000:.0f} ms before"
        return f"{after} boots as {before} does: {moved}, {why}."
    if paired.layout:
        most = layout_us(found.arch) / 1000
        why = f"another difference each time, as where things lie in an image alone makes it (up to {most:.1f} ms)"
        return f"{after} boots as {before} does: {moved}, {why}."
    return f"{after} boots as {before} does: {moved}."
