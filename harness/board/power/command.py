"""Power by programs of one's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from harness import proc
from harness.errors import HostError, MachineError
from harness.spec.models.board import PowerCommands

TIMEOUT_S = 60.0
_STATE = re.compile(rb"\b(on|off)\b", re.IGNORECASE)


def put(spec: PowerCommands, base: Path, on: bool) -> None:
    """Run `on` or `off`; MachineError when it fails."""
    told(spec.on if on else spec.off, base)


def get(spec: PowerCommands, base: Path) -> bool | None:
    """Return what `status` prints: on or off; None when there is no such program or it says neither."""
    if not spec.status:
        return None
    found = _STATE.findall(told(spec.status, base))
    return found[-1].lower() == b"on" if found else None


def cycle(spec: PowerCommands, base: Path) -> None:
    """Run `cycle`."""
    told(spec.cycle or (), base)


def told(argv: tuple[str, ...], base: Path, env: dict[str, str] | None = None) -> bytes:
    """Run a program in the folder of the machine's YAML and return its output.

    HostError when it is missing, MachineError when it fails or takes over a minute.
    """
    program = base / argv[0] if "/" in argv[0] else argv[0]
    path = proc.resolve(str(program))
    try:
        return proc.run([path, *argv[1:]], cwd=base, env=env, timeout=TIMEOUT_S).stdout
    except HostError as error:
        hint = f"try it by hand: {shlex.join(argv)}"
        raise MachineError(error.message, details=error.details, hint=hint) from error
