"""An Image and a machine in, a running System and the record of its boot out."""

from harness.boot.exact import ExactPair, exact_pair
from harness.boot.milestones import Milestone
from harness.boot.options import BootOptions
from harness.boot.record import BootRecord
from harness.boot.shell import CommandFailedError, CommandTimeoutError, Result, Shell, ShellDeadError
from harness.boot.start import boot
from harness.boot.system import System

__all__ = [
    "BootOptions",
    "BootRecord",
    "CommandFailedError",
    "CommandTimeoutError",
    "ExactPair",
    "Milestone",
    "Result",
    "Shell",
    "ShellDeadError",
    "System",
    "boot",
    "exact_pair",
]
