"""A plan on several hosts: each runs its part, of about the same duration. Pure, and the same on every host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.errors import UserError
from harness.run.cells import Cell
from harness.run.results_model import Results
from harness.store import digest_of

MOST = 1000
_TEXT = re.compile(r"(\d{1,4})/(\d{1,4})")


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int


def parse(text: str) -> Shard:
    """Return the shard that ``2/5`` means; UserError for anything else."""
    found = _TEXT.fullmatch(text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.of <= MOST:
        raise UserError(f"{text!r} is not a shard", hint="--shard NUMBER/OF, for instance 2/5: the second of five")
    return shard


def costs(cells: Sequence[Cell], past: Results | None) -> dict[str, float]:
    """Return what each cell costs, by id: its seconds in the results `past`, and for one that is not there the median
    of its architecture, else of all. Without any, all cost the same.
    """
    rows = [row for row in (past.cells if past else ()) if row.seconds]
    known = {row.id: row.seconds for row in rows}
    if not known:
        return {cell.id: 1.0 for cell in cells}
    by_arch = {arch: median(row.seconds for row in rows if row.arch == arch)
               for arch in {row.arch for row in rows}}  # fmt: skip
    common = median(known.values())
    return {cell.id: known.get(cell.id, by_arch.get(cell.arch, common)) for cell in cells}


def split(cost: Mapping[str, float], of: int) -> list[list[str]]:
    """Return the ids of each shard's cells: the costliest is given first, always to the shard that has least.

    No shard takes longer than 4/3 of the best there is (Graham 1969), or than its one longest cell.
    """
    loads = [(0.0, number) for number in range(of)]
    parts: list[list[str]] = [[] for _ in range(of)]
    for name in sorted(cost, key=lambda name: (-cost[name], name)):
        load, number = min(loads)
        loads[loads.index((load, number))] = (load + cost[name], number)
        parts[number].append(name)
    return parts


def part(cells: Sequence[Cell], past: Results | None, shard: Shard) -> tuple[list[Cell], dict[str, Any]]:
    """Return a shard's cells, in the plan's order, and what the results say of the split."""
    parts = split(costs(cells, past), shard.of)
    mine = set(parts[shard.number - 1])
    facts = {"number": shard.number, "of": shard.of, "every": [cell.id for cell in cells], "split": digest_of(parts)}
    return [cell for cell in cells if cell.id in mine], facts
