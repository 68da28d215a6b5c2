"""How long the pages take: of a run of six cells, and over time of 100,000 stored boots."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from harness import __version__
from harness.arch import by_name
from harness.bench.context import ARCHES, IMAGES, Context, FigureOrTable, Ran, command
from harness.bench.figures import BenchFigure
from harness.bench.histories import BOOTS, CELLS, runs
from harness.errors import HostError
from harness.history import History
from harness.image import Image
from harness.measure.phases import figures
from harness.measure.sizes import sizes
from harness.run import results
from harness.run.folder import RunFolder
from harness.system.milestones import Milestone
from harness.system.record import BootRecord, Mode

SERVICES = 8
LINES = 400  # of a transcript
RUN_GOAL, OVER_TIME_GOAL = 1.0, 5.0  # s
PAGE_GOAL = 1.0  # MB


def report(context: Context) -> Iterator[FigureOrTable]:
    """Time `harness report` of a run that looks like a real one, and of a long history; say how large the pages are."""
    folder = context.folder("report", "run")
    made = RunFolder(folder)
    _run(context, made)
    yield from _timed(context, "a run of six cells", ["report", str(folder)], made.page, RUN_GOAL)
    count = -(-context.times(BOOTS, BOOTS // 10) // len(CELLS))
    file, page = folder.parent / "history.db", folder.parent / "history.html"
    context.say(f"report: storing {count * len(CELLS)} boots")
    with History.open(str(file)) as opened:
        opened.add_all(runs(count))
    words = ["report", "--over-time", "--history", str(file), "--output", str(page)]
    yield from _timed(context, f"over time, {count * len(CELLS)} boots", words, page, OVER_TIME_GOAL)


def _timed(context: Context, what: str, words: list[str], page: Path, goal: float) -> Iterator[FigureOrTable]:
    ran = [_succeeded(command(words)) for _ in range(context.times(9, 3))]
    yield BenchFigure(f"harness report: {what}", "s", tuple(one.seconds for one in ran), goal)
    yield BenchFigure(f"harness report: {what}: CPU time of it", "s", tuple(one.cpu for one in ran))
    yield BenchFigure(f"harness report: {what}: the page", "MB", (page.stat().st_size / 1e6,), PAGE_GOAL)


def _succeeded(ran: Ran) -> Ran:
    if ran.code:
        raise HostError(f"harness report ended with exit code {ran.code}", details=ran.words)
    return ran


def _run(context: Context, folder: RunFolder) -> None:
    """Leave what a run of both images on three machines leaves behind, without booting them."""
    rows: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for name, arch in product(IMAGES, ARCHES):
        image, cell = context.image(name, by_name(arch)), f"{name}-qemu-{arch}"
        exact, wall = _record(image, "exact"), _record(image, "wall")
        for boot, record in (("exact/1", exact), ("exact/2", exact), ("wall", wall)):
            place = folder.boot(cell, boot)
            place.path.mkdir(parents=True)
            place.record.write_text(record.dumps())
            place.transcript.write_text("    0.123456 | [    0.123456] what a kernel says\n" * LINES)
        rows.append({"id": cell, "image": f"images/{name}.yml", "machine": f"qemu-{arch}", "arch": arch, "problem": "",
                     "budget": {"size": 35.0, "ready": None}, **_built(image)})  # fmt: skip
        events += [
            {"event": "booted", "cell": cell, "what": "exact", "ready": 900.0, "power_on": 90.0, "repeats": True,
             "moved": "", "key": exact.key, "figures": figures(exact), "host": exact.host},
            {"event": "case", "cell": cell, "outcome": "passed", "again": False},
        ]  # fmt: skip
    head = {"event": "run", "harness": __version__, "when": "2026-01-01T00:00:00Z", "run": "0" * 32, "plan": "plan.yml",
            "source": None, "cells": rows}  # fmt: skip
    collected = {"event": "collected", "cases": {row["id"]: 1 for row in rows}}
    folder.write_results(results.fold([head, collected, *events, {"event": "end", "interrupted": False}]))


def _built(image: Image) -> dict[str, Any]:
    shipped = {row["name"]: row["sha256"] for row in image.manifest["files"] if row["shipped"]}
    return {"size": image.size, "sizes": sizes(image.manifest), "spec": "5" * 64, "files": shipped}


def _record(image: Image, mode: Mode) -> BootRecord:
    names = ["init", "root", "boot", "drivers", *(f"services/{number} start" for number in range(SERVICES)),
             *(f"services/{number} ready" for number in range(SERVICES)), "ready"]  # fmt: skip
    marks = [Milestone(name, number * 40_000, number / 10, {}) for number, name in enumerate(names, 2)]
    return BootRecord(
        image=image.name, arch=image.arch.name, machine="qemu", mode=mode, probed=mode != "exact", accel="tcg",
        accel_reason="", argv=("qemu", "-kernel", str(image.kernel)), cmdline=image.cmdline, cpu="max",
        machine_type="virt", qemu_version="7.2", host={"cores": 2, "load": 0.5, "cpu": "a CPU"},
        milestones=tuple(marks), ready_us=marks[-1].guest_us, power_on_us=90_000,
    )  # fmt: skip
