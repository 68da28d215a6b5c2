"""Power by a person, who is asked at the terminal."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HostError, MachineError

TERMINAL = Path("/dev/tty")


def put(name: str, base: Path, on: bool) -> None:
    """Ask for it and wait for the return key; HostError where there is no terminal, MachineError at Ctrl-D."""
    try:
        with TERMINAL.open("r+b", buffering=0) as terminal:
            terminal.write(f"\r\n{name}: switch it {'ON' if on else 'OFF'}, then press the return key ".encode())
            answer = terminal.readline()
    except OSError as error:
        raise HostError(
            f"{name} is switched by hand, and nobody can be asked: {error.strerror}",
            hint="run it at a terminal, or say in `power` of the machine's YAML how it is switched",
        ) from error
    if not answer:
        raise MachineError("nobody did")


def get(name: str, base: Path) -> bool | None:
    """A person is not asked."""
    return None
