"""Running commands in the guest: what every way of doing so promises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from harness.errors import HarnessError, ImageError, MachineError

MOST_OUTPUT = 64 << 20  # bytes
MOST_COMMAND = 64 << 10  # bytes


@dataclass(frozen=True)
class CommandResult:
    """A command that ended: its exact output (stdout and stderr in one) and exit code."""

    command: str
    stdout: bytes
    code: int

    @property
    def text(self) -> str:
        """The output as text."""
        return self.stdout.decode(errors="replace")


class CommandFailedError(ImageError):
    """A command that was to succeed ended with another code than 0; ``result`` has it all."""

    def __init__(self, result: CommandResult) -> None:
        tail = "\n".join(result.text.splitlines()[-20:])
        super().__init__(f"in the guest, {result.command!r} failed with exit code {result.code}", details=tail)
        self.result = result


class CommandTimeoutError(ImageError):
    """A command did not end in time and was ended, as the guest says itself; the shell goes on."""


class ShellDeadError(HarnessError):
    """The shell does not answer any more; nothing can be run on it."""


class LineDeadError(ShellDeadError, MachineError):
    """That of a shell over a line or network, which may have failed as well as the guest."""


class AgentDeadError(ShellDeadError, ImageError):
    """That of a shell whose way to the guest cannot fail while QEMU runs: the guest hangs, or has restarted."""


class IncapableShellError(ShellDeadError, ImageError):
    """That of a system whose shell answers and cannot run commands: it lacks programs, or room, or is not a shell."""


class Shell(Protocol):
    """A shell in the booted system, as root in its own root folder."""

    @property
    def fast(self) -> bool:
        """Whether megabytes come in seconds: a serial line's do not."""

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` with /bin/sh, its input empty; `timeout` in seconds.

        Raises CommandTimeoutError when it took longer (it is ended, the shell goes on), ShellDeadError when the guest
        does not answer at all, CommandFailedError with `check` when its exit code is not 0.
        """


def seconds(timeout: float) -> int:
    """Return a time limit as the guest wants it: whole seconds, at least one."""
    return max(1, math.ceil(timeout))


def judge(result: CommandResult, *, late: bool, timeout: float, check: bool) -> CommandResult:
    """Return `result`, or raise what its end means: `late` says that its time was over when it ended."""
    if late and result.code == 137:
        raise CommandTimeoutError(
            f"in the guest, {result.command!r} did not end within {timeout:g} s and was ended",
            details="\n".join(result.text.splitlines()[-20:]),
        )
    if check and result.code != 0:
        raise CommandFailedError(result)
    return result
