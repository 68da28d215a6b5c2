"""Benches of what exact boot times are for: small causes found and named, and no false alarms."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.arch import Arch, by_name
from harness.bench.context import ARCHES, IMAGES, MACHINES, Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.runs.calibrate import boots
from harness.launch.exact import exact_boot
from harness.measure.compare import Comparison, compare
from harness.measure.floor import Floors, measure
from harness.measure.phases import figures
from harness.spec import load_image, load_machine
from harness.suite.steps import step_figures, traced_boot
from harness.system.milestones import power_on_us

MACHINE = {"x86_64": "qemu-x86_64", "arm64": "qemu-arm64", "s390x": "qemu-s390x"}
LONGEST_S = 300.0
DELAY_US = 1000
PROBE_LOOPS = 2000
SUM_US = 10.0
# How each service of `default` is started once a loop of the shell has run; all have the same wrapper, so that the loop
# alone differs.
STARTS = {
    "getty": "exec /usr/bin/getty-all",
    "sshd": "exec /usr/bin/sshd-start",
    "nginx": "exec /usr/sbin/nginx -e stderr -g 'daemon off;'",
    "rngd": "exec /usr/bin/rngd-start",
}
# In every image, and loaded in none.
MODULES = ("dm_verity", "nf_tables", "virtio_blk", "overlay", "dm_mod")


@dataclass(frozen=True)
class TrialSide:
    """An image of a trial: the loops that a service makes, a module that is loaded, kB of a file that nobody reads."""

    service: str = ""
    loops: int = 0
    module: str = ""
    ballast: int = 0

    def yaml(self) -> str:
        """Return it as YAML that is merged onto the shipped `default`."""
        text = IMAGES["default"].read_text()
        for name, start in STARTS.items():
            loops = self.loops if name == self.service else 0
            loop = f"i=0; while [ $i -lt {loops} ]; do i=$((i+1)); done; {start}"
            text = text.replace(
                f"  - name: {name}\n    image: {name}\n",
                f"  - name: {name}\n    image: {name}\n    binds.add: ['/usr/bin/busybox:/opt/busybox']\n"
                f'    command: [/opt/busybox, sh, -c, "{loop}"]\n',
            )
        if self.module:
            text += f"  - path: etc/modules\n    contents: {self.module}\n"
        if self.ballast:
            text += f"  - path: etc/ballast\n    contents: {'x' * (self.ballast * 1000)}\n"
        return text


@dataclass
class BootLab:
    """One architecture's boots."""

    context: Context
    arch: Arch
    count: int = 0

    def measured(self, side: TrialSide) -> dict[str, int]:
        """Build an image, boot it as it is and step by step, and return all figures."""
        self.count += 1
        folder = self.context.folder("boot-time", self.arch.name, str(self.count))
        spec = folder / "default.yml"
        spec.write_text(side.yaml())
        machine = load_machine(MACHINE[self.arch.name])
        image = Builder(Settings()).build(load_image([spec]), self.arch)
        record = exact_boot(image, machine, folder / "plain", timeout=LONGEST_S)
        return figures(record) | step_figures(*traced_boot(image, machine, folder / "steps"))

    def floors(self) -> Floors:
        """Calibrate the image that the trials start from."""
        folder = self.context.folder("boot-time", self.arch.name, "floors")
        spec = folder / "default.yml"
        spec.write_text(TrialSide().yaml())
        rows = []
        for shake, _, found in boots([spec], MACHINE[self.arch.name], Settings(), folder):
            self.context.say(f"boot-time: {self.arch.name}, floor: {shake.what}")
            rows.append(found)
        return Floors(measure(rows))


def injected(context: Context) -> Iterator[FigureOrTable]:
    """Add a millisecond of work to one service, or a module, beside a file of another size: is it found and named?"""
    trials, modules = context.times(20, 3), context.times(10, 2)
    for name in ARCHES:
        lab = BootLab(context, by_name(name))
        floors, base = lab.floors(), lab.measured(TrialSide())
        loops = _loops(lab, base)
        yield BenchFigure(f"{name}, floor of power-on to ready", "ms", (floors.of("total") / 1000,))
        for service in STARTS:
            alone = f"services/{service} alone"
            yield BenchFigure(f"{name}, floor of {service} by itself", "ms", (floors.of(alone) / 1000,))
        found = []
        for number in range(trials):
            service = list(STARTS)[number % len(STARTS)]
            context.say(f"boot-time: {name}, delay {number + 1} of {trials}, in {service}")
            after = lab.measured(TrialSide(service, loops, ballast=1 + number))
            found.append(_names(compare(base, after, floors), f"services/{service} alone"))
        note = f"of {trials}; {loops} turns of a shell's loop, beside a new file of 1 to {trials} kB"
        yield BenchFigure(f"{name}, 1 ms more in one service: not found, or another named", "trials",
                     (float(found.count(False)),), 0.0, note=note)  # fmt: skip
        found = []
        for number in range(modules):
            module = MODULES[number % len(MODULES)]
            context.say(f"boot-time: {name}, module {number + 1} of {modules}, {module}")
            after = lab.measured(TrialSide(module=module, ballast=1 + number))
            found.append(_new_module(compare(base, after, floors), base, after, module))
        yield BenchFigure(
            f"{name}, a module more: not found, or another named",
            "trials",
            (float(found.count(False)),),
            0.0,
            note=f"of {modules}",
        )


def _loops(lab: BootLab, base: Mapping[str, int]) -> int:
    """Return how many turns of the loop are a millisecond here."""
    slow = lab.measured(TrialSide("getty", PROBE_LOOPS))
    each = (slow["services/getty alone"] - base["services/getty alone"]) / PROBE_LOOPS
    return math.ceil(DELAY_US / each) if each > 0 else PROBE_LOOPS


def _names(found: Comparison, figure: str) -> bool:
    return found.answer == "worse" and found.culprit is not None and found.culprit.figure == figure


def _new_module(found: Comparison, base: Mapping[str, int], after: Mapping[str, int], module: str) -> bool:
    """Say whether the culprit is the module, or one that came with it."""
    new = {name for name in after if name.startswith("module/") and name not in base}
    named = found.culprit is not None and found.culprit.figure in new
    return named and found.answer == "worse" and f"module/{module}" in new


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
    yield from injected(context)
