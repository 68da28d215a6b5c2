"""Bench of `harness compare` and the gate: known causes are injected and asked for, and edits without a cause too.

An exact boot is the same each time, so the image that all are compared with is booted once under each perturbation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.api import build_image
from harness.arch import ARCHES
from harness.bench.context import IMAGES, Context, FigureOrTable, command
from harness.bench.figures import BenchFigure, Table
from harness.bench.injections import (
    BASE,
    PROBE_TURNS,
    WORDS,
    Injected,
    Side,
    causes,
    edits,
    in_slack,
    probe,
    write_ballast,
)
from harness.bench.journal import Journal
from harness.build.settings import Settings
from harness.commands.nights.pairing import PairTimes, pairer
from harness.commands.runs.compare_exact import compared
from harness.commands.runs.sides import CellComparison
from harness.errors import EXIT_OK
from harness.launch.exact import exact_boot
from harness.measure.account import rows
from harness.measure.compare import TOTAL
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, gate_cells
from harness.measure.phases import figures, phases
from harness.run.cells import made_of
from harness.run.inputs import CellInputs, RunInputs
from harness.scratch import scratch
from harness.spec import load_image, load_machine
from harness.suite.pairs import BootSide, KnownBoots, PairSettings
from harness.suite.steps import traced_boot
from harness.system import host
from harness.system.record import BootRecord

MACHINES = {"arm64": "qemu-arm64", "s390x": "qemu-s390x", "x86_64": "qemu-x86_64"}
FIRST = "arm64"
SUM_US = 10.0
NEAR = 0.05  # how far the size that is told may be from what was injected
SLACK_US = 20  # what a shell's loop differs by from its own average
LEAST_US = 1_000  # of a word that the gate must not let pass
GATE_MINUTES = 60.0
EQUAL_S = 20.0
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
UNREAD = "files: [{path: etc/remarks, contents: nobody reads it}]\n"


class Asker:
    """Asks on one architecture; answers go into the journal."""

    def __init__(self, context: Context, arch: str, ended: list[str]) -> None:
        """`ended` gets what was asked when the bench was interrupted: from then on nothing more is."""
        self.context, self.arch, self.machine, self.ended = context, arch, MACHINES[arch], ended
        self.known, self.journal = KnownBoots(), Journal(context.journal)
        self._folder = context.out / "attribution-images"
        self._folder.mkdir(exist_ok=True)
        write_ballast(self._folder)

    def say(self, what: str) -> None:
        """Say what is asked now."""
        self.context.say(f"attribution: {what} on {self.machine}")

    def compare(self, after: Side, before: Side = BASE) -> CellComparison:
        """Let `harness compare` judge two sides."""
        sides = (self._built(before, "before"), self._built(after, "after"))
        return compared(sides, ("before", "after"), PairSettings(self.context.say, known=self.known))

    def _built(self, side: Side, name: str) -> BootSide:
        machine = load_machine(self.machine).driven(**dict(side.machine))
        path = self._written(side.yaml(), name)
        return build_image(path, machine.arch, settings=Settings(compression=side.compression)), machine

    def _written(self, yaml: str, name: str) -> Path:
        path = self._folder / f"{name}.yml"
        path.write_text(yaml)
        return path

    def record(self, yaml: str) -> BootRecord:
        """Boot once what a YAML says."""
        spec = load_machine(self.machine)
        with scratch("attribution") as folder:
            return exact_boot(build_image(self._written(yaml, "image"), spec.arch), spec, folder)

    def uses(self, side: Side) -> dict[str, int]:
        """Return who uses how many µs of the processor, by one traced boot."""
        us: dict[str, int] = {}
        image, machine = self._built(side, "probe")
        with scratch("attribution") as folder:
            for one in traced_boot(image, machine, folder)[1]:
                us[one.owner] = us.get(one.owner, 0) + one.us
        return us

    def cell(self, side: Side) -> CellFigures:
        """Return a cell as a run has it."""
        record, spec = self.record(side.yaml()), load_machine(self.machine)
        image = build_image(self._folder / "image.yml", spec.arch)
        return CellFigures("image.yml", self.machine, exact=figures(record), key=record.key, cell=f"image-{spec.name}",
                           inputs=made_of(image.manifest, image.digests, spec))  # fmt: skip

    def gate(self, old: CellFigures, new: CellFigures) -> tuple[bool, str]:
        """Return whether the gate lets `new`, made last, pass, and how it judged."""
        cell = CellInputs(image=0, machine=load_machine(self.machine), size=100.0)
        read = RunInputs(images=(load_image([self._folder / "image.yml"]),), cells=(cell,))
        pair = pairer(read, Settings().cache, PairTimes(GATE_MINUTES), interrupted=False, known=self.known)
        (found,) = pair(gate_cells([old], [new], lambda _: Floors()))
        return found.passed, found.by

    def answer(self, what: str, ask: Callable[[], dict[str, Any]], *question: object) -> dict[str, Any] | None:
        """Return an answer that is in the journal, else ask; None of what was not asked, for the bench was ended."""
        whole = (self.machine, load_machine(self.machine).digest, host.qemu_version(ARCHES[self.arch]), *question)
        if not self.ended:
            self.say(what)
            try:
                return self.journal.answer(ask, *whole)
            except KeyboardInterrupt:
                self.ended.append(what)
        return self.journal.known(*whole)


def _figure(asker: Asker, what: str, unit: str, value: float, goal: float, note: str, asked: tuple[int, int]) -> (
    BenchFigure
):  # fmt: skip
    """Return a figure with its goal, which holds where all was asked (`asked`: how many of how many)."""
    some, every = asked
    if not some:
        return BenchFigure(f"{asker.arch}: {what}", unit, skipped="interrupted")
    left = f"{some} asked of {every}" if some < every else f"of {every}"
    return BenchFigure(f"{asker.arch}: {what}", unit, (value,), goal if some == every else None,
                       note="; ".join(filter(None, (left, note))))  # fmt: skip


def _after(asker: Asker) -> Iterator[FigureOrTable]:
    """Let the last service work on once it is healthy, by each way of which the kernel tells."""
    later = []
    for kind, (event, health) in EVENTS.items():
        yamls = [AFTER.format(event=event, health=health, turns=turns) for turns in TURNS]

        def ask(yamls: list[str] = yamls) -> dict[str, Any]:
            return {"ready": [asker.record(yaml).ready_us for yaml in yamls]}

        if found := asker.answer(f"work after {kind}", ask, "after", *yamls):
            later.append((kind, f"{found['ready'][1] - found['ready'][0]:+d}"))
    most = max((abs(int(us)) for _, us in later), default=0)
    what = "what work after a service's health moves ready by, at most"
    note = f"{int(TURNS[1])} turns of a shell's loop after it and none, scripts of one length"
    yield _figure(asker, what, "us", float(most), AFTER_US, note, (len(later), len(EVENTS)))
    if later:
        yield Table(f"work after the last service's health on {asker.arch}", ("health", "ready later, µs"),
                    tuple(later))  # fmt: skip


def _uncaused(asker: Asker) -> Iterator[FigureOrTable]:
    wrong, moved, pairs = [], [], []
    count = asker.context.times(67, 3)
    for what, side in edits(count, list(MACHINES).index(asker.arch)):
        if found := asker.answer(what, partial(_judged, asker, side), "edit", side):
            moved.append(float(found["moved"]))
            pairs.append(float(found["pairs"]))
            if found["answer"] != "same":
                wrong.append(f"{what} ({found['answer']})")
    yield _figure(asker, "edits without a cause called slower or faster", "edits", float(len(wrong)), 0.0,
                  ", ".join(wrong), (len(moved), count))  # fmt: skip
    if moved:
        yield BenchFigure(f"{asker.arch}: what an edit without a cause moves, mean of its pairs", "us", tuple(moved))
        yield BenchFigure(f"{asker.arch}: pairs that an edit without a cause takes", "pairs", tuple(pairs))


def _judged(asker: Asker, side: Side) -> dict[str, Any]:
    found = asker.compare(side)
    paired = found.paired
    return {"answer": found.comparison.answer, "moved": abs(paired.mean_us) if paired else 0.0,
            "pairs": paired.pairs if paired else 0}  # fmt: skip


def _slack(asker: Asker) -> Iterator[FigureOrTable]:
    some = in_slack()[:: asker.context.times(1, 3)]
    answers = {what: asker.answer(f"in slack, {what}", partial(_judged, asker, side), "slack", side)
               for what, side in some}  # fmt: skip
    wrong = [what for what, found in answers.items() if found and found["answer"] == "worse"]
    asked = sum(found is not None for found in answers.values())
    yield _figure(asker, "changes in slack called slower", "changes", float(len(wrong)), 0.0, ", ".join(wrong),
                  (asked, len(some)))  # fmt: skip


def _gate(asker: Asker) -> Iterator[FigureOrTable]:
    """Let the gate judge runs of an image that differ by a costly word of its own command line."""
    words = WORDS[:: asker.context.times(1, 7)]

    def ask(word: str) -> dict[str, Any]:
        old, new = asker.cell(BASE), asker.cell(Side(words=f" {word}"))
        let, by = asker.gate(old, new)
        return {"passed": let, "by": by, "us": new.exact[TOTAL] - old.exact[TOTAL]}

    answers = {word: asker.answer(f"the gate, and the word {word}", partial(ask, word), "gate", BASE, word)
               for word in words}  # fmt: skip
    found = {word: one for word, one in answers.items() if one}
    passed = [word for word, one in found.items() if one["passed"]]
    cheap = [word for word, one in found.items() if one["us"] < LEAST_US]
    floors = sum(one["by"] != "pairs" for one in found.values())
    note = "; ".join(filter(None, (", ".join(passed), f"{floors} judged by the floor")))
    figure = _figure(asker, "costly words of the image's command line that pass the gate", "words", float(len(passed)),
                     0.0, note, (len(found), len(words)))  # fmt: skip
    broken = f"cost less than 1 ms, so they show nothing: {', '.join(cheap)}" if cheap else ""
    yield replace(figure, broken=broken)


def _sums(asker: Asker) -> Iterator[FigureOrTable]:
    image, spec = asker.context.cell("default", asker.machine)

    def ask() -> dict[str, Any]:
        record, found = traced_boot(image, spec, asker.context.folder("attribution", asker.arch, "sums"))
        line = [phase for phase in phases(record) if not phase.under and phase.start_us >= 0]
        inner = rows(found, line)
        off = max(abs(phase.us - sum(one.us for one in inner if one.under == phase.name)) for phase in line)
        return {"off": off, "rows": len(inner)}

    found = asker.answer("who had the processor", ask, "sums", sorted(image.digests.items()))
    yield _figure(asker, "rows of a phase and the phase differ by at most", "us", float(found["off"] if found else 0),
                  SUM_US, f"{found['rows'] if found else 0} rows of default", (int(found is not None), 1))  # fmt: skip


def _injected(asker: Asker) -> Iterator[FigureOrTable]:
    def turn() -> dict[str, Any]:
        few, many = (asker.uses(side)["services/web"] for side in (BASE, probe()))
        less, more = (asker.uses(replace(BASE, prep=turns))["onboot/prep"] for turns in (200, 200 + PROBE_TURNS))
        return {"web": (many - few) / PROBE_TURNS, "prep": (more - less) / PROBE_TURNS}

    turn_us = asker.answer("what a turn of the loop costs", turn, "turn", BASE)
    every = causes(asker.arch, turn_us)[:: asker.context.times(1, 8)] if turn_us else []
    told, wrong = [], 0
    for one in every:
        if found := asker.answer(one.what, partial(_said, asker, one), "cause", one):
            wrong += bool(found["wrong"])
            told.append((one.what, *found["said"], found["wrong"]))
    yield _figure(asker, "causes not found, or told wrongly", "causes", float(wrong), 0.0, "", (len(told), len(every)))
    if told:
        yield Table(f"what was said on {asker.arch}", ("injected", "whole, ms", "answer", "named, ms", "wrong"),
                    tuple(told))  # fmt: skip


def _said(asker: Asker, one: Injected) -> dict[str, Any]:
    found = asker.compare(one.after, one.before)
    culprit, paired, total = found.comparison.culprit, found.paired, found.comparison.total
    size = f"{paired.mean_us / 1000:+.3f} ± {paired.margin_us / 1000:.3f}" if paired else "+0.000"
    if paired and paired.first:
        size = f"{paired.first} {paired.first_us / 1000:+.3f}"
    who = f"{culprit.owner} {culprit.us / 1000:+.3f}" if culprit else "nobody"
    answer = found.comparison.answer
    uses = {cause.owner: cause for cause in found.comparison.causes}
    wrong = []
    sign = total.us > 0 if total else False
    if answer != one.answer and (one.answer or answer != ("worse" if sign else "better")):
        wrong.append("answer")
    if one.owner and not (culprit and culprit.owner.startswith(one.owner)):
        wrong.append("owner")
    for owner, us in one.us.items():
        if owner not in uses or abs(uses[owner].us - us) > max(SLACK_US, NEAR * abs(us)):
            wrong.append(f"size of {owner}, {us / 1000:+.3f}")
    if one.differ not in found.differ:
        wrong.append("inputs")
    if one.because not in found.because:
        wrong.append("where")
    if one.renamed and not any(cause.renamed == one.renamed for cause in uses.values()):
        wrong.append("name")
    return {"said": [size, answer, who], "wrong": ", ".join(wrong)}


def _wall(asker: Asker) -> Iterator[FigureOrTable]:
    """Time `harness compare` as a user would run it, of `default` on the first architecture."""
    if asker.arch != FIRST:
        return
    if asker.ended:
        yield BenchFigure(f"{asker.arch}: wall time of harness compare", "s", skipped="interrupted")
        return
    text = IMAGES["default"].read_text(encoding="utf-8")
    same, other = (asker.context.out / f"default-{name}.yml" for name in ("again", "more"))
    same.write_text(text)
    other.write_text(UNREAD)
    base = str(IMAGES["default"])
    asks = {"equal": (base, str(same)), "a file more": (base, f"{base}+{other}")}
    asker.context.cell("default", asker.machine)
    for what, names in asks.items():
        asker.say(f"compare of default, {what}")
        runs = [command(["compare", *names, "-m", asker.machine]) for _ in range(asker.context.times(3, 1))]
        failed = [ran.words for ran in runs if ran.code != EXIT_OK]
        subject, goal = f"{asker.arch}: harness compare of default, {what}", EQUAL_S if what == "equal" else None
        broken = f"it did not say the same: {failed[0][-100:]}" if failed else ""
        yield BenchFigure(subject, "s", tuple(ran.seconds for ran in runs), goal, broken=broken)
        yield BenchFigure(f"{subject}: CPU time of it", "s", tuple(ran.cpu for ran in runs))


# what is asked on each architecture, the shortest first
PARTS = (_sums, _after, _gate, _injected, _slack, _uncaused, _wall)


def attribution(context: Context) -> Iterator[FigureOrTable]:
    """Ask for each injected cause, and for edits without one, on each architecture; a quick bench asks on the first.

    Once it is ended nothing more is asked; what was answered by then, also in the journal, is told before that is.
    """
    ended: list[str] = []
    for arch in MACHINES:
        if context.quick and arch != FIRST:
            yield BenchFigure(f"{arch}: all of it", "", skipped=f"--quick asks on {FIRST} alone")
            continue
        asker = Asker(context, arch, ended)
        for part in PARTS:
            yield from part(asker)
    if ended:
        raise KeyboardInterrupt
