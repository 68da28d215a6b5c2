"""Bench of clusters: how much longer than ideal a night over many hosts takes, its cells being waits of known length.

Scheduler, workers and the harness's own side are the real ones; the hosts are workers in one process.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from harness.bench.context import Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.cluster import matching
from harness.cluster.matching import Waiting
from harness.cluster.night import CellState, Night, Stock
from harness.cluster.task import Done, Job
from harness.run.folder import RunFolder
from harness.run.run import RunSettings
from harness.run.shard import split

FEW = (1, 2, 4)  # hosts
FEW_CELLS, MANY_HOSTS, MANY_CELLS = 24, 100, 2000
SHORTEST_S, LONGEST_S = 2.0, 8.0  # of a cell: shorter than any real one, so that scheduling weighs more
FEW_GOAL, MANY_GOAL = 100 / 0.9 - 100, 2.0  # % over the ideal


async def waits(job: Job, _: Any) -> Done:
    """Be a cell that takes as long as its job says, and leaves nothing."""
    await asyncio.sleep(float(job.words[0]))
    return Done(job.cell, job.cell)


def lengths(count: int) -> dict[str, float]:
    """Return the seconds of so many cells, the same ones every time."""
    chance = random.Random(1)
    return {f"c{number:04}": chance.uniform(SHORTEST_S, LONGEST_S) for number in range(count)}


def clusters(context: Context) -> Iterator[FigureOrTable]:
    """Run cells of known length on a few hosts, and many on many."""
    for hosts in FEW[: context.times(len(FEW), 1)]:
        yield _figure(context, hosts, lengths(context.times(FEW_CELLS, 4)), FEW_GOAL)
    many = context.times(MANY_HOSTS, 10)
    yield _figure(context, many, lengths(many * MANY_CELLS // MANY_HOSTS), MANY_GOAL)


def _figure(context: Context, hosts: int, cells: dict[str, float], goal: float) -> BenchFigure:
    context.say(f"clusters: {len(cells)} cells on {hosts} hosts")
    ideal = max(sum(cells[name] for name in part) for part in split(cells, hosts))
    took = _night(hosts, cells, RunFolder(context.folder("clusters", str(hosts))).take())
    note = f"{took:.1f} s, ideal {ideal:.1f} s"
    return BenchFigure(
        f"{len(cells)} cells on {hosts} hosts, over the ideal", "%", ((took / ideal - 1) * 100,), goal, note
    )


def _night(hosts: int, cells: dict[str, float], folder: RunFolder) -> float:
    """Return the seconds that a night of these cells takes on so many hosts."""
    from distributed import Client, LocalCluster

    able = {matching.PLACE: 1, matching.of_arch("x86_64"): 1, matching.MEMORY: 4096}
    with LocalCluster(n_workers=hosts, threads_per_worker=1, processes=False, dashboard_address=None,
                      worker_dashboard_address=None, protocol="tcp://", resources=able,
                      silence_logs=logging.CRITICAL) as cluster:  # fmt: skip
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(hosts)
            night = Night(client, RunSettings(folder, (), 1, 1.0), list(_states(cells)), Stock(), 600, function=waits)
            began = time.monotonic()
            night.go()
            return time.monotonic() - began


def _states(cells: dict[str, float]) -> Iterator[CellState]:
    asked = {matching.PLACE: 1, matching.of_arch("x86_64"): 1, matching.MEMORY: 512}
    for name, seconds in cells.items():
        words: Sequence[str] = (str(seconds),)
        job = Job(id="bench", cell=name, run={}, image={}, cases="", base="", root="", paths=(), words=tuple(words),
                  folder="", code="")  # fmt: skip
        yield CellState(job, Waiting(name, asked, seconds))
