"""What `harness history` shows: series with what became of them, and how their newest runs are judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

from harness.errors import UserError
from harness.history import History, baselines, verdicts
from harness.history.floors import floors_of
from harness.history.trends import trend
from harness.measure import gate
from harness.measure.compare import is_step
from harness.measure.floor import Floors
from harness.measure.series import JudgedRun, Series
from harness.show.history_text import Page, amount
from harness.show.history_view import Shown

# What an overview of several cells always shows of each; of one cell everything is shown.
HEADLINES = {("exact", "ready"), ("exact", "total"), ("wall", "ready"), ("size", "total")}
OVERVIEW = 1000  # runs that an overview looks back


def shown(
    opened: History, heads: Sequence[Series], *, every_key: bool, last: int, looked: int | None, several: bool
) -> list[Shown]:
    """Return what became of each series; of figures with several keys the newest, unless `every_key`.

    `looked` is how many runs are looked at (None: all). Of `several` cells the headlines are shown, and whatever else
    has changed in the `last` runs.
    """
    pairs = list(_by_key(heads, every=every_key))
    first = [head for head, _ in pairs]
    if looked is None:
        read = [opened.values(head) for head in first]
    else:
        part = [several and (head.mode, head.figure) not in HEADLINES for head in first]
        deep = iter(opened.values_of([head for head, short in zip(first, part, strict=True) if not short], looked))
        flat = iter(opened.values_of([head for head, short in zip(first, part, strict=True) if short], last + 1))
        read = [next(flat if short else deep) for short in part]
    said = cache(lambda image, machine: verdicts.of_cell(opened, image, machine))
    floors = cache(lambda image, machine, key, arch: floors_of(opened, image, machine, key=key, arch=arch))
    found = []
    for one, (head, older) in zip(read, pairs, strict=True):
        if not one.points:
            continue
        known = floors(head.image, head.machine, head.key, head.arch) if head.mode == "exact" else Floors()
        became = trend(one, known, said(head.image, head.machine) if head.mode == "exact" else {})
        minor = is_step(head.figure) or (several and (head.mode, head.figure) not in HEADLINES)
        if minor and looked is not None and not became.changes:
            continue
        found.append(_with_keys(opened, head, older, Shown(became)))
    return found


def _with_keys(opened: History, head: Series, older: Sequence[Series], one: Shown) -> Shown:
    key = opened.key(head) if head.key and older else {}
    others = tuple((opened.count(other), gate.differing(opened.key(other), key)) for other in older)
    return Shown(one.trend, key or (opened.key(head) if head.key else {}), others)


def _by_key(heads: Sequence[Series], *, every: bool) -> Iterator[tuple[Series, list[Series]]]:
    """Yield each figure's newest series and its older ones, or with `every` each series for itself."""
    for _, same in groupby(heads, key=lambda head: (head.image, head.machine, head.arch, head.mode, head.figure)):
        newest, *older = same
        yield newest, [] if every else older
        if every:
            yield from ((head, []) for head in older)


def judgements(opened: History, page: Page, found: Sequence[Shown]) -> dict[tuple[str, str], list[str]]:
    """Return by image and machine how the newest run stands to what was accepted last.

    It is what the gate of that run has said, where it was judged by the same baseline: it may have booted both images
    in pairs. Else it is judged by single boots.
    """
    try:
        accepted = baselines.cells(opened, baselines.LATEST)
    except UserError:
        return {}
    newest: dict[tuple[str, str], str] = {}
    for one in found:
        series = one.trend.series
        newest.setdefault((series.image, series.machine), series.points[-1].run)
    cells = cache(lambda run: {(one.image, one.machine): one for one in opened.cells(opened.run(run))})
    mine = [cells(run)[pair] for pair, run in newest.items() if pair in cells(run)]
    wanted = {(one.image, one.machine) for one in accepted}
    mine = [one for one in mine if (one.image, one.machine) in wanted]

    def floors(cell: gate.CellFigures) -> Floors:
        return floors_of(opened, cell.image, cell.machine, key=cell.key)

    bases = {(one.image, one.machine): one.run for one in accepted}
    lines: dict[tuple[str, str], list[str]] = {}
    for cell, verdict in zip(mine, gate.verdicts(accepted, mine, floors), strict=True):
        pair = cell.image, cell.machine
        said = verdicts.of_cell(opened, *pair).get(newest[pair])
        lines[pair] = list(_said(page, said) if said and said.base == bases[pair] else _judged(page, verdict))
    return lines


def _said(page: Page, one: JudgedRun) -> Iterator[str]:
    words = page.plain(one.said.replace("→", page.arrow))
    if one.answer in ("worse", "better"):
        yield f"  {one.answer} than the baseline, its gate has said: {words}"
    elif one.answer != "same":
        yield f"  not judged against the baseline: {words}"
    elif one.by == "pairs":
        yield f"  the same as the baseline, its gate has said: {words}"


def _judged(page: Page, one: gate.GateVerdict) -> Iterator[str]:
    if one.answer == "worse":
        moved = [("exact", each) for each in one.slower] + [("size", each) for each in one.larger]
        figures = "; ".join(
            f"{mode} {each.figure} {amount(mode, each.difference, signed=True)} (floor {amount(mode, each.floor)})"
            for mode, each in moved
        )
        yield page.plain(f"  worse than the baseline, by single boots: {figures}")
    elif one.unjudged:
        yield page.plain(f"  not judged against the baseline: {one.unjudged.replace('→', page.arrow)}")
