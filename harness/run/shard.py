"""A plan on several hosts: each runs its part, of about the same duration. Pure, and the same on every host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Any

from harness.errors import UserError
from harness.run.cells import Cell
from harness.run.results_model import Results
from harness.store import digest_of

MOST = 1000
AUTO = "auto"
HINT = "--shard NUMBER/OF, for instance 2/5: the second of five; or auto, on a CI service"
_TEXT = re.compile(r"(\d{1,4})/(\d{1,4})")


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int


@dataclass(frozen=True)
class CiService:
    """The variables by which a CI service tells a job which of how many alike it is; `first` is the first one's."""

    name: str
    number: str
    of: str
    first: int


# Whoever sets ours, on a service that has none, means them
SERVICES = (
    CiService("any, by hand", "HARNESS_SHARD_INDEX", "HARNESS_SHARD_TOTAL", 0),
    CiService("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
    CiService("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    CiService("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    CiService("Azure Pipelines", "SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", 1),
    CiService("Bitbucket", "BITBUCKET_PARALLEL_STEP", "BITBUCKET_PARALLEL_STEP_COUNT", 0),
    CiService("Semaphore", "SEMAPHORE_JOB_INDEX", "SEMAPHORE_JOB_COUNT", 1),
)


def parse(text: str, env: Mapping[str, str] = MappingProxyType({})) -> Shard:
    """Return the shard that ``2/5`` means, or ``auto`` by the variables `env` of a CI service.

    UserError for anything else, and where no service tells.
    """
    if text == AUTO:
        return _told(env)
    found = _TEXT.fullmatch(text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.of <= MOST:
        raise UserError(f"{text!r} is not a shard", hint=HINT)
    return shard


def _told(env: Mapping[str, str]) -> Shard:
    """Return what a CI service tells; GitLab tells a job that has no others its total alone."""
    for one in SERVICES:
        number, of = env.get(one.number), env.get(one.of)
        if of is None or (number is None and of != "1"):
            continue
        try:
            place = int(number) - one.first + 1 if number is not None else 1
            return parse(f"{place}/{int(of)}")
        except (ValueError, UserError):
            said = f"{one.number}={number}, {one.of}={of}"
            raise UserError(f"{one.name} does not say which shard this is: {said[:200]}", hint=HINT) from None
    known = ", ".join(f"{one.number} and {one.of}" for one in SERVICES)
    raise UserError("no CI service says which shard this is", hint="--shard NUMBER/OF", details=f"looked for {known}")


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
