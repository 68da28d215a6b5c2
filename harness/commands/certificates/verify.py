"""`harness verify`: whether the evidence of a certificate is true, offline, and by booting the image again."""

from __future__ import annotations

import json as json_
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import __version__
from harness.build.settings import Settings
from harness.certify import again, contents, expect, judge, rebuild, verify
from harness.certify.derive import Derived
from harness.certify.expect import Expectations
from harness.certify.show import WORDS, about, badge
from harness.certify.verify import CheckResult, Unpacked
from harness.commands.certificates.certify import rendered
from harness.errors import EXIT_NOT_REPEATED, EXIT_OK, EXIT_REFUSED, EvidenceError
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


def run(path: Path, request: VerifyRequest) -> int:
    """Check an evidence archive and say what was re-executed, what was only checked, and what could not be.

    Returns 0 when it is true, certified, and all was checked that a verifier must; 1 when the certificate says refused;
    7 when something was not checked, which the last line names. EvidenceError (exit code 1): it is not true.
    """
    wanted = expectations(request)
    expect.look_up(wanted)
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as scratch:
        progress("reading the archive")
        found = verify.unpack(path, Path(scratch) / "evidence", wanted.keys)
        try:
            findings, made = _findings(found, wanted, request, Path(scratch))
        except EvidenceError as error:
            raise _of_another(error, found) from error
    lacks = list(dict.fromkeys(one.lacks for one in findings if one.lacks))
    result = made.certificate.result
    code = EXIT_REFUSED if result == "FAILED" else EXIT_NOT_REPEATED if lacks else EXIT_OK
    if request.as_json:
        json_.dump({"exit": code, "not_checked": lacks, "findings": [asdict(one) for one in findings],
                    "certificate": found.certificate}, sys.stdout, indent=1)  # fmt: skip
        print()
    else:
        _show(made, findings, lacks)
    return code


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
    )


def _findings(
    found: Unpacked, wanted: Expectations, request: VerifyRequest, scratch: Path
) -> tuple[list[CheckResult], Derived]:
    checked, now = verify.check(found, wanted.keys), datetime.now(UTC)
    made = checked.derived
    findings = [*checked.findings, *expect.check(made, found.files, wanted, now), _pages(found)]
    if request.boot:
        progress("booting the image again")
        findings += again.execute(made, scratch / "boot", qemu_path=request.qemu, multiplier=request.patience)
    else:
        findings.append(again.not_done("--no-boot"))
    if wanted.rebuild:
        progress("building the image again")
        findings += rebuild.execute(made, found.files, scratch / "rebuild", request.settings)
    findings += verify.expired(made.certificate, now.date().isoformat())
    return [*findings, *verify.vendors_word(made)], made


def _of_another(error: EvidenceError, found: Unpacked) -> EvidenceError:
    """Say so where the evidence says that another harness made it: that one may have written otherwise."""
    said = found.certificate.get("harness")
    if said == __version__ or error.hint:
        return error
    hint = f"it says that harness {str(said)[:40]} made it, and this is {__version__}: that one reads it"
    return EvidenceError(error.message, details=error.details, hint=hint)


def _show(made: Derived, findings: list[CheckResult], lacks: Sequence[str]) -> None:
    certificate = made.certificate
    for one in findings:
        print(visible(f"{one.how:15}  {one.text}"))
    for row in certificate.requirements:
        if row.verdict in (*judge.BAD, "waived"):
            print(visible(f"  {row.id}: {row.verdict}: {row.why}"))
    whole = f"{about(certificate.to_json())}: {WORDS[certificate.result]}"
    if lacks:
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
