"""`harness verify`: whether the evidence of a certificate is true, offline, and by booting the image again."""

from __future__ import annotations

import json as json_
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.build.settings import Settings
from harness.certify import again, contents, elsewhere, expect, judge, maker, rebuild, verify
from harness.certify.derive import Derived
from harness.certify.expect import Expectations
from harness.certify.show import WORDS, about, badge
from harness.certify.verify import CheckResult, Unpacked
from harness.commands.certificates.certify import rendered
from harness.errors import EXIT_NOT_REPEATED, EXIT_OK, EXIT_OTHER_VERSION, EXIT_REFUSED, EvidenceError
from harness.report.words import visible
from harness.show.frame import progress
from harness.spec.policy import load_policy


@dataclass(frozen=True)
class VerifyRequest:
    """What is expected, and how far to go: ``boot`` the image again, by the QEMU ``qemu``; ``rebuild`` it.

    ``key`` lists the public keys that are trusted, ``policy`` a file says what is not said here.
    """

    boot: bool = True
    rebuild: bool = False
    qemu: Path | None = None
    key: Path | None = None
    policy: Path | None = None
    wanted: Expectations = field(default_factory=Expectations)
    patience: float = 1.0
    as_json: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Seen:
    """What was found, what follows from the files (None: they cannot be read), and the version that wrote otherwise."""

    findings: list[CheckResult]
    made: Derived | None
    another: str = ""


def run(path: Path, request: VerifyRequest) -> int:
    """Check an evidence archive and say what was re-executed, what was only checked, and what could not be.

    Returns 0 when it is true, certified, and all was checked that a verifier must; 1 when the certificate says refused;
    7 when something was not checked, which the last line names; 9 when another version of the harness has made it, so
    that this one calls it neither true nor false. EvidenceError (exit code 1): it is not true.
    """
    wanted = expectations(request)
    expect.look_up(wanted)
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as scratch:
        progress("reading the archive")
        found = verify.unpack(path, Path(scratch) / "evidence", wanted.keys)
        seen = _seen(found, wanted, request, Path(scratch))
    lacks = list(dict.fromkeys(one.lacks for one in seen.findings if one.lacks))
    code = _code(seen, lacks)
    if request.as_json:
        json_.dump({"exit": code, "not_checked": lacks, "findings": [asdict(one) for one in seen.findings],
                    "certificate": found.certificate}, sys.stdout, indent=1)  # fmt: skip
        print()
    else:
        _show(seen, lacks)
    return code


def _code(seen: Seen, lacks: Sequence[str]) -> int:
    if seen.made is not None and seen.made.certificate.result == "FAILED":
        return EXIT_REFUSED
    if seen.another:
        return EXIT_OTHER_VERSION
    return EXIT_NOT_REPEATED if lacks else EXIT_OK


def _seen(found: Unpacked, wanted: Expectations, request: VerifyRequest, scratch: Path) -> Seen:
    """Look at evidence as this version writes it; where another has made it, as far as that can be."""
    said = maker.said(found.certificate)
    if not maker.is_other_version(said):
        try:
            return _findings(found, wanted, request, scratch)
        except EvidenceError:
            if not maker.is_other(said):
                raise
    elsewhere.agree(found, said)
    looked = elsewhere.look(found, wanted, datetime.now(UTC), _pages)
    if looked.made is not None:
        for what, more in _executed(looked.made, found, wanted, request, scratch / "again", other_version=True):
            looked.gather(what, more)
        looked.findings += verify.vendors_word(looked.made)
    return Seen(looked.findings, looked.made, said)


def expectations(request: VerifyRequest) -> Expectations:
    """Return what is expected: what was said on the command line, else what the policy says."""
    wanted = request.wanted
    keys = expect.keys_of((str(request.key),)) if request.key else wanted.keys
    if request.policy is None:
        return replace(wanted, keys=keys, rebuild=request.rebuild)
    policy = load_policy(request.policy)
    return Expectations(
        keys=keys or expect.keys_of(policy.signed_by),
        profile=wanted.profile or policy.profile,
        image=wanted.image or policy.image,
        machine=wanted.machine or policy.machine,
        max_age=policy.max_age if wanted.max_age is None else wanted.max_age,
        waivers=wanted.waivers and policy.waivers,
        rebuild=request.rebuild or policy.rebuild,
        any_speaker=wanted.any_speaker or policy.any_speaker,
    )


def _findings(found: Unpacked, wanted: Expectations, request: VerifyRequest, scratch: Path) -> Seen:
    checked, now = verify.check(found, wanted.keys), datetime.now(UTC)
    made = checked.derived
    findings = [*checked.findings, *expect.check(made, found.files, wanted, now), _pages(found)]
    for _, more in _executed(made, found, wanted, request, scratch):
        findings += more
    findings += verify.expired(made.certificate, now.date().isoformat())
    return Seen([*findings, *verify.vendors_word(made)], made)


def _executed(
    made: Derived, found: Unpacked, wanted: Expectations, request: VerifyRequest, scratch: Path, *,
    other_version: bool = False,
) -> Iterator[tuple[str, Iterable[CheckResult]]]:  # fmt: skip
    """Yield what is booted and what is built again, by name, each as it goes on."""
    if request.boot:
        progress("booting the image again")
        yield "the boot", again.execute(made, scratch / "boot", qemu_path=request.qemu, multiplier=request.patience,
                                        other_version=other_version)  # fmt: skip
    else:
        yield "the boot", [again.not_done("--no-boot")]
    if wanted.rebuild:
        progress("building the image again")
        yield "the rebuild", rebuild.execute(made, found.files, scratch / "rebuild", request.settings)


def _show(seen: Seen, lacks: Sequence[str]) -> None:
    for one in seen.findings:
        print(visible(f"{one.how:15}  {one.text}"))
    whole = "what it is about cannot be read here"
    if seen.made is not None:
        certificate = seen.made.certificate
        for row in certificate.requirements:
            if row.verdict in (*judge.BAD, "waived"):
                print(visible(f"  {row.id}: {row.verdict}: {row.why}"))
        whole = f"{about(certificate.to_json())}: {WORDS[certificate.result]}"
    if seen.another:
        print(visible(f"harness {seen.another} made it: {maker.own()} calls it neither true nor false; not checked: "
                      f"{', '.join(lacks)}; {whole}"))  # fmt: skip
    elif lacks:
        print(visible(f"nothing in it is false, but not all was checked: {', '.join(lacks)}; {whole}"))
    else:
        print(visible(f"the evidence is true: {whole}"))


def _pages(found: Unpacked) -> CheckResult:
    """Compare the pages for people with what this harness would write."""
    made = found.certificate
    pages = {contents.PAGE: rendered(made, found.statement.key.id), contents.BADGE: badge(made).encode()}
    for name, content in pages.items():
        if found.content(name) != content:
            raise EvidenceError(f"{name} does not say what was signed")
    return CheckResult("checked", f"{contents.PAGE} and {contents.BADGE}: they say what was signed")
