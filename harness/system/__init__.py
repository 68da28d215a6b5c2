"""A booting system, whatever runs it: its console, its shell, its power, and the record of its boot."""

from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.record import BootRecord
from harness.system.shell import CommandFailedError, CommandTimeoutError, Result, Shell, ShellDeadError
from harness.system.system import System

__all__ = [
    "BootOptions",
    "BootRecord",
    "CommandFailedError",
    "CommandTimeoutError",
    "Milestone",
    "Result",
    "Shell",
    "ShellDeadError",
    "System",
]
