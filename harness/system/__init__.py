"""A booting system, whatever runs it: its console, its shell, its power, and the record of its boot."""

from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.record import BootRecord
from harness.system.shell import CommandFailedError, CommandResult, CommandTimeoutError, Shell, ShellDeadError
from harness.system.system import System

__all__ = [
    "BootOptions",
    "BootRecord",
    "CommandFailedError",
    "CommandResult",
    "CommandTimeoutError",
    "Milestone",
    "Shell",
    "ShellDeadError",
    "System",
]
