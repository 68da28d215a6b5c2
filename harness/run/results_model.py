"""What results.json holds: the one definition, from which its tables in docs/results.md and its JSON Schema are made.

What an older harness did not write has the value for nothing, and keys that this one does not know are left out.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from harness.build.settings import Settings

SCHEMA = 1
PASSED, FAILED, NOT_RUN, INCOMPLETE = "passed", "failed", "not run", "incomplete"
NOT_SELECTED = "not selected"
LAB_FAILED = "lab failed"  # nothing speaks against the image: its machine or this host failed
FINISHED = (PASSED, FAILED)  # what a run that goes on does not repeat: the lab's faults it does
KNOWN, SKIPPED = "known", "skipped"  # of cases: `known` is one whose failure is known
SAME, BETTER, WORSE, NOT_JUDGED = "same", "better", "worse", "not judged"
NOT_PAIRED = "not judged by pairs of boots"


class ResultModel(BaseModel):
    """A part of results.json."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True, defer_build=True)


def _unit(text: str) -> Any:
    return {"unit": text}


Texts = dict[str, str]


class ExactTimes(ResultModel):
    """What two exact boots took."""

    ready: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(
        None, description="from the kernel's clock zero to `ready`, counted in instructions (docs/architecture.md)"
    )
    power_on: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(
        None, description="from power-on to that zero, counted the same way"
    )
    figures: Annotated[dict[str, int], Field(json_schema_extra=_unit("µs"))] = Field(
        {},
        description="`ready`, `total` (from power-on), each phase, each service from its start to its health, and "
        "`services/NAME cpu`, what its processes used of the processor until then; with `--explain` also, of a traced "
        "boot of its own, who had the processor: `cpu/OWNER` ([who](tutorial-performance.md#who-had-the-processor))",
    )
    key: Texts = Field(
        {},
        description="what figures must share to be compared: machine type, CPU model, memory, accelerator, mode, QEMU "
        "version, command line",
    )
    moved: str = Field("", description="the first mark in which the two exact boots differ; empty when none does")


class WallTime(ResultModel):
    """What the first probed boot took by the host's clock."""

    ready: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(
        None,
        description="from QEMU's start to `ready` by the host's clock, of the first probed boot; it moves with the "
        "host's load",
    )
    key: Texts = Field({}, description="as that of exact times")


class CellBoots(ResultModel):
    """Both kinds of boot."""

    exact: ExactTimes = Field(ExactTimes(), description="")
    wall: WallTime = Field(WallTime(), description="")


class CaseCounts(ResultModel):
    """How many cases came to what; outcomes that other plugins of pytest have are counted under their own names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]

    passed: int = Field(0, description="cases that passed")
    failed: int = Field(0, description="cases that failed; one that could not be set up or cleaned up is one of them")
    skipped: int = Field(0, description="cases that make no sense there, or said so themselves")
    known: int = Field(0, description="cases that failed as the plan knows")

    @property
    def counts(self) -> dict[str, int]:
        """All of them by name."""
        return {name: count for name, count in self.model_dump().items() if isinstance(count, int)}

    @property
    def total(self) -> int:
        """How many cases have an outcome."""
        return sum(self.counts.values())


class CellBudget(ResultModel):
    """What the plan allows; None: no limit."""

    size: Annotated[float | None, Field(json_schema_extra=_unit("MB"))] = Field(
        None, description="the most that is shipped (10^6 bytes)"
    )
    ready: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(
        None, description="the longest exact time to `ready`; null: no limit"
    )
    phases: Annotated[dict[str, float], Field(json_schema_extra=_unit("ms"))] = Field(
        {}, description="the longest of each exact figure that has a limit"
    )


class CaseFailure(ResultModel):
    """A failed case."""

    case: str = Field("", description="pytest's whole node id, parameters included")
    message: str = Field("", description="what it said")
    transcript: str = Field("", description="path of the transcript of the guest it used last; empty without a guest")
    whose: str = Field("", description="by whose fault, where the harness knows: the image, the machine, this host, …")


class KnownCase(ResultModel):
    """A case that failed as the plan knows, or passed though."""

    case: str = Field("", description="pytest's whole node id")
    message: str = Field("", description="what it said; empty when it passed")
    transcript: str = Field("", description="path of the transcript")
    known: str = Field("", description="what the plan says of it: until when, and where it is dealt with")


class PairedTimes(ResultModel):
    """What pairs of exact boots of the baseline's image and of this one showed."""

    answer: str = Field("", description="`same`, `better` or `worse`")
    mean: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(
        None, description="how much longer this image takes than the baseline's, the mean of the pairs"
    )
    low: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(
        None, description="the least that it may truly be, at 99 %"
    )
    high: Annotated[float | None, Field(json_schema_extra=_unit("ms"))] = Field(None, description="the most")
    pairs: int = Field(0, description="how many pairs there were")
    sentence: str = Field("", description="it in words, with the cause where there is one to name")


class CellGate(ResultModel):
    """What `--against` came to for a cell."""

    judged: str = Field("", description="`same`, `better`, `worse`, or `not judged`: then it has not passed either")
    reasons: tuple[str, ...] = Field((), description="in words: which figures, or why nothing could be compared")
    base: str = Field("", description="the run that it was compared with, by its id; empty without one")
    by: str = Field(
        "",
        description="how exact times were judged: `equal` (the baseline's to the microsecond), `pairs` (of boots of "
        "both images), `floor` (single boots, whose difference must exceed a floor); empty: not at all",
    )
    pairs: PairedTimes | None = Field(None, description="what pairs of boots showed; null without any")
    unpaired: str = Field(
        "", description="why there are no pairs where they would have said more, and what to do; the floor judged then"
    )

    @property
    def how(self) -> str:
        """How exact times were judged, where that is to be said: what pairs showed, or why there were none."""
        return f"{NOT_PAIRED}: {self.unpaired}" if self.unpaired else self.pairs.sentence if self.pairs else ""


def labelled(image: str, format_: str) -> str:
    """Return an image's name or path, with its format where that is not the usual one: each is measured by itself."""
    return image if format_ == Settings.format else f"{image} ({format_})"


class CellResult(ResultModel):
    """One image on one machine. Figures are null as long as nothing measured them."""

    id: str = Field(description="image's name and machine's name; ends the names of its cases")
    image: str = Field(
        "",
        description="path of the image's (first) YAML, relative to the current folder or to the harness where it lies "
        "below",
    )
    path: str = Field(
        "",
        description="path of that YAML within its project, by which the history knows the image; empty where it lies "
        "elsewhere",
    )
    format: str = Field(Settings.format, description="what the image was built as ([formats.md](formats.md))")
    machine: str = Field("", description="the machine's name")
    arch: str = Field("", description="its architecture")
    size: Annotated[int | None, Field(json_schema_extra=_unit("bytes"))] = Field(
        None, description="all that is shipped to boot it: kernel and initrd"
    )
    sizes: Annotated[dict[str, int], Field(json_schema_extra=_unit("bytes"))] = Field(
        {},
        description="of each part of it, adding up to `size`: `kernel`, `first stage`, and a component's share of the "
        "compressed root",
    )
    spec: str | None = Field(None, description="the SHA-256 of the image's YAML as it was read")
    files: Texts = Field({}, description="the SHA-256 of each file shipped")
    inputs: Texts = Field(
        {},
        description="what the boot was made of, by name: digests of the image's YAML, of the files that it takes in, "
        "of the machine's YAML and of the lock; the kernel; each package's version (`package NAME`) and each OCI "
        "image's digest (`image REFERENCE`)",
    )
    differs: str = Field(
        "",
        description="by what the image differs between the hosts that have built it, where that is not the same build "
        "everywhere (`harness results merge`)",
    )
    boot: CellBoots = Field(CellBoots(), description="")
    exact_repeats: bool | None = Field(
        None,
        description="true when two exact boots agreed to the microsecond in every mark and in every byte up to `ready`",
    )
    root_readonly: bool | None = Field(
        None, description="true when every case of that verdict passed, false when one failed"
    )
    cases: CaseCounts = Field(CaseCounts(), description="")
    partial: dict[str, int] = Field(
        {},
        description="outcomes that are no case's own, by name: `rerun` (an attempt that another plugin repeated), "
        "`subtests passed`, `subtests failed`",
    )
    status: str = Field(
        "",
        description="`passed`, `failed`, `lab failed` (every failure was a machine's or this host's), `not run` (see "
        "`reason`), `incomplete` (some of its cases did not run: see `unrun`), `not selected` (`-k` or pytest's "
        "arguments picked none of its cases)",
    )
    reason: str = Field(
        "",
        description="why it was not run: what this host lacks, with the package that brings it, or the deadline",
    )
    unrun: tuple[str, ...] = Field((), description="of an incomplete cell the cases that have no outcome")
    gate: CellGate | None = Field(None, description="what `--against` came to; null when nothing was asked")
    budget: CellBudget = Field(CellBudget(), description="")
    failures: tuple[CaseFailure, ...] = Field((), description="one row a failed case")
    known: tuple[KnownCase, ...] = Field(
        (), description="one row a case that failed as the plan knows ([nightly.md](nightly.md))"
    )
    passes: tuple[KnownCase, ...] = Field((), description="one row a case that passed though the plan knows it to fail")
    repeated: tuple[CaseFailure, ...] = Field(
        (), description="one row a case that ran a second time, for the lab had broken it: what was said the first time"
    )
    seconds: Annotated[float, Field(json_schema_extra=_unit("s"))] = Field(
        0.0, description="that its cases took, boots included"
    )
    host: dict[str, str | int | float] = Field(
        {},
        description="of the host as the boots saw it: `cores`, `load` (1 min), `cpu`, `machine`, `kernel`, `qemu` "
        "(version), `accelerator` and `accelerator_reason` of wall boots; `name` where it is one of many ([cluster.md]"
        "(cluster.md))",
    )

    @property
    def label(self) -> str:
        """The image as people tell it from the others of a run."""
        return labelled(self.image, self.format)


class SourceCommit(ResultModel):
    """The git commit of the folder that the plan, or the first image, lies in."""

    commit: str = Field("", description="its id")
    subject: str = Field("", description="its subject")
    changed: bool = Field(False, description="files of the folder have changed since")
    project: str = Field(
        "",
        description="what the project is called on every host: HOST/PATH of its remote, else the beginning of its "
        "first commit; empty where neither is known",
    )


class ShardFacts(ResultModel):
    """Which part of a plan a host ran."""

    number: int = Field(description="which part, from 1")
    of: int = Field(description="of how many")
    every: tuple[str, ...] = Field(description="every cell of the plan")
    split: str = Field(description="a digest of the split")


class OtherCases(ResultModel):
    """What has no cell: cases that ask for no fixture of the harness, and files that could not be collected."""

    cases: CaseCounts = Field(CaseCounts(), description="")
    partial: dict[str, int] = Field({}, description="as of a cell")
    failures: tuple[CaseFailure, ...] = Field((), description="one row a failed case")
    unrun: tuple[str, ...] = Field((), description="those that have no outcome though the run came to its end")


class Outcome(ResultModel):
    """What a run came to: computed once, and what every table, file, message, page and exit code shows."""

    word: str = Field(
        "passed",
        description="`passed`; else the gravest that holds: `could not begin`, `interrupted`, `failed`, `worse`, "
        "`lab failed`, `ended early`, `ended badly`, `incomplete`, `nothing selected`, `not run`, `not judged`, "
        "`no history`",
    )
    exit: int = Field(0, description="the exit code")
    headline: str = Field("", description="it in one line")
    reasons: tuple[str, ...] = Field((), description="one line for each thing that is not as it should be")


class Results(ResultModel):
    """A run."""

    schema_: int = Field(SCHEMA, alias="schema", description="version of this format: 1")
    harness: str = Field("", description="version of the harness")
    when: str = Field("", description="UTC time at which the run began, `YYYY-MM-DDTHH:MM:SSZ`")
    run: str = Field("", description="an id that no other run has")
    plan: str | None = Field(None, description="path of the plan, null when images and machines were given as options")
    source: SourceCommit | None = Field(
        None, description="the git commit of the folder that the plan (or the first image) lies in; null outside of one"
    )
    outcome: Outcome = Field(Outcome(), description="")
    exit: int = Field(
        0,
        description="the outcome's exit code: 0 all passed; 1 some case failed or a figure is worse; 2 no case was "
        "selected; 3 none failed but some cells were not run; 4 no image failed, but a machine or this host did; 8 not "
        "all was judged; 130 interrupted; else the code of what ended the run before its cases "
        "([errors.md](errors.md))",
    )
    interrupted: bool = Field(False, description="true after Ctrl-C, SIGTERM or SIGHUP")
    error: str = Field(
        "", description="what ended the run before its end, or that pytest ended badly though every case passed"
    )
    against: str | None = Field(None, description="what `--against` compared with; null when nothing was asked")
    history: str = Field("", description="why the run is not in the history, or the history could not be asked")
    shard: ShardFacts | None = Field(None, description="null, or which part of a plan it is")
    notes: tuple[str, ...] = Field(
        (),
        description="what a person should know: an entry of `known` that no case answers to, a cell that a run which "
        "went on has repeated, a case that was repeated",
    )
    cells: tuple[CellResult, ...] = Field(description="one row for each image on each machine, in the plan's order")
    other: OtherCases = Field(OtherCases(), description="")

    @property
    def every_count(self) -> list[CaseCounts]:
        """How many cases came to what, of each cell and of what has none."""
        return [*(row.cases for row in self.cells), self.other.cases]

    @property
    def every_failure(self) -> list[CaseFailure]:
        """Each failed case, of cells and of what has none."""
        return [*(one for row in self.cells for one in row.failures), *self.other.failures]
