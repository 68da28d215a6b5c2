"""`harness compare` of two images: exact boots under the same perturbations, by turns, until the answer is certain."""

from __future__ import annotations

from collections.abc import Iterator

from harness.build.settings import Settings
from harness.commands.runs.sides import CellComparison, CompareRequest, CompareSide, sides
from harness.measure.blame import inputs_apart
from harness.measure.gate import differing
from harness.run.cells import made_of
from harness.scratch import scratch
from harness.show.frame import progress
from harness.suite.pairs import BothSides, PairedBoots, PairSettings, judged
from harness.system.record import first_difference


def booted(request: CompareRequest, settings: Settings) -> CellComparison:
    """Boot both images and judge them (`harness.suite.pairs`); raises what that raises."""
    both = sides(request, settings)
    return compared(both, _names(request, both), PairSettings(progress, explain=request.explain))


def compared(both: BothSides, names: tuple[str, str], how: PairSettings) -> CellComparison:
    """Boot two sides, which are called `names`, and judge them; raises what `harness.suite.pairs.judged` raises."""
    with scratch("compare") as folder:
        found = judged(both, folder, how)
    cell = " and ".join(dict.fromkeys(f"{image.name} on {machine.name}" for image, machine in both))
    arch = both[0][0].arch.name
    differ = "; ".join(_inputs(both, found))
    return CellComparison(cell, names, found.comparison, differ, paired=found.paired, arch=arch,
                          diff=found.diff, because=found.because, slack=found.slack)  # fmt: skip


def _names(request: CompareRequest, both: tuple[CompareSide, CompareSide]) -> tuple[str, str]:
    if len(request.machines) > 1:
        return f"{request.before} on {both[0][1].name}", f"{request.after} on {both[1][1].name}"
    return request.before, request.after


def _inputs(both: BothSides, found: PairedBoots) -> Iterator[str]:
    """Say what differs of what the boots were made of, before any figure."""
    if apart := differing(found.records[0].key, found.records[1].key):
        yield apart
    elif first := first_difference(*found.records):
        yield f"first of all inputs {first}"
    before, after = (side[0] for side in both)
    if before.manifest and after.manifest:
        yield from inputs_apart(*(made_of(image.manifest, {}, machine) for image, machine in both))
        for name, path in after.parts.shipped.items():
            old = before.parts.shipped.get(name)
            by = path.stat().st_size - old.stat().st_size if old else path.stat().st_size
            if by:
                yield f"{name} {by:+,} bytes"
    if found.untraced:
        yield f"who had the processor is not known: {found.untraced}"
    if found.unturned:
        yield f"files keep their order in every pair, for {found.unturned}"
