"""Is the evidence true? Everything in it that can be checked without trusting who made it, but for booting again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import TypeAdapter, ValidationError

from harness import paths
from harness.certify import archive, evidence, judge, statement
from harness.certify.archive import ArchiveMember
from harness.certify.certificate import budget_of
from harness.certify.keys import PublicKey
from harness.certify.statement import Statement
from harness.errors import EvidenceError, HarnessError
from harness.image import MANIFEST, ForeignImage
from harness.launch.exact import compare, moved
from harness.spec.models.profile import Requirement, Waiver
from harness.spec.profile import load_profile
from harness.store import file_digest
from harness.system.listener import Listener
from harness.system.milestones import finder
from harness.system.record import BootRecord
from harness.system.transcript import Transcript

MAX_PARSED = 256 << 20  # bytes of a file that is read into memory
CheckKind = Literal["checked", "re-executed", "not checked", "not re-executed"]
_RECORD: TypeAdapter[BootRecord] = TypeAdapter(BootRecord)
_REQUIREMENTS: TypeAdapter[tuple[Requirement, ...]] = TypeAdapter(tuple[Requirement, ...])
_WAIVERS: TypeAdapter[tuple[Waiver, ...]] = TypeAdapter(tuple[Waiver, ...])


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at: how, and what came of it."""

    how: CheckKind
    text: str


@dataclass(frozen=True)
class Unpacked:
    """An archive whose every bit was checked, its files in `folder`."""

    statement: Statement
    folder: Path

    @property
    def certificate(self) -> dict[str, Any]:
        """The certificate that was signed."""
        return self.statement.certificate

    def content(self, name: str) -> bytes:
        """Return a file's content; EvidenceError when it is not there, or too large to be read at once."""
        sizes = {member.name: member.size for member in self.statement.body.members}
        if name not in sizes:
            raise EvidenceError(f"the archive has no {name}")
        if sizes[name] > MAX_PARSED:
            raise EvidenceError(f"{name} has {sizes[name]} bytes: more than any harness writes")
        return (self.folder / name).read_bytes()


def unpack(path: Path, folder: Path) -> Unpacked:
    """Check every bit of an archive, and put its files into `folder`; EvidenceError names what was changed."""
    with archive.opened(path) as (envelope, stream), ExitStack() as stack:
        found = statement.read(envelope, archive.ENVELOPE)

        def take(member: ArchiveMember) -> IO[bytes]:
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            return stack.enter_context(target.open("wb"))

        archive.read(stream, found.body, take)
    return Unpacked(found, folder)


def check(found: Unpacked, trusted: Sequence[PublicKey]) -> list[CheckResult]:
    """Check all that an archive says against what is in it, and against this harness; EvidenceError: it is not so."""
    members = found.statement.body.members
    try:
        return [
            CheckResult("checked", f"every bit: {len(members)} files, {sum(one.size for one in members) / 1e6:.1f} MB"),
            _signer(found.statement.key, trusted),
            _verdicts(found),
            _image(found),
            *_boots(found),
            _figures(found),
            _profile(found.certificate),
            _cases(found.certificate),
        ]
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError, RecursionError) as error:
        raise EvidenceError(f"the certificate is not one of this harness's: {type(error).__name__}: {error}") from None


def _signer(key: PublicKey, trusted: Sequence[PublicKey]) -> CheckResult:
    if not trusted:
        return CheckResult("not checked", f"who signed: {key.id}; --key FILE with the public keys that you trust")
    if key not in trusted:
        raise EvidenceError(f"it was signed by {key.id}, whom you do not trust",
                            details="\n".join(f"trusted: {one.id}" for one in trusted))  # fmt: skip
    return CheckResult("checked", f"the signature: {key.id}, whom you trust")


def _verdicts(found: Unpacked) -> CheckResult:
    """Judge again, by the outcomes that the run's events tell."""
    made = found.certificate
    if not evidence.same(made, found.content(evidence.CERTIFICATE)):
        raise EvidenceError(f"{evidence.CERTIFICATE} is not the certificate that was signed")
    told = [json.loads(line) for line in found.content(evidence.EVENTS).splitlines()]
    again = judge.judge(
        _REQUIREMENTS.validate_python(_tuples(made["profile"]["requirements"])),
        judge.outcomes(told),
        arch=made["machine"]["arch"],
        conditions=made["conditions"],
        waivers=_WAIVERS.validate_python(_tuples(made["waivers"])),
        today=made["when"][:10],
    )
    rows = json.loads(json.dumps([one.to_json() for one in again]))
    for now, then in zip(rows, made["requirements"], strict=True):
        if now != then:
            raise EvidenceError(f"the certificate calls {then['id']} {then['verdict']}, "
                                f"but what the cases found makes it {now['verdict']}")  # fmt: skip
    outcome = judge.result(again)
    if {outcome} != {made["result"], found.statement.predicate["result"]}:
        raise EvidenceError(f"the certificate says {made['result']}, but what the cases found makes it {outcome}")
    return CheckResult("checked", f"the verdicts: {len(rows)} requirements, judged again by what the cases found")


def _tuples(value: Any) -> Any:
    """Return plain data with tuples for lists, as the models want it."""
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    return {key: _tuples(part) for key, part in value.items()} if isinstance(value, dict) else value


def _image(found: Unpacked) -> CheckResult:
    there = {member.name: {"size": member.size, "sha256": member.sha256} for member in found.statement.body.members}
    for group in (found.certificate["image"]["files"], found.certificate["cases"]["files"]):
        for name, row in group.items():
            if there.get(name) != row:
                raise EvidenceError(f"the certificate speaks of another {name} than the archive has")
    image = evidence.image_of(found.folder, found.certificate["image"])
    if isinstance(image, ForeignImage):
        return CheckResult("checked", "the image: its files are those of the certificate")
    for row in image.manifest["files"]:
        name = f"{evidence.IMAGE}/{row['name']}"
        if row["shipped"] and there.get(name) != {"size": row["size"], "sha256": row["sha256"]}:
            raise EvidenceError(f"the manifest speaks of another {row['name']} than the archive has")
    return CheckResult("checked", "the image: its files are those of the certificate and of its manifest")


# The case that says that what the records of two exact boots tell is the same.
TWICE = "test_boot.py::test_exact_time_twice_the_same"


def _boots(found: Unpacked) -> Iterable[CheckResult]:
    """Check exact boots' records against their consoles' bytes."""
    records = exact_records(found)
    if not records:
        yield CheckResult("not checked", "exact boots: there are none")
        return
    for folder, record in records.items():
        heard = _heard(found, folder)
        if (heard.sha256, heard.sha256_ready) != (record.console_sha256, record.console_sha256_ready):
            raise EvidenceError(f"{folder}/{evidence.RECORD} has other digests than {folder}/{evidence.CONSOLE}")
        if what := moved(heard.milestones, record.milestones):
            raise EvidenceError(f"{folder}/{evidence.RECORD} has another {what!r} than {folder}/{evidence.CONSOLE}")
    ready = next(iter(records.values())).ready_us
    said = found.certificate["figures"]["exact"]["ready"]
    if (None if ready is None else round(ready / 1000, 3)) != said:
        raise EvidenceError(f"the certificate says {said} ms to ready, the record {ready} µs")
    if why := unlike(records):
        for row in found.certificate["requirements"]:
            if any((case["case"], case["outcome"]) == (TWICE, "passed") for case in row["cases"]):
                raise EvidenceError(f"the certificate calls {row['id']} {row['verdict']}, but by its records: {why}")
    marks = len(next(iter(records.values())).milestones)
    stamped = ", and ready" if ready is not None else ""
    yield CheckResult(
        "checked", f"{len(records)} exact boots: {marks} milestones each{stamped}, by their consoles' bytes"
    )


def unlike(records: Mapping[str, BootRecord]) -> str:
    """Return why the exact boots of an archive do not show that the time repeats; empty when they do."""
    if len(records) != len(evidence.EXACT):
        return "it was not booted twice"
    pair = compare(*records.values())
    return "" if pair.repeats else pair.verdict


# Cases whose finding is in the files: what they compare, and with which budget. Sizes in bytes, times in µs.
BUDGETED = {
    "test_size.py::test_size_within_budget": ("size", 1e6),
    "test_boot.py::test_exact_time_within_budget": ("ready", 1e3),
}


def _figures(found: Unpacked) -> CheckResult:
    """Compare the size and the exact time that the archive holds with the budget, where a case says they are within."""
    made = found.certificate
    shipped = [one.size for one in found.statement.body.members if _is_shipped(one.name)]
    records = list(exact_records(found).values())
    figures = {"size": sum(shipped), "ready": _latest([one.ready_us for one in records])}
    if made["image"]["size"] != figures["size"]:
        raise EvidenceError(
            f"the certificate says {made['image']['size']} bytes, the image's files have {figures['size']}"
        )
    said = []
    for row in made["requirements"]:
        for case in row["cases"]:
            name, unit = BUDGETED.get(case["case"], ("", 1.0))
            value, most = figures.get(name), made["budget"].get(name)
            if case["outcome"] != "passed" or not name:
                continue
            if value is None or most is None or value > most * unit:
                raise EvidenceError(
                    f"the certificate calls {row['id']} {row['verdict']}, but {name} is not within {most}"
                )
            said.append(f"{name} {value / unit:.3f} of {most:g} {'MB' if name == 'size' else 'ms'}")
    return CheckResult(
        "checked", f"the budget, by the files and the records: {', '.join(said) or 'nothing is judged by it'}"
    )


def _latest(times: Sequence[int | None]) -> int | None:
    """Return the latest of some times; None when one is not known, or there is none."""
    known = [one for one in times if one is not None]
    return max(known, default=None) if len(known) == len(times) else None


def _is_shipped(name: str) -> bool:
    return name.startswith(f"{evidence.IMAGE}/") and name != f"{evidence.IMAGE}/{MANIFEST}"


def expired(made: Mapping[str, Any], today: str) -> list[CheckResult]:
    """Return what there is to say of waivers that a certificate rests on and that have ended since."""
    rows = [row for row in made["requirements"] if row["verdict"] == "waived" and row["waiver"]["until"] < today]
    return [
        CheckResult("checked", f"the waiver of {row['id']} has ended on {row['waiver']['until']}: today it would fail")
        for row in rows
    ]


def exact_records(found: Unpacked) -> dict[str, BootRecord]:
    """Return the records of the exact boots by their folders."""
    names = {member.name for member in found.statement.body.members}
    made = {}
    for boot in evidence.EXACT:
        folder = f"{evidence.BOOTS}/{boot}"
        if f"{folder}/{evidence.RECORD}" in names:
            data = json.loads(found.content(f"{folder}/{evidence.RECORD}"))
            data.pop("schema")
            made[folder] = _RECORD.validate_python(data)
    return made


def _heard(found: Unpacked, folder: str) -> Listener:
    """Read a console's bytes as they were read then."""
    name = f"{folder}/{evidence.CONSOLE}"
    image = evidence.image_of(found.folder, found.certificate["image"])
    heard = Listener(Transcript(found.folder / f"{folder}/again.txt", {}), finder(image))
    heard.feed(found.content(name), 0.0)
    heard.flush(0.0)
    return heard


def _profile(made: Mapping[str, Any]) -> CheckResult:
    profile = made["profile"]
    label = f"the profile {profile['name']} {profile['version']} ({profile['digest'][:12]})"
    try:
        own = load_profile(Path(profile["name"]).name)
    except HarnessError:
        return CheckResult("not checked", f"{label} is none of this harness's: read it in the archive")
    if own.digest != profile["digest"]:
        return CheckResult(
            "not checked", f"{label} is not this harness's {own.name} {own.version}: read it in the archive"
        )
    if [one.model_dump(mode="json") for one in own.requirements] != profile["requirements"]:
        raise EvidenceError(f"the certificate's requirements are not those of {label}")
    if budget_of(own, made["machine"]["name"], made["machine"]["arch"]).model_dump() != made["budget"]:
        raise EvidenceError(f"the certificate's budget is not that of {label}")
    return CheckResult("checked", f"{label}: it is this harness's own")


def _cases(made: Mapping[str, Any]) -> CheckResult:
    folder = f"{evidence.CASES}/"
    differ = [
        name
        for name, row in made["cases"]["files"].items()
        if not (own := paths.CASES / name.removeprefix(folder)).is_file() or file_digest(own) != row["sha256"]
    ]
    if differ:
        return CheckResult("not checked", f"cases that are not this harness's: {', '.join(differ)}")
    return CheckResult("checked", f"the cases: all {len(made['cases']['files'])} files are this harness's own")
