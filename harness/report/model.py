"""What a page reads: results.json and gate.json as typed data, older ones too. Keys: docs/results.md."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError

# What cannot be said in UTF-8 has no place in a page.
Plain = dict[str, str]


class ShownRow(BaseModel):
    """Something that was read. What an older harness did not write has the value for nothing; other keys are left."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class Exact(ShownRow):
    """Exact times: ms from the kernel's clock zero and before it, and every figure in µs."""

    ready: float | None = None
    power_on: float | None = None
    figures: dict[str, int] = {}
    key: Plain = {}
    moved: str = ""


class Wall(ShownRow):
    """The host's time to ready, in ms."""

    ready: float | None = None
    key: Plain = {}


class Times(ShownRow):
    """Both kinds of boot."""

    exact: Exact = Exact()
    wall: Wall = Wall()


class Cases(ShownRow):
    """How many cases came to what."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    known: int = 0


class ShownBudget(ShownRow):
    """What the plan allows: MB and exact ms."""

    size: float | None = None
    ready: float | None = None


class CaseFailure(ShownRow):
    """A failed case, with the path of the transcript that tells of it."""

    case: str = ""
    message: str = ""
    transcript: str = ""
    whose: str = ""


class KnownCase(ShownRow):
    """A case whose failure is known, and what is said of it."""

    case: str = ""
    message: str = ""
    known: str = ""


class ShownCell(ShownRow):
    """One image on one machine."""

    id: str
    image: str = ""
    machine: str = ""
    arch: str = ""
    size: int | None = None
    sizes: dict[str, int] = {}
    spec: str | None = None
    files: Plain = {}
    boot: Times = Times()
    exact_repeats: bool | None = None
    root_readonly: bool | None = None
    cases: Cases = Cases()
    status: str = ""
    reason: str = ""
    budget: ShownBudget = ShownBudget()
    failures: tuple[CaseFailure, ...] = ()
    known: tuple[KnownCase, ...] = ()
    passes: tuple[KnownCase, ...] = ()
    host: Plain = {}


class ShownCommit(ShownRow):
    """The commit of the plan's folder; ``changed``: its files were others."""

    commit: str = ""
    subject: str = ""
    changed: bool = False


class Other(ShownRow):
    """Cases without a cell."""

    cases: Cases = Cases()
    failures: tuple[CaseFailure, ...] = ()


class Results(ShownRow):
    """A run."""

    harness: str = ""
    when: str = ""
    run: str = ""
    plan: str | None = None
    source: ShownCommit | None = None
    exit: int = 0
    interrupted: bool = False
    error: str = ""
    notes: tuple[str, ...] = ()
    cells: tuple[ShownCell, ...]
    other: Other = Other()


class Moved(ShownRow):
    """A figure beyond its floor: µs, or bytes of a size."""

    figure: str
    old: int
    new: int
    floor: int = 0


class GateResult(ShownRow):
    """What became of a cell against the baseline."""

    image: str
    machine: str
    compared: int = 0
    slower: tuple[Moved, ...] = ()
    larger: tuple[Moved, ...] = ()
    better: tuple[Moved, ...] = ()
    notes: tuple[str, ...] = ()


class Gate(ShownRow):
    """The judgement of a run against a baseline."""

    against: str
    passed: bool
    cells: tuple[GateResult, ...] = Field(default=())


class ShownPackage(ShownRow):
    """A Debian package of an image."""

    name: str
    version: str
    arch: str = ""
    used: int | None = None  # of its files, those that are in the image


class ShownRoot(ShownRow):
    """The compressed root filesystem."""

    size: int
    paths: int | None = None


class ShownManifest(ShownRow):
    """What an image is made of. ``raw`` is all of it, for what makes it large."""

    name: str
    kernel: str = ""
    cmdline: str = ""
    suite: str = ""
    compression: str = ""
    root: ShownRoot
    packages: tuple[ShownPackage, ...] = ()
    raw: dict[str, Any]


def sound(value: Any) -> Any:
    """Return JSON's data with halves of surrogates, which no file can hold, as escapes."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sound(key): sound(one) for key, one in value.items()}
    return [sound(one) for one in value] if isinstance(value, list) else value


def results(found: Any, called: str) -> Results:
    """Return a results.json's data; UserError, naming `called`, when it is none."""
    try:
        return Results.model_validate(sound(found))
    except ValidationError as error:
        raise UserError(f"{called}: not a run's results: {first(error)}", hint="a folder of `harness matrix`") from None


def first(error: ValidationError) -> str:
    """Return the first of pydantic's complaints as ``where: what``."""
    one = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part)[:60] for part in one["loc"])
    return f"{where}: {one['msg']}" if where else one["msg"]
