"""Evidence that another version of the harness has made: what can be checked of it all the same, and what cannot.

Two versions may write the same thing in two ways, so what this one finds otherwise is no lie: it is named, and the
evidence is called neither true nor false. Bits, signature and what a verifier expects are the same in every version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from harness.certify import contents, derive, expect, maker, outcomes, recomputed, records, sources, verify
from harness.certify.certificate import Certificate, validated
from harness.certify.derive import Derived
from harness.certify.expect import Expectations
from harness.certify.verify import CheckResult, Unpacked
from harness.errors import EvidenceError, HarnessError
from harness.image import MANIFEST

ANOTHER = "what another version of the harness writes otherwise"
# What reading a stranger's files may end with, where no version's rules have been asked before.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass
class Looked:
    """What was found of evidence that another version made; ``made`` is None where its files could not be read."""

    made: Derived | None = None
    findings: list[CheckResult] = field(default_factory=list)

    def ask(self, what: str, check: Callable[[], object]) -> None:
        """Add whether something agrees; where it does not, that this version finds it otherwise."""
        try:
            check()
        except HarnessError as error:
            self.findings.append(otherwise(what, error))
        except UNREADABLE as error:
            self.findings.append(otherwise(what, EvidenceError(f"it cannot be read here ({type(error).__name__})")))
        else:
            self.findings.append(CheckResult("checked", f"{what}: as this version writes it as well"))

    def gather(self, what: str, found: Iterable[CheckResult]) -> None:
        """Add what a search finds, and where it ends early, that this version finds it otherwise."""
        try:
            for one in found:
                self.findings.append(one)
        except EvidenceError as error:
            self.findings.append(otherwise(what, error))
        except UNREADABLE as error:
            self.findings.append(otherwise(what, EvidenceError(f"it cannot be read here ({type(error).__name__})")))


def otherwise(what: str, error: HarnessError) -> CheckResult:
    """Return the finding that this version finds something otherwise than the one that has made it."""
    return CheckResult("not checked", f"{what}: this version finds it otherwise: {error.message[:300]}", ANOTHER)


def who(said: str) -> str:
    """Return in words which harness has made evidence, and which this is."""
    kind = "another version" if maker.is_other_version(said) else "another build of this version"
    return f"it says that harness {said}, {kind}, made it; this is {maker.own()}"


def look(found: Unpacked, wanted: Expectations, now: datetime, pages: Callable[[Unpacked], CheckResult]) -> Looked:
    """Check what can be checked of evidence of another version; EvidenceError: it is not as the verifier expects."""
    said = maker.said(found.certificate)
    looked = Looked(findings=[*verify.sound(found, wanted.keys), CheckResult("not checked", who(said), ANOTHER)])
    signed: list[Certificate] = []

    def read() -> None:
        signed.append(validated(found.certificate))
        looked.made = _computed(found, signed[0])

    looked.ask("the certificate's fields, the image's, machine's and profile's files, the boots' records", read)
    if looked.made is None:
        looked.findings += _unread(found, wanted)
        return looked
    made = looked.made
    files = found.files
    looked.ask(
        "records, events and results, computed again", lambda: derive.checked(files, made.sources, signed[0].qemu)
    )
    for what, check in verify.agreements(found, made, signed[0]):
        looked.ask(what, check)
    looked.ask("the cases that can be computed again", lambda: recomputed.check(made, files))
    looked.ask(f"{contents.PAGE} and {contents.BADGE}", lambda: pages(found))
    looked.findings += expect.check(made, files, wanted, now)
    return looked


def agree(found: Unpacked, said: str) -> None:
    """Check that events and certificate name one harness, as they do in every version; EvidenceError: they do not."""
    try:
        events = outcomes.read(found.files).harness
    except EvidenceError:
        return  # which this version cannot read
    if events[: maker.SHOWN] != said:
        raise EvidenceError(f"{contents.EVENTS} and the certificate do not name the same harness",
                            details=f"{events[: maker.SHOWN]}\n{said}")  # fmt: skip


def _computed(found: Unpacked, signed: Certificate) -> Derived:
    """Return what follows from an archive's files by this version, whatever its own version has made of them."""
    files = found.files
    read = sources.read_all(files)
    told = {boot: records.read(files, boot) for boot in records.boots_of(files)}
    word = outcomes.read(files)
    return Derived(read, told, word, derive.derive(files, read, told, word, signed.qemu))


def _unread(found: Unpacked, wanted: Expectations) -> Iterator[CheckResult]:
    """Yield what a verifier expects and can be told of an archive whose files this version does not understand."""
    for lacks, text in ((expect.PROFILE, wanted.profile), (expect.MACHINE, wanted.machine)):
        if text is not None:
            yield CheckResult("not checked", f"that it is of {text}, which you expect", lacks)
    member = found.files.members.get(f"{contents.IMAGE}/{MANIFEST}")
    digest = expect.DIGEST.fullmatch(wanted.image or "")
    if member is None or digest is None:
        yield CheckResult("not checked", "which image it is of", expect.IMAGE)
    elif member.sha256 != digest["digest"]:
        raise EvidenceError(
            "its image is not the one that you expect",
            details=f"digest expected: {digest['digest']}\ndigest of it:   {member.sha256}",
        )
    else:
        yield CheckResult("checked", f"the image {member.sha256[:12]}: it is of the digest that you expect")
