"""Reads what a page is made of from a run's folder. What is broken there is said on the page, and never ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import ImageError, UserError
from harness.files import read_json
from harness.image import MANIFEST
from harness.measure import account, trace
from harness.measure.phases import Phase, phases
from harness.report import model
from harness.run.changes import RunChange, changes
from harness.run.folder import RunFolder
from harness.run.results import complaint, of_json, sound
from harness.run.results_model import CellResult, Results
from harness.system.record import BootRecord

LARGEST = 64 << 20  # bytes of any one file
HEAD, TAIL = 24 << 10, 40 << 10  # bytes of a transcript
ROOM = 4 << 20  # bytes of all transcripts of a page
STEPS = "steps"  # the folder of the boot that tells step by step
_RECORD: TypeAdapter[BootRecord] = TypeAdapter(BootRecord)
_GATE: TypeAdapter[model.Gate] = TypeAdapter(model.Gate)


@dataclass
class Room:
    """How many bytes of transcripts there is still place for."""

    left: int = ROOM

    def take(self, wanted: int) -> int:
        """Return how many of the wanted bytes may be had."""
        given = min(wanted, self.left)
        self.left -= given
        return given


@dataclass(frozen=True)
class TranscriptExcerpt:
    """A transcript's beginning and end. ``path`` is relative to the run's folder; of ``size`` bytes some are cut."""

    path: str
    size: int
    head: str = ""
    tail: str = ""
    cut: int = 0


@dataclass(frozen=True)
class ShownBoot:
    """A boot of a cell: its folder below the cell's (``exact/1``), its record, and what the guest said.

    ``steps`` and ``stacks`` are who had the processor, of the boot that told it (`harness.measure.account`).
    """

    name: str
    record: BootRecord | None
    transcript: TranscriptExcerpt | None
    problem: str = ""
    steps: tuple[Phase, ...] = ()
    stacks: Mapping[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunContents:
    """What lies in a run's folder. ``boots`` are by cell."""

    results: Results
    gate: model.Gate | None = None
    boots: Mapping[str, tuple[ShownBoot, ...]] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    changes: tuple[RunChange, ...] = ()  # since the run before


def folder(run: RunFolder) -> RunContents:
    """Return what a run's folder has; UserError when there are no results in it."""
    results = of_json(_json(run.results), str(run.results))
    room = Room()
    boots = {}
    # what went wrong has the first say
    for cell in sorted(results.cells, key=lambda cell: not cell.failures):
        boots[cell.id] = tuple(_boots(run, cell, room))
    manifests = {cell.id: _manifest(cell, boots[cell.id]) for cell in results.cells}
    return RunContents(results, _gate(run.gate), boots, manifests, _changes(run.previous, results))


def _json(path: Path) -> Any:
    hint = "the folder of a run: harness matrix --results DIR"
    return read_json(path, partial(UserError, hint=hint), LARGEST)


def _gate(path: Path) -> model.Gate | None:
    try:
        return _GATE.validate_python(sound(_json(path)))
    except (UserError, ValidationError):
        return None


def _changes(path: Path, now: Results) -> tuple[RunChange, ...]:
    try:
        before = of_json(_json(path), str(path))
    except UserError:
        return ()
    return tuple(changes(before, now)) if before.plan == now.plan else ()


def _boots(run: RunFolder, cell: CellResult, room: Room) -> list[ShownBoot]:
    boots = []
    for one in run.boots(cell.id):
        record, problem = _record(one.record)
        name = str(one.path.relative_to(run.cell(cell.id)))
        said = _transcript(one.transcript, run.path, room) if one.transcript.is_file() else None
        found = _stretches(one.console, record) if name == STEPS else []
        steps = account.rows(found, phases(record)) if record else []
        boots.append(ShownBoot(name, record, said, problem, tuple(steps), account.stacks(found)))
    return boots


def _record(path: Path) -> tuple[BootRecord | None, str]:
    if not path.is_file():
        return None, ""
    try:
        return _RECORD.validate_python(sound(_json(path))), ""
    except (UserError, ValidationError) as error:
        said = complaint(error) if isinstance(error, ValidationError) else str(error.message)
        return None, f"{path.name} cannot be read: {said}"


def _stretches(path: Path, record: BootRecord | None) -> list[account.Stretch]:
    try:
        if record is None or record.ready_us is None or path.stat().st_size > LARGEST:
            return []
        return account.stretches(trace.events(path.read_bytes()), record.ready_us)
    except (OSError, ImageError):
        return []  # the page has its transcript, where that can be seen


def _transcript(path: Path, base: Path, room: Room) -> TranscriptExcerpt:
    size = path.stat().st_size
    name = str(path.relative_to(base))
    with path.open("rb") as file:
        if size <= HEAD + TAIL:
            given = room.take(size)
            whole = file.read(given)
            return TranscriptExcerpt(
                name, size, _text(whole if given == size else _whole_lines(whole)), "", size - given
            )
        given = room.take(HEAD + TAIL)
        if given < HEAD + TAIL:
            return TranscriptExcerpt(name, size, cut=size)
        head = _whole_lines(file.read(HEAD))
        file.seek(size - TAIL)
        tail = file.read(TAIL).partition(b"\n")[2]
    return TranscriptExcerpt(name, size, _text(head), _text(tail), size - len(head) - len(tail))


def _whole_lines(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _manifest(cell: CellResult, boots: tuple[ShownBoot, ...]) -> Mapping[str, Any]:
    """Return the manifest of the image that a cell booted, if it is still where it was and still that one."""
    for boot in boots:
        argv = boot.record.argv if boot.record else ()
        kernel = next((word for flag, word in pairwise(argv) if flag == "-kernel"), "")
        try:
            found = _json(Path(kernel).parent / MANIFEST) if kernel else {}
            files = {row["name"]: row["sha256"] for row in found["files"] if row["shipped"]}
        except (UserError, KeyError, TypeError):
            continue
        if cell.files and files == cell.files:
            return dict(found)
    return {}
