"""What the page of a run shows: results and records in, plain values in the order of reading out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.measure.account import explained
from harness.measure.phases import PathStep, Phase, path, phases
from harness.report import brief, model, sizemap
from harness.report.against import Against, against
from harness.report.flame import Flame, flame
from harness.report.read import RunContents, ShownBoot
from harness.report.sizemap import Map, SizePart
from harness.report.waterfall import Waterfall, waterfall
from harness.report.words import DIGEST, data, megabytes, moment, ms, plural
from harness.run.folder import RunFolder
from harness.run.outcome import KINDS
from harness.run.results_model import CaseFailure, CellResult, Results
from harness.system.record import BootRecord

WIDE, NARROW = (1080.0, 320.0), (358.0, 420.0)
CHANGED = {"worse": "▲", "better": "▼", "other": "·"}
HOST = {"cpu": "host CPU", "cores": "host cores", "load": "host load", "machine": "host architecture",
        "kernel": "host kernel", "qemu": "QEMU", "accelerator": "wall boots by"}  # fmt: skip
SAME = "the same up to ready, byte for byte"
_MANIFEST: TypeAdapter[model.ShownManifest] = TypeAdapter(model.ShownManifest)


@dataclass(frozen=True)
class Fact:
    """A name and what there is to say; ``code``: as it stands in a file, ``broad``: it may be long."""

    name: str
    value: str
    code: bool = False
    broad: bool = False


@dataclass(frozen=True)
class Status:
    """How something went: a word, a sign, and whether that is good, bad or neither."""

    word: str
    sign: str
    kind: str


@dataclass(frozen=True)
class Meter:
    """How much of a budget is used up. ``filled`` is per cent, at most 100."""

    filled: float
    over: bool
    text: str


@dataclass(frozen=True)
class ShownFigure:
    """A figure with its unit, what it says in words, and how far it is in its budget."""

    name: str
    value: str
    unit: str
    note: str = ""
    meter: Meter | None = None


@dataclass(frozen=True)
class Size:
    """What an image's bytes are spent on, drawn for wide and for narrow pages."""

    total: int
    parts: tuple[SizePart, ...]
    wide: Map
    narrow: Map
    with_files: bool


@dataclass(frozen=True)
class Said:
    """A boot's transcript, or why it is not shown."""

    boot: ShownBoot
    lines: int
    instead: str = ""


@dataclass(frozen=True)
class CellView:
    """A cell's section."""

    number: int
    row: CellResult
    status: Status
    figures: tuple[ShownFigure, ...]
    size_meter: Meter | None
    ready_meter: Meter | None
    total_us: int | None
    waterfall: Waterfall | None
    path: tuple[PathStep, ...]  # to ready
    flame: tuple[Flame, ...]  # for wide and for narrow pages; none without a traced boot
    drawn: str  # which boot the waterfall is of
    exact: bool
    size: Size | None
    said: tuple[Said, ...]
    facts: tuple[Fact, ...]
    packages: tuple[model.ShownPackage, ...]
    notes: tuple[str, ...]
    failures: tuple[CaseFailure, ...]


@dataclass(frozen=True)
class Blame:
    """What there is to say under one heading of the overview."""

    title: str
    kind: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class RunPage:
    """The page of a run."""

    title: str
    results: Results
    status: Status
    sentence: str
    facts: tuple[Fact, ...]
    cells: tuple[CellView, ...]
    gate: model.Gate | None
    against: tuple[Against, ...]
    others: tuple[CaseFailure, ...]
    blame: tuple[Blame, ...]


def page(found: RunContents) -> RunPage:
    """Return what the page of a run shows."""
    results = found.results
    return RunPage(
        title=f"Run of {moment(results.when)}" if results.when else "A run",
        results=results,
        status=_verdict(results),
        sentence=_sentence(results),
        facts=tuple(_head(results)),
        cells=tuple(_cell(number, row, found) for number, row in enumerate(results.cells, 1)),
        gate=found.gate,
        against=tuple(map(against, found.gate.cells)) if found.gate else (),
        others=results.other.failures,
        blame=tuple(_blame(found)),
    )


def _blame(found: RunContents) -> Iterator[Blame]:
    """Yield what went wrong by whose hand it was, and what is different from the run before."""
    results = found.results
    told = brief.sort(results)
    passes = [f"{cell.id}: {one.case} passes, though {one.known}" for cell in results.cells for one in cell.passes]
    for title, kind, rows in (
        ("Why it has not passed", "bad", results.outcome.reasons),
        ("What the images broke", "bad", [_line(one) for one in told.product]),
        ("What the lab broke", "bad", [f"{_line(one)} ({one.whose})" for one in told.lab]),
        ("Known", "", told.known),
        ("Not run", "", told.idle),
        ("Since the run before", "", [f"{CHANGED[one.kind]} {one.text}" for one in found.changes]),
        ("To be mended in the plan", "", [*results.notes, *passes]),
    ):
        if rows:
            yield Blame(title, kind, tuple(rows))


def _line(one: brief.Broken) -> str:
    said = (one.message.strip().splitlines() or [""])[0][:200]
    return f"{one.cell}: {one.case}: {said}" if one.cell else f"{one.case}: {said}"


def _verdict(results: Results) -> Status:
    """Return the run's outcome as a badge."""
    return _status(results.outcome.word)


def _status(word: str) -> Status:
    """Return an outcome's or a cell's word with its sign."""
    found = KINDS.get(word)
    return Status(word, found.sign, "" if found.kind == "other" else found.kind) if found else Status(word, "–", "")


def _sentence(results: Results) -> str:
    passed = sum(cell.status == "passed" for cell in results.cells)
    cases = [*(cell.cases for cell in results.cells), results.other.cases]
    counts: Counter[str] = sum((Counter(one.counts) for one in cases), Counter())
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{passed} of {plural(len(results.cells), 'cell')} passed; cases: {told or 'none'}"


def _head(results: Results) -> Iterator[Fact]:
    source = results.source
    if source and source.commit:
        changed = ", with files changed since" if source.changed else ""
        yield Fact("commit", f"{source.commit[:DIGEST]} {source.subject}{changed}", broad=True)
    yield Fact("plan", results.plan or "none: images and machines were given as options", code=bool(results.plan))
    yield Fact("harness", results.harness)
    yield Fact("run", results.run, code=True)
    for name, called in HOST.items():
        values = [str(cell.host[name]) for cell in results.cells if cell.host.get(name)]
        if values:
            yield Fact(called, _span(values) if name == "load" else ", ".join(dict.fromkeys(values)))


def _span(values: Sequence[str]) -> str:
    """Return the least and the greatest of numbers; as they are when one is none."""
    try:
        numbers = sorted(map(float, values))
    except ValueError:
        return ", ".join(dict.fromkeys(values))
    return f"{numbers[0]:g}" if numbers[0] == numbers[-1] else f"{numbers[0]:g} to {numbers[-1]:g}"


def _cell(number: int, row: CellResult, found: RunContents) -> CellView:
    boots = found.boots.get(row.id, ())
    manifest = _manifest(found.manifests.get(row.id))
    drawn = _drawn(row, boots)
    steps = path(phases(drawn.record)) if drawn and drawn.record else []
    exact, wall = row.boot.exact, row.boot.wall
    total = exact.figures.get("total")
    if total is None and exact.ready is not None and exact.power_on is not None:
        total = round((exact.ready + exact.power_on) * 1000)
    size_meter = meter(row.size / 1e6 if row.size is not None else None, row.budget.size, "MB")
    ready_meter = meter(exact.ready, row.budget.ready, "ms")
    figures = [
        ShownFigure("power-on to ready", ms(total), "ms", "exact: counted in instructions"),
        ShownFigure("clock zero to ready", f"{exact.ready:.3f}" if exact.ready is not None else "–", "ms",
               _repeats(row), ready_meter),
        ShownFigure("shipped", megabytes(row.size), "MB", "kernel and initrd", size_meter),
        ShownFigure("wall time to ready", f"{wall.ready:.0f}" if wall.ready is not None else "–", "ms",
               "by the host's clock, under its load"),
    ]  # fmt: skip
    return CellView(
        number=number,
        row=row,
        status=_status(row.status),
        figures=tuple(figures),
        size_meter=size_meter,
        ready_meter=ready_meter,
        total_us=total,
        waterfall=waterfall(_phases(drawn.record, boots), steps) if drawn and drawn.record else None,
        path=tuple(steps),
        flame=tuple(_flames(boots)),
        drawn=drawn.name if drawn else "",
        exact=bool(drawn and drawn.record and drawn.record.mode == "exact"),
        size=_size(row, manifest),
        said=tuple(_said(boots, same=row.exact_repeats is True)),
        facts=tuple(_facts(row, manifest)),
        packages=tuple(one for one in manifest.packages if one.used != 0) if manifest else (),
        notes=tuple(boot.problem for boot in boots if boot.problem),
        failures=tuple(_nearer(failure, row.id) for failure in row.failures),
    )


def _nearer(failure: CaseFailure, cell: str) -> CaseFailure:
    """Let a failure name its transcript as it lies in the run's folder, wherever that is by now."""
    return failure.model_copy(update={"transcript": RunFolder.relative(failure.transcript, cell)})


def _repeats(row: CellResult) -> str:
    if row.exact_repeats:
        return "exact: two boots agreed to the microsecond"
    if row.exact_repeats is False:
        where = f", first in {row.boot.exact.moved}" if row.boot.exact.moved else ""
        return f"NOT exact: two boots did not agree{where}"
    return "no exact boot came to ready"


def meter(value: float | None, budget: float | None, unit: str) -> Meter | None:
    """Return how much of a budget a figure is; None where there is no budget or no figure."""
    if value is None or not budget or budget < 0:
        return None
    share = value / budget
    text = f"{share:.0%} of {budget:g} {unit} allowed" if share <= 1 else f"over the {budget:g} {unit} allowed"
    return Meter(min(100.0, share * 100), share > 1, text)


def _drawn(row: CellResult, boots: Sequence[ShownBoot]) -> ShownBoot | None:
    """Return the boot that the cell's exact figures are of, else one of the host's clock."""
    ready = round(row.boot.exact.ready * 1000) if row.boot.exact.ready is not None else None

    def rank(boot: ShownBoot) -> int:
        record = boot.record
        if record is None or all(mark.guest_us is None for mark in record.milestones):
            return 0
        return (3 if record.ready_us == ready else 2) if record.mode == "exact" else boot.name.startswith("wall")

    best = max(boots, key=rank, default=None)
    return best if best and rank(best) else None


def _phases(record: BootRecord, boots: Sequence[ShownBoot]) -> list[Phase]:
    """Return a boot's phases, with the kernel's steps in them where a boot of the cell has told those."""
    plain = phases(record)
    told = next((boot for boot in boots if boot.steps and boot.record), None)
    if record.mode != "exact" or told is None or told.record is None:
        return plain
    return explained(plain, phases(told.record), told.steps)


def _flames(boots: Sequence[ShownBoot]) -> Iterator[Flame]:
    stacks = next((boot.stacks for boot in boots if boot.stacks), {})
    drawings = (flame(stacks, width) for width, _ in (WIDE, NARROW))
    yield from (one for one in drawings if one is not None)


def _size(row: CellResult, manifest: model.ShownManifest | None) -> Size | None:
    parts = sizemap.parts(row.sizes, manifest.raw if manifest else None)
    if not parts:
        return None
    return Size(
        total=sum(part.size for part in parts),
        parts=parts,
        wide=sizemap.layout(parts, *WIDE),
        narrow=sizemap.layout(parts, *NARROW),
        with_files=any(part.parts for part in parts),
    )


def _said(boots: Sequence[ShownBoot], *, same: bool) -> Iterator[Said]:
    for boot in boots:
        if boot.transcript is None:
            continue
        folder, _, number = boot.name.rpartition("/")
        if same and folder.startswith("exact") and number == "2":
            yield Said(boot, 0, f"{folder}/1 and this one are {SAME}")
        else:
            yield Said(boot, boot.transcript.head.count("\n") + boot.transcript.tail.count("\n"))


def _manifest(found: Mapping[str, Any] | None) -> model.ShownManifest | None:
    if not found:
        return None
    try:
        packages = [{**row, "used": row.get("files")} for row in found.get("packages", ())]
        return _MANIFEST.validate_python({**found, "packages": packages, "raw": found})
    except (ValidationError, AttributeError, TypeError):
        return None


def _facts(row: CellResult, manifest: model.ShownManifest | None) -> Iterator[Fact]:
    for mode, key in (("exact", row.boot.exact.key), ("wall", row.boot.wall.key)):
        for name in ("machine", "cpu", "accel", "qemu", "cmdline"):
            if key.get(name):
                yield Fact(f"{mode}: {name}", key[name], code=name == "cmdline")
    if reason := row.host.get("accelerator_reason"):
        yield Fact("why that accelerator", str(reason))
    if row.spec:
        yield Fact("SHA-256 of the YAML", row.spec, code=True)
    for name, digest in row.files.items():
        yield Fact(f"SHA-256 of {name}", digest, code=True)
    if manifest:
        yield Fact("kernel", manifest.kernel)
        yield Fact("kernel's words of the image", manifest.cmdline, code=True)
        yield Fact("Debian suite", manifest.suite)
        paths = f", {plural(manifest.root.paths, 'path')}" if manifest.root.paths is not None else ""
        yield Fact("root", f"{manifest.compression}, {data(manifest.root.size)}{paths}")
    elif row.files:
        yield Fact("manifest", "not here: the image's folder has gone since, or holds another image")
