"""Is the evidence true? Everything in it that can be checked without trusting who made it, but for booting again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from harness.certify import archive, bill, contents, derive, identity, recipe, recomputed, records, sources, statement
from harness.certify.certificate import VENDORS_WORD, Certificate, ExactFacts, validated
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.derive import Derived
from harness.certify.keys import PublicKey
from harness.certify.speakers import speakers
from harness.certify.statement import Statement
from harness.errors import EvidenceError, HostError
from harness.image import Image
from harness.launch.exact import compare
from harness.system.record import BootRecord

SPARE_BYTES = 256 << 20  # of disk that stay free beside what is unpacked
GUESTS_WORD = "when it was ready: the guest tells it, for nothing left it by which the emulator's clock could"
CheckKind = Literal["checked", "re-executed", "rebuilt", "not checked", "not re-executed", "vendor's word"]


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at: how, and what came of it. ``lacks`` names what is missing for a whole verdict."""

    how: CheckKind
    text: str
    lacks: str = ""


@dataclass(frozen=True)
class Unpacked:
    """An archive whose every bit was checked, its files in `folder`."""

    statement: Statement
    folder: Path

    @property
    def certificate(self) -> dict[str, Any]:
        """The certificate that was signed, as it stands there."""
        return self.statement.certificate

    @property
    def files(self) -> EvidenceFiles:
        """Its files."""
        return EvidenceFiles(self.folder, {one.name: one for one in self.statement.body.members})

    def content(self, name: str) -> bytes:
        """Return a file's content; EvidenceError when it is not there."""
        return self.files.content(name)


@dataclass(frozen=True)
class CheckedEvidence:
    """Evidence in which nothing contradicts anything: what follows from its files, and what was looked at."""

    derived: Derived
    findings: list[CheckResult] = field(default_factory=list)


def unpack(path: Path, folder: Path, trusted: Sequence[PublicKey] = ()) -> Unpacked:
    """Check every bit of an archive, and put its files into `folder`; EvidenceError names what was changed.

    With `trusted` keys nothing is unpacked that none of them has signed. UserError: it is not an evidence archive;
    HostError: there is no room for it.
    """
    with archive.opened(path) as (envelope, stream):
        found = statement.read(envelope, archive.ENVELOPE, trusted)
        folder.mkdir(parents=True, exist_ok=True)
        need, free = sum(one.size for one in found.body.members) + SPARE_BYTES, shutil.disk_usage(folder).free
        if need > free:
            raise HostError(
                f"{path} unpacks to {need / 1e6:.0f} MB, and {folder} has room for {free / 1e6:.0f}",
                hint="TMPDIR names a folder with more room",
            )

        def take(member: ArchiveMember) -> IO[bytes]:
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            return target.open("wb")

        archive.read(stream, found.body, take)
    return Unpacked(found, folder)


def check(found: Unpacked, trusted: Sequence[PublicKey]) -> CheckedEvidence:
    """Check all that an archive says against what is in it, and against this harness; EvidenceError: it is not so."""
    files = found.files
    signed = validated(found.certificate)
    made = derive.checked(files, sources.read_all(files), signed.qemu)
    for _, agree in agreements(found, made, signed):
        agree()
    count = recomputed.check(made, files)
    rows = made.certificate.requirements
    figures = made.certificate.figures.exact
    results = [
        *sound(found, trusted),
        CheckResult("checked", "the certificate: all of it follows from the files, but for the vendor's word"),
        CheckResult(
            "checked", f"the verdicts: {len(rows)} requirements, judged again; {count} cases were computed again"
        ),
        CheckResult(
            "checked", f"the image: {made.certificate.image.digest}, its files are those of its {_source(made)}"
        ),
    ]
    if made.exact:
        marks = len(next(iter(made.exact.values())).milestones)
        stamped = f", and {when(figures)}" if figures.ready is not None else ""
        text = f"{len(made.exact)} exact boots: {marks} milestones each{stamped}, by their consoles' bytes"
        results.append(CheckResult("checked", text))
        if figures.told == "guest":
            results.append(CheckResult("not checked", GUESTS_WORD))
    else:
        results.append(CheckResult("not checked", "exact boots: there are none"))
    return CheckedEvidence(made, results)


def sound(found: Unpacked, trusted: Sequence[PublicKey]) -> list[CheckResult]:
    """Return what was found of an archive's bits and of who signed them: that is the same in every version."""
    members = found.statement.body.members
    return [
        CheckResult("checked", f"every bit: {len(members)} files, {sum(one.size for one in members) / 1e6:.1f} MB"),
        _signer(found.statement.key, trusted),
    ]


def agreements(found: Unpacked, made: Derived, signed: Certificate) -> tuple[tuple[str, Callable[[], None]], ...]:
    """Return what must agree with what follows from an archive's files, by name: each raises EvidenceError if not."""
    return (
        ("which QEMU it was", lambda: _qemu(made, signed)),
        ("the certificate", lambda: _derived(found, made)),
        ("what was signed beside the certificate", lambda: _signed(found, made)),
        ("the bill of materials, the lock, and that each file has a meaning", lambda: _accounted(made, found.files)),
    )


def _derived(found: Unpacked, made: Derived) -> None:
    if faults := list(derive.differences(found.certificate, made.certificate.to_json())):
        raise EvidenceError(f"the certificate is not what its files give: {faults[0]}", details="\n".join(faults[1:20]))


def _accounted(made: Derived, files: EvidenceFiles) -> None:
    """Check that every file of an archive belongs to something in it; EvidenceError names one that does not."""
    if isinstance(made.sources.image, Image):
        bill.agree(made.sources.image, files)  # which finds a manifest's packages as they should be
        recipe.check_lock(files, made.sources.image.manifest)
    wanted = {f"{contents.BOOTS}/{boot}/{name}" for boot in made.records for name in records.kept(boot)}
    there = set(files.below(contents.BOOTS))
    if missing := sorted(wanted - there):
        raise EvidenceError(f"the archive has no {missing[0]}")
    strays = sorted({*(there - wanted), *(set(files.below(contents.SOURCES)) - recipe.sources_of(files))})
    if strays:
        raise EvidenceError(f"the archive holds {strays[0]}, which nothing in it speaks of")


def when(figures: ExactFacts) -> str:
    """Return when exact boots were ready: by the kernel's clock, and since power-on where that is known."""
    assert figures.ready is not None
    whole = f", {figures.ready + figures.power_on:.3f} ms after power-on" if figures.power_on else ""
    return f"ready at {figures.ready:.3f} ms{whole}"


def vendors_word(made: Derived) -> list[CheckResult]:
    """Return what cannot be computed, by name."""
    who = speakers(made.sources.image.manifest) if made.exact else ""
    return [CheckResult("vendor's word", text) for text in (*VENDORS_WORD, *filter(None, [who]))]


def _source(made: Derived) -> str:
    return "YAML" if made.certificate.image.foreign else "manifest"


def _signer(key: PublicKey, trusted: Sequence[PublicKey]) -> CheckResult:
    if not trusted:
        return CheckResult(
            "not checked", f"who signed: {key.id}; --key FILE with the public keys that you trust", "who signed (--key)"
        )
    if key not in trusted:
        raise EvidenceError(f"it was signed by {key.id}, whom you do not trust",
                            details="\n".join(f"trusted: {one.id}" for one in trusted))  # fmt: skip
    return CheckResult("checked", f"the signature: {key.id}, whom you trust")


def _qemu(made: Derived, signed: Certificate) -> None:
    """Compare which QEMU the certificate names with what the records say."""
    program = made.sources.image.arch.qemu
    if (made.sources.machine.qemu is None) != (signed.qemu is None) or (signed.qemu and signed.qemu.program != program):
        raise EvidenceError("the certificate names another QEMU than the machine has")
    for boot, record in made.records.items():
        said = signed.qemu.model_dump(mode="json") if signed.qemu else {}
        if signed.qemu and identity.of_record(record, program) != said:
            raise EvidenceError(f"the certificate names another QEMU, or other firmware, than the record of {boot}")


def _signed(found: Unpacked, made: Derived) -> None:
    """Compare what was signed beside the certificate, and the certificate's file."""
    plain = made.certificate.to_json()
    if statement.payload(found.statement.body, plain, found.statement.key) != found.statement.signed:
        raise EvidenceError(f"{archive.ENVELOPE} says of the tests what the certificate does not")
    if found.content(contents.CERTIFICATE) != as_json(plain):
        raise EvidenceError(f"{contents.CERTIFICATE} is not the certificate that was signed")


def as_json(made: Mapping[str, Any]) -> bytes:
    """Return a certificate's file."""
    return json.dumps(made, indent=1, sort_keys=True).encode() + b"\n"


def unlike(records: Mapping[str, BootRecord]) -> str:
    """Return why the exact boots of an archive do not show that the time repeats; empty when they do."""
    if len(records) != len(contents.EXACT):
        return "it was not booted twice"
    pair = compare(*records.values())
    return "" if pair.repeats else pair.verdict


def expired(made: Certificate, today: str) -> list[CheckResult]:
    """Return what there is to say of waivers that a certificate rests on and that have ended since."""
    return [
        CheckResult("checked", f"the waiver of {row.id} has ended on {row.waiver.until}: today it would fail")
        for row in made.requirements
        if row.verdict == "waived" and row.waiver and row.waiver.until < today
    ]
