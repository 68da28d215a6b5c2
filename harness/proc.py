"""One way to run a program: a missing one, a killed one and a failed one are told apart, and can be pasted again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from harness import tools
from harness.errors import HostError

TAIL_LINES = 20


class CommandError(HostError):
    """A program ran and failed. ``code`` is its exit code (negative: its signal); ``stderr`` its words."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        if code < 0:
            what = f"{argv[0]} was ended by {_signal_name(-code)}"
        else:
            what = f"{argv[0]} failed with exit code {code}"
        tail = "\n".join(stderr.strip().splitlines()[-TAIL_LINES:])
        super().__init__(what, details=f"{tail}\ncommand: {shlex.join(argv)}".lstrip("\n"))
        self.code = code
        self.stderr = stderr


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_own() -> bool:
    """Say whether /proc is that of this process's PID namespace: in another one's, numbers are other processes'."""
    try:
        return str(Path("/proc/self").readlink()) == str(os.getpid())
    except OSError:
        return False


def missing(program: str) -> HostError:
    """Return the error for a program the host does not have, with the package to install."""
    package = tools.package_of(program)
    hint = f"apt-get install {package}" if package else f"install the package that brings {program}"
    return HostError(f"{program} is not installed", hint=hint)


def resolve(program: str) -> str:
    """Return `program`'s path; HostError naming its package when it is not there."""
    path = program if "/" in program else tools.find(program)
    if path is None or not Path(path).exists():
        raise missing(program)
    return path


def run(
    argv: Sequence[str],
    *,
    stdin: IO[bytes] | bytes | None = None,
    stdout: IO[bytes] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    ok: Sequence[int] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Run `argv` to its end and return it with its output (stdout unless redirected, stderr always).

    Raises HostError when the program is missing or takes longer than `timeout` seconds, CommandError when its
    exit code is not in `ok`.
    """
    command = [resolve(argv[0]), *argv[1:]]
    try:
        done = subprocess.run(
            command,
            input=stdin if isinstance(stdin, bytes) else None,
            stdin=(subprocess.DEVNULL if stdin is None else None if isinstance(stdin, bytes) else stdin),
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=None if env is None else dict(env),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostError(
            f"{argv[0]} did not finish within {timeout:g} s", details=f"command: {shlex.join(command)}"
        ) from None
    if done.returncode not in ok:
        raise CommandError(command, done.returncode, done.stderr.decode(errors="replace"))
    return done
