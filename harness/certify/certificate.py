"""A certificate: what was judged, by which profile, on what, and how it came out. Its fields, typed; no file is read.

All of it but what `VENDORS_WORD` names follows from the archive's other files (`derive`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from harness.certify.judge import CertificateResult, RequirementVerdict
from harness.certify.statement import canonical
from harness.errors import EvidenceError
from harness.spec.models.base import Model, Strings
from harness.spec.models.plan import Budget
from harness.spec.models.profile import Applicability, Level, Requirement, Waiver

SCHEMA = 2
# What no reader can compute, in words: the verifier and the page list it.
VENDORS_WORD = (
    "when it was made",
    "the host: processor, kernel, load, and every time by its clock",
    "the version of the harness that made it",
    "what each case came to, and what it said, but for what the files show",
    "the transcripts of boots in wall time",
    "that the system was ready when it said so: the emulator tells when it was said",
    "when its kernel's clock began, from which ready is counted: the time after power-on is the emulator's",
    "which QEMU booted it, unless this host has the same",
    "what the manifest and the bill of materials say of components, packages and declarations, unless it was rebuilt",
)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
TimeSource = Literal["emulator", "guest"]


class FileFacts(Model):
    """A file's size in bytes, and its digest."""

    size: Count
    sha256: Sha256


class ProfileFacts(Model):
    """The profile with all that it extends."""

    name: str
    version: int
    digest: Sha256
    description: str
    requirements: tuple[Requirement, ...]


class ImageFacts(Model):
    """The image. ``digest`` stands for all its files, ``spec`` for the YAML it was made from; ``size`` is in bytes."""

    name: str
    arch: str
    size: Count
    digest: Sha256
    spec: Sha256
    foreign: bool
    files: dict[str, FileFacts]


class MachineFacts(Model):
    """The machine, and the SHA-256 of its YAML."""

    name: str
    arch: str
    digest: Sha256


class CasesFacts(Model):
    """The files that the cases are in."""

    files: dict[str, FileFacts]


class QemuFacts(Model):
    """The QEMU, and the SHA-256 of it and of each firmware file that it loaded."""

    program: str
    version: str
    sha256: Sha256
    firmware: dict[str, Sha256]


class ExactFacts(Model):
    """Figures of the exact boots: ``ready`` and ``power_on`` in ms, ``figures`` in µs, and who told the times."""

    ready: Finite | None
    power_on: Finite | None
    figures: dict[str, int]
    repeats: bool | None
    moved: str
    told: TimeSource | None


class FiguresFacts(Model):
    """The exact figures, and the ms to ready by the host's clock."""

    exact: ExactFacts
    wall: Finite | None


class CaseRow(Model):
    """What a case came to."""

    case: str
    outcome: str
    message: str
    transcript: str


class RequirementRow(Model):
    """A requirement, and what came of it."""

    id: str
    text: str
    level: Level
    verdict: RequirementVerdict
    why: str
    cases: tuple[CaseRow, ...]
    waiver: Waiver | None


class Certificate(Model):
    """The whole certificate."""

    schema_: Annotated[Literal[2], Field(alias="schema")]
    result: CertificateResult
    harness: str
    when: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    profile: ProfileFacts
    conditions: tuple[Applicability, ...]
    budget: Budget
    requirements: tuple[RequirementRow, ...]
    verdicts: dict[str, int]
    waivers: tuple[Waiver, ...]
    image: ImageFacts
    machine: MachineFacts
    cases: CasesFacts
    qemu: QemuFacts | None
    host: dict[str, str | int | float]
    figures: FiguresFacts
    vendors_word: Strings

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return self.model_dump(mode="json", by_alias=True)


def validated(made: object) -> Certificate:
    """Return plain data as a certificate; EvidenceError names the first field that is none."""
    try:
        return Certificate.model_validate_json(canonical(made))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise EvidenceError(
            f"the certificate is not one of this harness's: {place}: {first['msg']}", details=str(error)[:1000]
        ) from None
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"the certificate is not one of this harness's: {str(error)[:200]}") from None
