"""What has changed from one run of a plan to the next: cases, cells, exact times and sizes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.run.results import case_of
from harness.run.results_model import CellResult, Results


@dataclass(frozen=True)
class RunChange:
    """One difference. ``kind`` says which way it goes: worse, better, or other."""

    kind: str
    text: str


def changes(before: Results, now: Results) -> list[RunChange]:
    """Return how a run's results differ from those of an earlier one: what is worse comes first.

    Exact times are compared where their keys are equal, for only then a difference is the image's.
    """
    old = {row.id: row for row in before.cells}
    new = {row.id: row for row in now.cells}
    found = [RunChange("other", f"{name}: not in the run before") for name in new if name not in old]
    found += [RunChange("other", f"{name}: no longer in the plan") for name in old if name not in new]
    for name, row in new.items():
        if name in old:
            found += _cell(old[name], row)
    order = ("worse", "better", "other")
    return sorted(found, key=lambda one: order.index(one.kind))


def _cell(old: CellResult, new: CellResult) -> Iterator[RunChange]:
    name = new.id
    if old.status != new.status:
        kind = {"passed": "better", "failed": "worse"}.get(new.status, "other")
        yield RunChange(kind, f"{name}: {new.status}, was {old.status}")
    before, after = ({case_of(one.case, row.id) for one in row.failures} for row in (old, new))
    yield from (RunChange("worse", f"{name}: {case} fails now") for case in sorted(after - before))
    if new.status in ("passed", "failed"):  # of a cell that did not run to its end nothing is known to be mended
        yield from (RunChange("better", f"{name}: {case} fails no more") for case in sorted(before - after))
    yield from _figures(old, new)


def _figures(old: CellResult, new: CellResult) -> Iterator[RunChange]:
    was, is_ = old.boot.exact, new.boot.exact
    if was.key == is_.key and was.ready and is_.ready and was.ready != is_.ready:
        kind = "worse" if is_.ready > was.ready else "better"
        yield RunChange(kind, f"{new.id}: ready after {is_.ready:.3f} ms, was {was.ready:.3f} ms")
    if old.size and new.size and old.size != new.size:
        kind = "worse" if new.size > old.size else "better"
        yield RunChange(kind, f"{new.id}: {new.size / 1e6:.2f} MB, was {old.size / 1e6:.2f} MB")
