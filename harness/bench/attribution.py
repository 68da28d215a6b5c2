"""Bench of `harness compare`: known causes are injected into an image and asked for, and edits without a cause too."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.api import build_image
from harness.bench.context import Context, FigureOrTable
from harness.bench.figures import BenchFigure, Table
from harness.build.settings import Settings
from harness.commands.nights.pairing import Pairer, PairTimes, pairer
from harness.commands.runs.compare_exact import booted
from harness.commands.runs.sides import CellComparison, CompareRequest
from harness.launch.exact import exact_boot
from harness.measure.account import rows
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, gate_cells
from harness.measure.phases import figures, phases
from harness.run.cells import made_of
from harness.run.inputs import CellInputs, RunInputs
from harness.scratch import scratch
from harness.spec import load_image, load_machine
from harness.suite.steps import traced_boot
from harness.system.record import BootRecord

MACHINES = {"arm64": "qemu-arm64", "s390x": "qemu-s390x", "x86_64": "qemu-x86_64"}
PROBE_TURNS = 1000
SUM_US = 10.0
NEAR = 0.05  # how far the size that is told may be from what was injected
# each costs more than 1 ms on each architecture
WORDS = ("slub_debug=FZP", "initcall_debug", "init_on_alloc=1", "slub_debug=F", "slub_debug=Z")
FIRST = "arm64"
GATE_MINUTES = 60.0
AFTER_US = 20.0
TURNS = ("0000", "9000")
EVENTS = {
    "log": ("echo up", "log:up"),
    "tcp": ("httpd -h /run -p 8080", "tcp:8080"),
    "file": ("touch /run/up", "file:/run/up"),
}
AFTER = """kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests"}}
init: [init]
services:
  - name: web
    image: busybox
    net: host
    binds: ["/run:/run"]
    command: [/bin/sh, -c, "{event}; i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; exec sleep 100000"]
    annotations: {{harness.health: "{health}"}}
"""
SLACK_US = 20  # what a shell's loop differs by from its own average


@dataclass(frozen=True)
class Side:
    """An image of a trial: turns of a shell's loop in each container, files, words on the command line. ``after``:
    turns in web once it is healthy, None: nothing; ``job_idles_us``: how long job waits while web works."""

    services: Mapping[str, int] = field(default_factory=lambda: {"web": 200, "job": 60})
    prep: int = 200
    files: str = ""
    words: str = ""
    job_idles_us: int = 0
    after: int | None = None

    def yaml(self) -> str:
        """Return it as YAML."""
        idle = {"job": f"usleep {self.job_idles_us:06d}; "} if self.job_idles_us else {}
        services = "".join(
            _container(name, turns, stays=True, first=idle.get(name, ""), after=self.after if name == "web" else None)
            for name, turns in self.services.items()
        )
        return (f'kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests{self.words}"}}\ninit: [init]\n'
                f'onboot:\n{_container("prep", self.prep, stays=False)}services:\n{services}'
                f'{"files:" if self.files else ""}\n{self.files}')  # fmt: skip


def _container(name: str, turns: int, *, stays: bool, first: str = "", after: int | None = None) -> str:
    loop = f"{first}{_turns(turns)}echo {name} is up"
    later = "" if after is None else _turns(after)
    rest = (
        f'{loop}; {later}exec sleep 100000"]\n    annotations: {{harness.health: "log:{name} is up"}}\n'
        if stays
        else f'{loop}"]\n'
    )
    return f'  - name: {name}\n    image: busybox\n    command: [/bin/sh, -c, "{rest}'


def _turns(count: int) -> str:
    # one length, however many: a longer script makes each turn of a loop before it cost busybox's shell 0.2 µs more
    return f"i=0; while [ $i -lt {count:06d} ]; do i=$((i+1)); done; "


@dataclass(frozen=True)
class Injected:
    """A change with a cause: who must be named (how its name begins), and its turns more; None: of any size."""

    what: str
    side: Side
    owner: str
    turns: int | None = None


def _causes(turn_us: float) -> Iterator[Injected]:
    base = Side()

    def more(us: int) -> int:
        return max(1, round(us / turn_us))

    for us in (100, 200, 500, 1_000, 2_000, 10_000):
        turns = more(us)
        services = {**base.services, "web": base.services["web"] + turns}
        yield Injected(f"{us / 1000} ms in a service", replace(base, services=services), "services/web", turns)
        yield Injected(f"{us / 1000} ms in an onboot", replace(base, prep=base.prep + turns), "onboot/prep", turns)
    fewer = {**base.services, "web": base.services["web"] - more(1_000)}
    yield Injected("1 ms less in a service", replace(base, services=fewer), "services/web", -more(1_000))
    yield Injected("a service more", replace(base, services={**base.services, "third": 60}), "services/third")
    yield Injected("a service less", replace(base, services={"web": 200}), "services/job")
    module = "  - path: etc/modules\n    contents: nf_tables\n"
    yield Injected("a module", replace(base, files=module), "module/nf_tables")
    yield Injected(
        "5 MB that nobody reads", replace(base, files=_file("opt/ballast", 5_000_000)), "work/async_run_entry_fn"
    )
    for word in (" slub_debug=FZP", " initcall_debug"):
        yield Injected(f"the word{word}", replace(base, words=word), "")


def _file(path: str, size: int, seed: int = 1) -> str:
    letters = "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=min(size, 20_000)))
    text = (letters * (size // len(letters) + 1))[:size]
    return f"  - path: {path}\n    contents: {text}\n"


def _edits(count: int) -> Iterator[tuple[str, Side]]:
    """Yield edits without a cause: new files, other names, other orders, other texts."""
    base, names = Side(), random.Random(7)
    for number in range(count):
        kind, word = number % 4, "".join(names.choices("abcdefghij", k=6))
        if kind == 0:
            yield f"a file of {number + 1} kB", replace(base, files=_file(f"etc/{word}", 1000 * (number + 1), number))
        elif kind == 1:
            yield "a renamed service", replace(base, services={word: 200, "job": 60})
        elif kind == 2:
            yield "services in another order", replace(base, services={"job": 60, "web": 200})
        else:
            yield "another text of one length", replace(base, files=f"  - path: etc/{word}\n    contents: {word}\n")


def _after(context: Context, arch: str, machine: str) -> Iterator[FigureOrTable]:
    """Let the last service work on once it is healthy, by each way of which the kernel tells."""
    later = []
    for kind, (event, health) in EVENTS.items():
        context.say(f"attribution: work after {kind} on {machine}")
        ready = [_ready(context, machine, AFTER.format(event=event, health=health, turns=turns)) for turns in TURNS]
        later.append((kind, f"{ready[1] - ready[0]:+d}"))
    most = max(abs(int(us)) for _, us in later)
    note = f"{int(TURNS[1])} turns of a shell's loop after it and none, scripts of one length"
    yield BenchFigure(f"{arch}: what work after a service's health moves ready by, at most", "us", (float(most),),
                      AFTER_US, note=note)  # fmt: skip
    yield Table(f"work after the last service's health on {arch}", ("health", "ready later, µs"), tuple(later))


def _ready(context: Context, machine: str, yaml: str) -> int:
    record = _record(context, machine, yaml)
    assert record.ready_us is not None
    return record.ready_us


def _uncaused(context: Context, arch: str, machine: str) -> Iterator[FigureOrTable]:
    wrong, moved = [], []
    count = context.times(66, 3)
    for what, side in _edits(count):
        context.say(f"attribution: {what} on {machine}")
        found = _asked(context, machine, side)
        moved.append(abs(found.paired.mean_us) if found.paired else 0.0)
        if found.comparison.answer != "same":
            wrong.append(what)
    note = f"of {count}{': ' if wrong else ''}{', '.join(wrong)}"
    yield BenchFigure(f"{arch}: edits without a cause called slower or faster", "edits", (float(len(wrong)),), 0.0,
                      note=note)  # fmt: skip
    yield BenchFigure(f"{arch}: what an edit without a cause moves, mean of its pairs", "us", tuple(moved))


def _slack(context: Context, arch: str, machine: str) -> Iterator[FigureOrTable]:
    """Ask for what lies in slack: one that idles while others work, and what is done after all are healthy."""
    # on one processor work is in nobody's slack: so the last alone does more, and who idles does so in the base too
    base = Side(services={"web": 2_000, "job": 60}, job_idles_us=200, after=0)
    sides = [replace(base, after=turns) for turns in (300, 1_000, 3_000)]
    sides += [replace(base, job_idles_us=us) for us in (500, 1_000, 2_000)]
    some = sides[:: context.times(1, 3)]
    answers = []
    for side in some:
        context.say(f"attribution: in slack, on {machine}")
        answers.append(_asked(context, machine, side, base).comparison.answer)
    yield BenchFigure(f"{arch}: changes in slack called slower", "changes", (float(answers.count("worse")),), 0.0,
                      note=f"of {len(some)}")  # fmt: skip


def _gate(context: Context, arch: str, machine: str) -> Iterator[FigureOrTable]:
    """Let the gate judge runs of an image that differ by a costly word of its own command line."""
    words = WORDS[:: context.times(1, 5)]
    passed, floors = [], 0
    old = _run(context, machine, Side())
    for word in words:
        context.say(f"attribution: the gate, and the word {word} on {machine}")
        new = _run(context, machine, Side(words=f" {word}"))
        (found,) = _pairer(context, machine)(gate_cells([old], [new], lambda _: Floors()))
        floors += found.by != "pairs"
        if found.passed:
            passed.append(word)
    note = f"of {len(words)}{': ' if passed else ''}{', '.join(passed)}; {floors} judged by the floor"
    yield BenchFigure(
        f"{arch}: costly words of the image's command line that pass the gate", "words", (float(len(passed)),), 0.0,
        note=note)  # fmt: skip


def _path(context: Context) -> Path:
    return context.out / "attribution.yml"


def _record(context: Context, machine: str, yaml: str) -> BootRecord:
    """Boot once what a YAML says."""
    _path(context).write_text(yaml)
    spec = load_machine(machine)
    with scratch("attribution") as folder:
        return exact_boot(build_image(_path(context), spec.arch), spec, folder)


def _run(context: Context, machine: str, side: Side) -> CellFigures:
    """Return a cell as a run has it."""
    record, spec = _record(context, machine, side.yaml()), load_machine(machine)
    image = build_image(_path(context), spec.arch)
    made = made_of(image.manifest, image.digests, spec)
    return CellFigures("attribution.yml", machine, exact=figures(record), key=record.key, inputs=made,
                       cell=f"attribution-{machine}")  # fmt: skip


def _pairer(context: Context, machine: str) -> Pairer:
    cell = CellInputs(image=0, machine=load_machine(machine), size=100.0)
    read = RunInputs(images=(load_image([_path(context)]),), cells=(cell,))
    return pairer(read, Settings().cache, PairTimes(GATE_MINUTES), interrupted=False)


def _sums(context: Context, arch: str, machine: str) -> Iterator[FigureOrTable]:
    image, spec = context.cell("default", machine)
    context.say(f"attribution: who had the processor on {machine}")
    record, found = traced_boot(image, spec, context.folder("attribution", arch, "sums"))
    line = [phase for phase in phases(record) if not phase.under and phase.start_us >= 0]
    inner = rows(found, line)
    off = max(abs(phase.us - sum(one.us for one in inner if one.under == phase.name)) for phase in line)
    yield BenchFigure(f"{arch}: rows of a phase and the phase differ by at most", "us", (float(off),), SUM_US)


def _injected(context: Context, arch: str, machine: str) -> Iterator[FigureOrTable]:
    slow = replace(Side(), services={"web": 200 + PROBE_TURNS, "job": 60})
    probe = _asked(context, machine, slow)
    turn_us = _cost(probe, "services/web") / PROBE_TURNS
    told, wrong = [], 0
    for one in list(_causes(turn_us))[:: context.times(1, 5)]:
        context.say(f"attribution: {one.what} on {machine}")
        found = _asked(context, machine, one.side)
        culprit = found.comparison.culprit
        right = culprit is not None and culprit.owner.startswith(one.owner)
        if right and culprit is not None and one.turns is not None:
            wanted = one.turns * turn_us
            right = abs(culprit.us - wanted) <= max(SLACK_US, NEAR * abs(wanted))
        wrong += not right
        paired = found.paired
        size = f"{paired.mean_us / 1000:+.3f} ± {paired.margin_us / 1000:.3f}" if paired else "+0.000"
        who = f"{culprit.owner} {culprit.us / 1000:+.3f}" if culprit else "nobody"
        told.append((one.what, size, found.comparison.answer, who, "" if right else "wrong"))
    yield BenchFigure(
        f"{arch}: causes not found, or told wrongly", "causes", (float(wrong),), 0.0, note=f"of {len(told)}"
    )
    yield Table(f"what was said on {arch}", ("injected", "whole, ms", "answer", "named, ms", ""), tuple(told))


def _cost(found: CellComparison, owner: str) -> int:
    return next((one.us for one in found.comparison.causes if one.owner == owner), 0)


def _asked(context: Context, machine: str, side: Side, base: Side = Side()) -> CellComparison:
    folder = context.out / "attribution-images"
    folder.mkdir(exist_ok=True)
    names = []
    for name, one in (("before", base), ("after", side)):
        path = Path(folder / f"{name}.yml")
        path.write_text(one.yaml())
        names.append(str(path))
    return booted(CompareRequest(names[0], names[1], machines=(machine,)), Settings())


# what is asked on each architecture, the shortest first
PARTS = {
    "rows of a phase and the phase": _sums,
    "work after a service's health": _after,
    "costly words of the command line, before the gate": _gate,
    "injected causes": _injected,
    "changes in slack": _slack,
    "edits without a cause": _uncaused,
}


def attribution(context: Context) -> Iterator[FigureOrTable]:
    """Ask for each injected cause, and for edits without one, on each architecture; a quick bench asks on the first.

    What was not asked, for it was ended, is told before that is.
    """
    ended: KeyboardInterrupt | None = None
    for arch, machine in MACHINES.items():
        for what, part in PARTS.items():
            why = (
                "interrupted" if ended else f"--quick asks on {FIRST} alone" if context.quick and arch != FIRST else ""
            )
            if not why:
                try:
                    yield from part(context, arch, machine)
                except KeyboardInterrupt as error:
                    ended, why = error, "interrupted, perhaps in its middle"
            if why:
                yield BenchFigure(f"{arch}: {what}", "", skipped=why)
    if ended:
        raise ended
