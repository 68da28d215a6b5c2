"""Bench of `harness compare --pairs`: is a change of a tenth found by wall time on a loaded host, and none invented?"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from harness.arch import by_name
from harness.bench.context import IMAGES, Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.bench.load import busy
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.child import on_processor
from harness.image import Image
from harness.launch import boot
from harness.measure.statistics import compare_pairs
from harness.spec import load_image, load_machine
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions

MACHINE = "qemu-arm64"  # the quickest to boot by the host's clock
SLOWER = 0.1
PROBE_LOOPS = 20_000
LONGEST_S = 300.0


@dataclass(frozen=True)
class Trial:
    """The seconds to ready of an image and of a slower one, pair by pair."""

    same: tuple[float, ...]
    slower: tuple[float, ...]


def _image(context: Context, loops: int, machine: MachineSpec) -> Image:
    """Build `minimal` with an onboot that counts."""
    text = IMAGES["minimal"].read_text() + (
        "onboot:\n  - name: count\n    image: busybox\n"
        f'    command: [/bin/sh, -c, "i=0; while [ $i -lt {loops} ]; do i=$((i+1)); done"]\n'
    )
    spec = context.folder("wall", f"{loops} turns") / "minimal.yml"
    spec.write_text(text)
    return Builder(Settings()).build(load_image([spec]), by_name(machine.arch))


def _seconds(image: Image, machine: MachineSpec, out: Path, processor: int) -> float:
    options = BootOptions(mode="wall", out=out, timeout=LONGEST_S)
    with on_processor(processor), boot(image, machine, options) as system:
        return system.wait_ready().host_s


def wall(context: Context) -> Iterator[FigureOrTable]:
    """Boot two images by turns, trial after trial, some side by side."""
    trials, pairs = context.times(20, 2), context.times(30, 12)
    machine = load_machine(MACHINE)
    base, stop = _image(context, 0, machine), Event()
    processors = sorted(os.sched_getaffinity(0))
    with busy(len(processors)), ThreadPoolExecutor(len(processors)) as pool:
        loops = _turns(context, base, machine)
        slow = _image(context, loops, machine)

        def trial(number: int) -> Trial:
            found: dict[str, list[float]] = {"same": [], "slower": []}
            sides = {"same": base, "slower": slow}
            for turn in range(pairs):
                if stop.is_set():
                    raise KeyboardInterrupt
                context.say(f"wall: trial {number + 1} of {trials}, pair {turn + 1} of {pairs}")
                folder = context.folder("wall", str(number), str(turn))
                for side in sorted(sides, reverse=turn % 2 == 1):
                    processor = processors[number % len(processors)]
                    found[side].append(_seconds(sides[side], machine, folder / side, processor))
            return Trial(tuple(found["same"]), tuple(found["slower"]))

        futures = [pool.submit(trial, number) for number in range(trials)]
        done = []
        try:
            for future in futures:
                done.append(future.result())
        except BaseException:  # who interrupts gets what is done
            stop.set()
            pool.shutdown(cancel_futures=True)
            if done:
                yield from figures(done, loops)
            raise
    yield from figures(done, loops)


def _turns(context: Context, base: Image, machine: MachineSpec) -> int:
    """Return how many turns of the loop make a boot slower by `SLOWER`."""
    probe, shares = _image(context, PROBE_LOOPS, machine), []
    processor = max(os.sched_getaffinity(0))
    for number in range(context.times(9, 3)):
        context.say(f"wall: how long a turn takes, {number + 1}")
        folder = context.folder("wall", "turns", str(number))
        plain = _seconds(base, machine, folder / "base", processor)
        shares.append(_seconds(probe, machine, folder / "probe", processor) / plain - 1)
    return max(1, round(PROBE_LOOPS * SLOWER / statistics.median(shares)))


def unchanged(done: Sequence[Trial]) -> Iterator[list[tuple[float, float]]]:
    """Yield trials of nothing changed, as long as the others: pairs of boots of one image that followed each other."""
    size = len(done[0].same)
    for side in ("same", "slower"):
        pairs = [
            (values[at], values[at + 1]) if at % 4 else (values[at + 1], values[at])
            for values in (getattr(one, side) for one in done)
            for at in range(0, size - 1, 2)
        ]
        yield from (pairs[at : at + size] for at in range(0, len(pairs) - size + 1, size))


def figures(done: Sequence[Trial], loops: int) -> Iterator[BenchFigure]:
    """Return what the trials come to. One in twenty may be missed, and one in twenty invented."""
    found = [compare_pairs(list(zip(one.same, one.slower, strict=True))) for one in done]
    none = [compare_pairs(pairs) for pairs in unchanged(done)]
    beside = f"{len(done[0].same)} pairs each, each beside a busy loop a processor and the other trials"
    yield BenchFigure(f"minimal on {MACHINE}, a tenth slower: not found", "trials",
                 (float(sum(one.verdict != "worse" for one in found)),), len(found) / 20,
                 note=f"of {len(found)}, {beside}; {loops} turns of a shell's loop")  # fmt: skip
    yield BenchFigure(f"minimal on {MACHINE}, nothing changed: a change found", "trials",
                 (float(sum(one.verdict != "same" for one in none)),), len(none) / 20,
                 note=f"of {len(none)}: pairs of following boots of one image")  # fmt: skip
    yield BenchFigure("a tenth slower, as the pairs say", "ratio", tuple(one.ratio for one in found))
    yield BenchFigure("nothing changed, as the pairs say", "ratio", tuple(one.ratio for one in none))
    yield BenchFigure("to ready", "s", tuple(second for one in done for second in one.same))
