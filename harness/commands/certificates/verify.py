"""`harness verify`: whether the evidence of a certificate is true, offline, and by booting the image again."""

from __future__ import annotations

import json as json_
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.certify import again, evidence, judge, keys, verify
from harness.certify.certificate import WORDS, badge
from harness.certify.verify import CheckResult, Unpacked
from harness.commands.certificates.certify import rendered
from harness.errors import EXIT_NOT_REPEATED, EXIT_OK, EXIT_REFUSED, EvidenceError
from harness.report.words import visible


@dataclass(frozen=True)
class VerifyRequest:
    """How far to go: ``boot`` the image again, by the QEMU ``qemu``; ``key`` lists the public keys that are trusted."""

    boot: bool = True
    qemu: Path | None = None
    key: Path | None = None
    patience: float = 1.0
    as_json: bool = False


def run(path: Path, request: VerifyRequest) -> int:
    """Check an evidence archive and say what was re-executed, what was only checked, and what could not be.

    Returns 0 when it is true and certified, 1 when the certificate says refused, 7 when the image could not be booted
    again here. EvidenceError (exit code 1): it is not true.
    """
    trusted = keys.trusted(request.key) if request.key else []
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as scratch:
        found = verify.unpack(path, Path(scratch) / "evidence")
        findings = [*verify.check(found, trusted), _pages(found)]
        done = True
        if request.boot:
            booted = again.execute(found, Path(scratch) / "boot", qemu_path=request.qemu, multiplier=request.patience)
            findings.append(booted.finding)
            done = booted.done
        else:
            findings.append(CheckResult("not re-executed", "the exact boots: --no-boot"))
        findings += verify.expired(found.certificate, time.strftime("%Y-%m-%d", time.gmtime()))
        findings.append(CheckResult("not re-executed", "the cases: what they found is the vendor's word, signed"))
    result = found.certificate["result"]
    code = EXIT_REFUSED if result == "FAILED" else EXIT_OK if done else EXIT_NOT_REPEATED
    if request.as_json:
        json_.dump({"exit": code, "findings": [asdict(one) for one in findings],
                    "certificate": found.certificate}, sys.stdout, indent=1)  # fmt: skip
        print()
    else:
        _show(found, findings)
    return code


def _show(found: Unpacked, findings: list[CheckResult]) -> None:
    made = found.certificate
    for one in findings:
        print(visible(f"{one.how:15}  {one.text}"))
    print(visible(
        f"the evidence is true: {made['image']['name']} on {made['machine']['name']}, profile "
        f"{made['profile']['name']} {made['profile']['version']}: {WORDS[made['result']]}"
    ))  # fmt: skip
    for row in made["requirements"]:
        if row["verdict"] in (*judge.BAD, "waived"):
            print(visible(f"  {row['id']}: {row['verdict']}: {row['why']}"))


def _pages(found: Unpacked) -> CheckResult:
    """Compare the pages for people with what this harness would write."""
    made = found.certificate
    pages = {evidence.PAGE: rendered(made, found.statement.key.id), evidence.BADGE: badge(made).encode()}
    differ = [name for name, content in pages.items() if found.content(name) != content]
    if not differ:
        return CheckResult("checked", f"{evidence.PAGE} and {evidence.BADGE}: they say what was signed")
    from harness import __version__

    if made["harness"] == __version__:
        raise EvidenceError(f"{differ[0]} does not say what was signed")
    return CheckResult("not checked", f"{', '.join(differ)}: made by harness {made['harness']}")
