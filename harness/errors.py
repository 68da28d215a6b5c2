"""What can go wrong, by whose hand it went wrong, and the exit code that says so."""

from __future__ import annotations

from harness import text
from harness.secrets import redact

# Exit codes of the `harness` command (documented in docs/errors.md).
EXIT_OK = 0
EXIT_CASES_FAILED = 1
EXIT_WORSE = 1
EXIT_REFUSED = 1  # of `harness certify` and `harness verify`
EXIT_DAMAGED = 1  # of `harness cache verify`
EXIT_USER = 2
EXIT_HOST = 3
EXIT_MACHINE = 4
EXIT_IMAGE = 5
EXIT_BETTER = 6  # of `harness compare`, whose 1 is worse
EXIT_NOT_REPEATED = 7  # of `harness verify`: all is true that could be checked here
EXIT_NOT_JUDGED = 8  # nothing is known to be wrong, but not all that was asked for was judged
EXIT_OTHER_VERSION = 9  # of `harness verify`: another version has made the evidence, so not all is judged
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Any failure the harness explains: what happened, where, and what to do about it.

    ``message`` is one sentence; ``hint`` says what to do; ``details`` are further lines (console tail, command).
    """

    exit_code = EXIT_BUG
    whose = "harness"

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        self.message, self.hint = text.message(redact(message)), text.message(redact(hint))
        self.details = redact(details)
        super().__init__(self.message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.details:
            parts.append(self.details.rstrip("\n"))
        if self.hint:
            parts.append(f"what to do: {self.hint}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments do not survive the default pickling, and xdist workers send exceptions home
        return (_rebuild, (type(self), self.message, self.hint, self.details, self.__dict__))


def _rebuild(kind: type[HarnessError], message: str, hint: str, details: str, state: dict[str, object]) -> HarnessError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state, message=message, hint=hint, details=details)
    return error


class UserError(HarnessError):
    """The caller's mistake: a wrong YAML, a wrong option, a name that does not exist."""

    exit_code = EXIT_USER
    whose = "your input"


class HostError(HarnessError):
    """The host lacks something: a program, disk space, a mirror that answers, a permission."""

    exit_code = EXIT_HOST
    whose = "this host"


class MachineError(HarnessError):
    """The machine (QEMU or a board) failed as a machine: it died, its line is dead, it cannot be reached."""

    exit_code = EXIT_MACHINE
    whose = "the machine"


class ImageError(HarnessError):
    """The image under test failed: panic, no ready mark within its time, a kernel that stays silent."""

    exit_code = EXIT_IMAGE
    whose = "the image"


class EvidenceError(HarnessError):
    """An evidence archive is not what was signed, or does not show what it says."""

    exit_code = EXIT_REFUSED
    whose = "the evidence"


class OtherVersionError(EvidenceError):
    """An evidence archive is of another version of the harness, and this one cannot read it."""

    exit_code = EXIT_OTHER_VERSION
