"""Benches that build: sizes, builds of nothing and of one change, and the whole matrix warm and cold."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from harness import paths
from harness.arch import ARCHES, Arch
from harness.bench.context import IMAGES, Context, FigureOrTable, Ran, command
from harness.bench.figures import BenchFigure
from harness.bench.load import on_cores
from harness.errors import HostError
from harness.store import Store

SIZE_GOALS = {
    "minimal": {"x86_64": 20.0, "arm64": 16.0, "s390x": 11.0},
    "default": {"x86_64": 31.0, "arm64": 26.0, "s390x": 21.0},
}  # MB of 10^6 bytes
NOTHING_GOAL, CHANGED_GOAL = 0.5, 3.0  # s
WARM_GOAL, COLD_GOAL = 90.0, 300.0  # s
CORES = 2
CHANGED = "      - INSECURE=true\n"  # of getty, in default.yml


def size(context: Context) -> Iterator[FigureOrTable]:
    """Measure what is shipped."""
    for image, goals in SIZE_GOALS.items():
        for arch, goal in goals.items():
            built = context.image(image, ARCHES[arch])
            kernel = built.kernel.stat().st_size / 1e6
            yield BenchFigure(
                f"{image} {arch}", "MB", (built.size / 1e6,), goal, note=f"of these the kernel {kernel:.2f}"
            )


def build(context: Context) -> Iterator[FigureOrTable]:
    """Time `harness build` for three architectures: nothing changed, then one service's environment changed."""
    default = IMAGES["default"]
    _warm(context, (default,))
    count = context.times(15, 3)
    context.say(f"build: nothing changed, {count} times")
    runs = [_succeeded(command(["build", str(default)])) for _ in range(count)]
    yield from _timed("default for three architectures, nothing changed", runs, NOTHING_GOAL)
    count, runs = context.times(7, 2), []
    folder = context.folder("build")
    for number in range(count):
        context.say(f"build: one service changed, {number + 1} of {count}")
        changed = folder / "default.yml"
        changed.write_text(_changed(default.read_text(), f"BENCH={os.getpid()}-{time.time_ns()}"))
        runs.append(_succeeded(command(["build", "--json", str(changed)])))
        _forget(runs[-1])
    yield from _timed("default for three architectures, one service changed", runs, CHANGED_GOAL)


def _timed(subject: str, runs: list[Ran], goal: float) -> Iterator[BenchFigure]:
    yield BenchFigure(subject, "s", tuple(one.seconds for one in runs), goal)
    yield BenchFigure(f"{subject}: CPU time of it", "s", tuple(one.cpu for one in runs))


def _changed(text: str, variable: str) -> str:
    if CHANGED not in text:
        raise AssertionError(f"default.yml lacks the line {CHANGED.strip()!r} after which to add one")
    return text.replace(CHANGED, f"{CHANGED}      - {variable}\n")


def _forget(ran: Ran) -> None:
    store = Store(paths.cache_dir())
    for row in json.loads(ran.stdout):
        store.discard(Path(row["folder"]))


def _succeeded(ran: Ran) -> Ran:
    if ran.code:
        raise HostError(f"harness ended with exit code {ran.code}", details=ran.words)
    return ran


def _warm(context: Context, images: tuple[Path, ...]) -> None:
    context.say("building what the cache lacks")
    for image in images:
        _succeeded(command(["build", str(image)]))


def warm(context: Context) -> Iterator[FigureOrTable]:
    """Time the matrix when everything is built."""
    _warm(context, tuple(IMAGES.values()))
    count = context.times(3, 1)
    ran = []
    for number in range(count):
        context.say(f"matrix: warm, {number + 1} of {count}")
        ran.append(_matrix(context.folder("warm", str(number)), {}))
    yield _matrix_figure("both images on three machines, everything built", ran, WARM_GOAL)


def cold(context: Context) -> Iterator[FigureOrTable]:
    """Time the matrix with an empty cache: packages resolved, downloaded, images built, booted."""
    subject = "both images on three machines, empty cache"
    offline = _offline(context.folder("cold", "asked"), ARCHES["x86_64"])
    if offline:
        yield BenchFigure(subject, "s", goal=COLD_GOAL, skipped=offline)
        return
    context.say("cold: matrix with an empty cache")
    folder = context.folder("cold", "run")
    ran = _matrix(folder / "results", {"HARNESS_CACHE": str(folder / "cache")})
    yield _matrix_figure(subject, [ran], COLD_GOAL)


def _offline(cache: Path, arch: Arch) -> str:
    from harness.build.debian import Debian

    try:
        Debian(Store(cache)).resolve(("busybox-static",), arch)
    except HostError as error:
        return f"no package source answers: {error.message}"
    return ""


def _matrix(results: Path, env: dict[str, str]) -> Ran:
    with on_cores(CORES):
        return command(["matrix", "--no-history", "--results", str(results)], {**os.environ, **env})


def _matrix_figure(subject: str, ran: list[Ran], goal: float) -> BenchFigure:
    failed = next((one for one in ran if one.code), None)
    broken = "" if failed is None else f"exit code {failed.code}: not everything passed"
    return BenchFigure(subject, "s", tuple(one.seconds for one in ran), goal, note=f"on {CORES} cores", broken=broken)
