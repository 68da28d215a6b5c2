"""`harness sbom scan`: an image's bill of materials, handed to a scanner that this host has."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EXIT_CASES_FAILED, EXIT_OK, HostError, UserError
from harness.show.frame import progress
from harness.text import of_error

BILL = "{}"  # stands for the bill's path in a command


@dataclass(frozen=True)
class Scanner:
    """A scanner of vulnerabilities that reads CycloneDX: its program, and the arguments that hand it a bill."""

    program: str
    arguments: tuple[str, ...]


# the first one that the host has
SCANNERS = (
    Scanner("grype", (f"sbom:{BILL}",)),
    Scanner("trivy", ("sbom", BILL)),
    Scanner("cve-bin-tool", ("--sbom", "cyclonedx", "--sbom-file", BILL)),
)


def command(given: str, bill: Path) -> list[str]:
    """Return what to run: the command that was given, or the first scanner that the host has.

    Raises UserError for a command that is none, HostError where no scanner is there.
    """
    if given:
        try:
            words = shlex.split(given)
        except ValueError as error:
            raise UserError(f"--scanner {given!r}: {error}", hint=f"a command in which {BILL} stands for the bill"
                            ) from None  # fmt: skip
        if not words or not any(BILL in word for word in words[1:]):
            raise UserError(f"--scanner {given!r} names no place for the bill", hint=f"such as 'trivy sbom {BILL}'")
    else:
        there = next((one for one in SCANNERS if shutil.which(one.program)), None)
        if there is None:
            raise HostError(
                f"none of {', '.join(one.program for one in SCANNERS)} is installed",
                hint=f"install one, or name another with --scanner 'COMMAND {BILL}'",
            )
        words = [there.program, *there.arguments]
    return [words[0], *(word.replace(BILL, str(bill)) for word in words[1:])]


def scan(bill: Path, given: str) -> int:
    """Let a scanner read the bill; its words go where ours do. Returns 0 when it ends so, 1 when it does not.

    What its exit code means, and from where it has what it knows of vulnerabilities, is the scanner's own affair.
    """
    argv = command(given, bill)
    progress(shlex.join(argv))
    try:
        code = subprocess.run(argv, check=False).returncode
    except OSError as error:
        raise HostError(f"{argv[0]} cannot be run: {of_error(error)}", hint="name another with --scanner") from error
    if code:
        progress(f"{argv[0]} ended with exit code {code}")
    return EXIT_CASES_FAILED if code else EXIT_OK
