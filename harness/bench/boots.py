"""Benches that boot: exact times, their repeating, and what the harness adds to QEMU's own time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.bench import phases
from harness.bench.context import ARCHES, IMAGES, MACHINES, Context, FigureOrTable
from harness.bench.figures import BenchFigure, best
from harness.bench.load import busy
from harness.emulator import argv as qemu
from harness.emulator.argv import Channels, Launch
from harness.emulator.driver import QemuDriver
from harness.errors import HostError, MachineError
from harness.image import Image
from harness.launch import ExactPair, boot, exact_pair
from harness.launch.exact import exact_boot
from harness.measure.phases import total_us
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions, System

READY_GOALS = {"x86_64": 950.0, "arm64": 750.0, "s390x": 2750.0}  # ms, image default, best machine
BEST = {"x86_64": "qemu-x86_64-microvm", "arm64": "qemu-arm64", "s390x": "qemu-s390x"}
LOOPS = 4
OVERHEAD_GOAL = 1.05
POLL_S = 0.002
LONGEST_S = 300.0
READY_MARK = b" harness: ready"


def exact(context: Context) -> Iterator[FigureOrTable]:
    """Measure the exact times of both images on every machine, each twice."""
    for image in reversed(IMAGES):
        figures: dict[str, list[BenchFigure]] = {arch: [] for arch in ARCHES}
        records = {}
        for machine in MACHINES:
            built, spec = context.cell(image, machine)
            context.say(f"exact: {image} on {machine}")
            pair = exact_pair(built, spec, context.folder("exact", image, machine), timeout=LONGEST_S)
            records[machine] = pair.first
            figures[spec.arch].append(_exact_figure(f"{image} on {machine}", pair))
            yield figures[spec.arch][-1]
        if image == "default":
            for arch, goal in READY_GOALS.items():
                yield best(figures[arch], f"{image}, best machine of {arch}", goal)
        yield phases.table(f"Phases of {image}", records)


def _exact_figure(subject: str, pair: ExactPair) -> BenchFigure:
    values = tuple((record.ready_us or 0) / 1000 for record in (pair.first, pair.second))
    before, total = (pair.first.power_on_us or 0) / 1000, (total_us(pair.first) or 0) / 1000
    note = f"power-on to clock zero {before:.1f}, power-on to ready {total:.1f}"
    return BenchFigure(
        subject, "ms", values, note=note, broken="" if pair.repeats else f"not the same twice: {pair.moved}"
    )


def repeats(context: Context) -> Iterator[FigureOrTable]:
    """Boot again and again beside busy loops: one distinct value of ready and of the console's bytes each."""
    count = context.times(100, 3)
    cells = {arch: context.cell("default", machine) for arch, machine in BEST.items()}

    def once(arch: str, number: int) -> tuple[int | None, str]:
        built, spec = cells[arch]
        context.say(f"repeats: {spec.name}, boot {number + 1} of {count}")
        folder = context.folder("repeats", spec.name, str(number))
        record = exact_boot(built, spec, folder, timeout=LONGEST_S)
        return record.ready_us, record.console_sha256_ready

    # side by side: each is load for the others
    with busy(LOOPS), ThreadPoolExecutor(len(cells)) as pool:
        rounds = [[pool.submit(once, arch, number) for arch in cells] for number in range(count)]
        try:
            for index, arch in enumerate(cells):
                seen = [each[index].result() for each in rounds]
                yield _distinct(f"default on {BEST[arch]} ({arch}), distinct boots", seen)
        finally:
            pool.shutdown(cancel_futures=True)


def _distinct(subject: str, seen: list[tuple[int | None, str]]) -> BenchFigure:
    stamps = sorted({ready or 0 for ready, _ in seen})
    shown = ", ".join(f"{ready / 1000:.3f}" for ready in stamps[:5])
    note = f"of {len(seen)}, {LOOPS} busy loops and the other two beside; ready at {shown} ms"
    return BenchFigure(subject, "values", (float(len(set(seen))),), 1.0, note=note)


def overhead(context: Context) -> Iterator[FigureOrTable]:
    """Compare wall time to ready through the harness with the same QEMU command run bare, pair by pair."""
    count = context.times(11, 3)
    for arch, machine in (("x86_64", "qemu-x86_64"), ("arm64", BEST["arm64"]), ("s390x", BEST["s390x"])):
        built, spec = context.cell("minimal", machine)
        ratios, ours, bare = [], [], []
        _, launch = through(built, spec, context.folder("overhead", machine, "first"))
        for number in range(count):
            context.say(f"overhead: {machine}, pair {number + 1} of {count}")
            folder = context.folder("overhead", machine, str(number))
            # whichever comes first may have a warmer or colder host: take turns
            if number % 2:
                bare.append(alone(launch, folder / "bare"))
                ours.append(through(built, spec, folder)[0])
            else:
                ours.append(through(built, spec, folder)[0])
                bare.append(alone(launch, folder / "bare"))
            ratios.append(ours[-1] / bare[-1])
        yield BenchFigure(f"minimal on {machine} ({arch}), harness over bare", "ratio", tuple(ratios), OVERHEAD_GOAL)
        yield BenchFigure(f"minimal on {machine}, through the harness", "s", tuple(ours))
        yield BenchFigure(f"minimal on {machine}, bare", "s", tuple(bare))


def through(image: Image, machine: MachineSpec, out: Path) -> tuple[float, Launch]:
    """Boot to ready through the harness; return the seconds from QEMU's start, and how it was started."""
    with boot(image, machine, BootOptions(mode="wall", out=out, timeout=LONGEST_S)) as system:
        return system.wait_ready().host_s, launch_of(system)


def launch_of(system: System) -> Launch:
    """Return how a system's QEMU was started."""
    assert isinstance(system.driver, QemuDriver)
    return system.driver.launch


def alone(launch: Launch, console: Path) -> float:
    """Run the same QEMU without the harness, its console to a file; return the seconds until ready stands there."""
    argv = qemu.argv(launch, Channels(console=f"file,path={qemu.escape(console)}", qmp="null"))
    start = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            while not (console.exists() and READY_MARK in console.read_bytes()):
                if process.poll() is not None:
                    raise MachineError(f"the bare QEMU ended with {process.returncode} before ready")
                if time.monotonic() - start > LONGEST_S:
                    raise HostError(f"the bare QEMU was not ready within {LONGEST_S:g} s")
                time.sleep(POLL_S)
            return time.monotonic() - start
        finally:
            process.kill()
