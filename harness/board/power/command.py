"""Power by programs of one's own."""

from __future__ import annotations

import re
import shlex
from contextvars import ContextVar
from pathlib import Path

from harness import proc
from harness.board.programs import located_argv
from harness.errors import HostError, MachineError
from harness.spec.models.power import PowerCommands

limit_s = ContextVar("limit_s", default=60.0)  # in which a switch answers, as its YAML says
# as a word, or as all that is said: most switches print 1 or 0
_STATE = re.compile(rb"\b(on|off|true|false)\b|\A\s*([01])\s*\Z", re.IGNORECASE)
_ON = (b"on", b"true", b"1")


def put(spec: PowerCommands, base: Path, on: bool) -> None:
    """Run `on` or `off`; MachineError when it fails."""
    told(spec.on if on else spec.off, base)


def get(spec: PowerCommands, base: Path) -> bool | None:
    """Return what `status` prints: on or off, 1 or 0; None when there is no such program.

    MachineError with its text when it says neither.
    """
    if not spec.status:
        return None
    said = told(spec.status, base)
    found = _STATE.findall(said)
    if not found:
        text = said.decode(errors="replace").strip()[:200]
        raise MachineError(
            f"`status` says neither on nor off: {text!r}", hint="a program that prints `on` or `off`, or 1 or 0"
        )
    return "".join(map(bytes.decode, found[-1])).lower().encode() in _ON


def cycle(spec: PowerCommands, base: Path) -> None:
    """Run `cycle`."""
    told(spec.cycle or (), base)


def told(argv: tuple[str, ...], base: Path, env: dict[str, str] | None = None) -> bytes:
    """Run a program in the folder of the machine's YAML and return its output.

    HostError when it is missing, MachineError when it fails or takes over its time.
    """
    located = located_argv(argv, base)
    proc.resolve(located[0])
    try:
        return proc.run(located, cwd=base, env=env, timeout=limit_s.get()).stdout
    except HostError as error:
        hint = f"try it by hand: {shlex.join(argv)}"
        raise MachineError(error.message, details=error.details, hint=hint) from error
