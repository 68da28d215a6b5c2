"""What can fail around a board, each by its name: only what is the board's own is held against it.

A plain MachineError is the board's own: it is silent, it hangs, it does not go on or off, its shell dies.
"""

from __future__ import annotations

import sys

from harness.errors import MachineError


class LabError(MachineError):
    """What leads to a board failed, or was refused: nothing is known of the board, and nothing held against it."""


class BusyError(LabError):
    """Somebody else has the board."""


class ConsoleServerError(LabError):
    """The way to the console failed: its server, its program, the adapter's device."""


class SwitchError(LabError):
    """The power switch cannot be reached, or refuses."""


class DeliveryError(LabError):
    """The image could not be brought to where the board takes it from."""


class LoaderRefusedError(LabError):
    """The boot loader said that it cannot do what was asked of it, or started something else."""


class OtherImageError(LabError):
    """Another image runs on the board than the one that was brought."""


def announce(words: str) -> None:
    """Say on the standard error what is waited for: who waits in silence takes it for a hang."""
    print(words, file=sys.stderr, flush=True)
