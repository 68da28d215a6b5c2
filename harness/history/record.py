"""What the history keeps of a run, as one line of JSON; and how it is taken out of results.json. Pure.

A cell is one image on one machine. Of it are kept the exact figures (µs, only when both exact boots agreed), the wall
time to ready (µs) and the sizes (bytes), each with the key that figures must share to be compared. Of the kernel's
steps those are kept that take `LEAST_STEP_US`: the hundreds that take less could not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from harness.errors import UserError
from harness.history import keys
from harness.measure.compare import is_step
from harness.run.results_model import CellResult, Results, SourceCommit

TOTAL, READY = "total", "ready"
LEAST_STEP_US = 100  # the least that any change must exceed to count (`measure.floor`)
FigureMode = Literal["exact", "wall", "size"]


def _moment(text: str) -> str:
    keys.seconds(text)
    return text


# PostgreSQL's text cannot hold NUL
BoundedText = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]
NameText = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Uid = Annotated[str, StringConstraints(min_length=8, max_length=100, pattern=r"^[\w.-]+$")]
MomentText = Annotated[str, AfterValidator(_moment)]
Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Figures = Annotated[dict[NameText, Number], Field(min_length=1, max_length=10_000)]
Key = Annotated[dict[NameText, BoundedText], Field(max_length=50)]


class HistoryRecord(BaseModel):
    """Something that is never changed, and has no more keys than it should."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CommitRecord(HistoryRecord):
    """The commit that a run was about."""

    commit: BoundedText = ""
    subject: BoundedText = ""
    changed: bool = False
    project: BoundedText = ""


class Measured(HistoryRecord):
    """Figures that share a key; those of a size have none."""

    mode: FigureMode
    key: Key = {}
    figures: Figures


class CellRecord(HistoryRecord):
    """One image on one machine."""

    image: NameText
    machine: NameText
    arch: NameText
    spec: BoundedText = ""
    inputs: Annotated[dict[NameText, BoundedText], Field(max_length=20_000)] = {}
    measured: Annotated[list[Measured], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({one.mode for one in self.measured}) < len(self.measured):
            raise ValueError("a mode is there twice")
        return self


class BaselineRecord(HistoryRecord):
    """The run as a baseline."""

    image: BoundedText = ""
    machine: BoundedText = ""
    reason: BoundedText
    who: BoundedText
    when: MomentText


class RunLine(HistoryRecord):
    """A run with all that was measured, and the baselines made of it."""

    kind: Literal["run"] = "run"
    run: Uid
    when: MomentText
    harness: BoundedText = ""
    plan: BoundedText | None = None
    source: CommitRecord = CommitRecord()
    note: BoundedText = ""
    ack: BoundedText = ""
    cells: Annotated[list[CellRecord], Field(max_length=10_000)]
    baselines: Annotated[list[BaselineRecord], Field(max_length=10_000)] = []

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({(cell.image, cell.machine) for cell in self.cells}) < len(self.cells):
            raise ValueError("an image on a machine is there twice")
        return self

    @property
    def at(self) -> int:
        """When it began, in seconds since 1970."""
        return keys.seconds(self.when)


class FloorLine(HistoryRecord):
    """A calibrated floor, in µs; ``key`` is a digest."""

    kind: Literal["floor"] = "floor"
    image: NameText
    machine: NameText
    figure: NameText
    key: BoundedText
    us: Annotated[int, Field(ge=0, lt=2**63)]
    how: BoundedText
    when: MomentText


class OutcomeLine(HistoryRecord):
    """Which cases failed on one image and machine in a run; ``digest`` is of the image's bytes."""

    kind: Literal["outcome"] = "outcome"
    run: Uid
    when: MomentText
    image: NameText
    machine: NameText
    digest: BoundedText
    failed: Annotated[list[NameText], Field(max_length=10_000)]


class VerdictLine(HistoryRecord):
    """What the gate has said of one image on one machine in a run; ``base`` is the run that it was compared with."""

    kind: Literal["verdict"] = "verdict"
    run: Uid
    when: MomentText
    image: NameText
    machine: NameText
    base: BoundedText = ""
    answer: Literal["same", "better", "worse", "not judged"]
    by: Literal["", "equal", "pairs", "floor"] = ""
    said: BoundedText = ""
    us: Number | None = None
    low: Number | None = None
    high: Number | None = None
    pairs: Annotated[int, Field(ge=0, lt=2**31)] | None = None


def of_results(results: Results) -> RunLine:
    """Return what the history keeps of a run; UserError when it cannot keep that."""
    try:
        source = results.source or SourceCommit()
        return RunLine(
            run=results.run,
            when=results.when,
            harness=results.harness,
            plan=results.plan,
            source=CommitRecord(
                commit=source.commit, subject=source.subject[:1000], changed=source.changed, project=source.project
            ),
            cells=list(_cells(results.cells)),
        )
    except ValidationError as error:
        raise UserError(f"results that the history cannot keep: {explained(error)}") from None


def _cells(rows: Iterable[CellResult]) -> Iterator[CellRecord]:
    for image, row in keys.pairs_of(rows):
        measured = list(_measured(row))
        if measured:
            yield CellRecord(image=image, machine=row.machine, arch=row.arch, spec=row.spec or "",
                       inputs=row.inputs, measured=measured)  # fmt: skip


def _measured(row: CellResult) -> Iterator[Measured]:
    exact, wall = row.boot.exact, row.boot.wall
    if row.exact_repeats and exact.figures and exact.key:
        yield Measured(mode="exact", key=exact.key, figures=_worth(exact.figures))
    if wall.ready is not None and wall.key:
        # the host is not in the results' key, and seconds of two hosts are not of one series
        host = {f"host {name}": str(row.host[name]) for name in ("cpu", "cores") if name in row.host}
        yield Measured(mode="wall", key={**wall.key, **host}, figures={READY: round(wall.ready * 1000)})
    if row.size is not None:
        yield Measured(mode="size", figures={TOTAL: row.size, **row.sizes})


def _worth(figures: Mapping[str, int]) -> dict[str, int]:
    return {name: us for name, us in figures.items() if us >= LEAST_STEP_US or not is_step(name)}


def explained(error: ValidationError) -> str:
    """Return the first of pydantic's complaints as ``where: what``."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part)[:60] for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
