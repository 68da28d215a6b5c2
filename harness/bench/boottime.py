"""Benches of exact boot times: phases that add up, and rebuilds with the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from harness.arch import by_name
from harness.bench.context import ARCHES, IMAGES, MACHINES, Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.launch.exact import exact_boot
from harness.spec import load_image
from harness.system.milestones import power_on_us

MACHINE = {"x86_64": "qemu-x86_64", "arm64": "qemu-arm64", "s390x": "qemu-s390x"}
LONGEST_S = 300.0
SUM_US = 10.0


def rebuilt(context: Context) -> Iterator[FigureOrTable]:
    """Build again with nothing changed, in other folders: how many of the images have other bytes."""
    count = context.times(200, 6)
    for name in ARCHES:
        arch, spec = by_name(name), load_image([IMAGES["minimal"]])
        known = Builder(Settings()).build(spec, arch)
        cache = Settings().cache
        others = 0
        for number in range(count // len(ARCHES) + (name == ARCHES[0]) * (count % len(ARCHES))):
            folder = context.folder("rebuilt", name, str(number))
            for kind in ("debs", "layers", "kernels", "resolved", "kernel-index"):
                (folder / kind).symlink_to(cache / kind)
            again = Builder(Settings(cache=folder, offline=True)).build(spec, arch)
            others += again.manifest["files"] != known.manifest["files"]
            shutil.rmtree(folder)
        yield BenchFigure(
            f"minimal on {name}, rebuilt with nothing changed: other bytes",
            "images",
            (float(others),),
            0.0,
            note=f"of {number + 1}; equal bytes boot equally (repeats)",
        )


def sums(context: Context) -> Iterator[FigureOrTable]:
    """Compare what phases add up to with the machine's own count since power-on."""
    for machine in MACHINES:
        built, spec = context.cell("default", machine)
        context.say(f"boot-time: sum of phases on {machine}")
        record = exact_boot(built, spec, context.folder("sums", machine), timeout=LONGEST_S)
        marks = {mark.name: mark for mark in record.milestones}
        ready, first = marks["ready"], marks["init"]
        # firmware by the first mark's count; all other phases by the kernel's stamps; against the last mark's count
        by_phases = (power_on_us(record.arch, first) or 0) + (ready.guest_us or 0)
        by_count = (power_on_us(record.arch, ready) or 0) + (ready.guest_us or 0)
        yield BenchFigure(f"default on {machine}: phases and the machine's count differ by", "us",
                     (float(abs(by_phases - by_count)),), SUM_US,
                     note=f"{by_count / 1000:.3f} ms from power-on to ready")  # fmt: skip


def boot_time(context: Context) -> Iterator[FigureOrTable]:
    """Measure everything that this page promises of exact times but the boots beside busy loops (repeats)."""
    yield from sums(context)
    yield from rebuilt(context)
