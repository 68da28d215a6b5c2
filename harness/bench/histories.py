"""A history as long as years of nightly runs make it, and how long `harness history` takes over it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from harness.bench.context import Context, FigureOrTable, Ran, command
from harness.bench.figures import BenchFigure
from harness.errors import HostError
from harness.history import History
from harness.history.keys import WHEN
from harness.history.record import CellRecord, CommitRecord, Measured, RunLine

CELLS = [
    (image, machine) for image in ("minimal", "default") for machine in ("qemu-x86_64", "qemu-arm64", "qemu-s390x")
]
BOOTS = 100_000
CELL = ("minimal", "--machine", "qemu-arm64")
PHASES = ("firmware", "kernel", "first stage", "init", "drivers", "services", "onboot/dhcp", "services/sshd",
          "services/sshd cpu", "services/web", "services/web cpu", "services/getty", "services/getty cpu",
          "services/rngd", "services/rngd cpu", "services/login")  # fmt: skip
BEGAN = datetime(2010, 1, 1, tzinfo=UTC)
EVERY = timedelta(hours=6)
STEP = 1000  # runs from one change of the exact times to the next
STEP_PART = 0.03
ONE_GOAL = 1.0  # s


def runs(count: int) -> Iterator[RunLine]:
    """Yield runs of six cells with 18 exact figures each, a noisy wall time and a size: the same ones every time.

    Exact times are 3 % more after each STEP runs; nothing else changes.
    """
    noise = random.Random(1)
    for number in range(count):
        yield RunLine.model_construct(
            run=f"{number:032x}",
            when=(BEGAN + number * EVERY).strftime(WHEN),
            harness="0.1.0",
            plan="nightly.yml",
            source=CommitRecord.model_construct(
                commit=f"{number:08x}{number:032x}", subject=f"Change {number}", changed=False
            ),
            cells=[_cell(image, machine, number, noise) for image, machine in CELLS],
            baselines=[],
        )


def _cell(image: str, machine: str, number: int, noise: random.Random) -> CellRecord:
    key = {"machine": machine, "qemu": "7.2.22", "cmdline": "quiet nokaslr harness.then=poweroff"}
    level = round(300_000 * (1 + STEP_PART) ** (number // STEP))
    exact = {"ready": level, "total": level + 90_000, **dict.fromkeys(PHASES, level // 10)}
    wall = {"ready": round(noise.gauss(5e6, 2e5))}
    measured = [
        Measured.model_construct(mode="exact", key={**key, "mode": "exact"}, figures=exact),
        Measured.model_construct(mode="wall", key={**key, "mode": "wall"}, figures=wall),
        Measured.model_construct(mode="size", key={}, figures={"total": 14_000_000, "kernel": 9_000_000}),
    ]
    arch = machine.removeprefix("qemu-")
    return CellRecord.model_construct(
        image=f"images/{image}.yml", machine=machine, arch=arch, spec="5" * 64, measured=measured
    )


def history(context: Context) -> Iterator[FigureOrTable]:
    """Time `harness history` over 100,000 stored boots, the start of the process included."""
    count = -(-context.times(BOOTS, BOOTS // 10) // len(CELLS))
    boots, file = count * len(CELLS), str(context.folder("history") / "history.db")
    context.say(f"history: storing {boots} boots")
    with History.open(file) as opened:
        opened.add_all(runs(count))
    for what, words, goal in (
        ("one series", [*CELL, "--figure", "ready", "--mode", "exact"], ONE_GOAL),
        ("one noisy series", [*CELL, "--figure", "ready", "--mode", "wall"], ONE_GOAL),
        ("every figure of a cell", [*CELL], None),
        ("headlines of all cells", [], None),
    ):
        ran = [_succeeded(command(["history", *words, "--history", file])) for _ in range(context.times(15, 3))]
        yield BenchFigure(f"harness history: {what} of {boots} boots", "s", tuple(one.seconds for one in ran), goal)
        yield BenchFigure(f"harness history: {what}: CPU time of it", "s", tuple(one.cpu for one in ran))


def _succeeded(ran: Ran) -> Ran:
    if ran.code:
        raise HostError(f"harness history ended with exit code {ran.code}", details=ran.words)
    return ran
