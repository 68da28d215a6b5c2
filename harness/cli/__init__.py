"""The `harness` command: one thin function a subcommand, which imports its module only when it is called.

To add one: a row for each of its options in harness/options/, and in the module it belongs to a function under
``@command`` whose parameters are these rows and whose return value is the exit code.
"""

from __future__ import annotations

from harness.cli import certificates, host, images, lab, nights, runs
from harness.cli.app import app
from harness.show import frame

__all__ = ["app", "certificates", "host", "images", "lab", "main", "nights", "runs"]


def main() -> None:
    """Run the command; the console script's entry point."""
    frame.open_streams()
    app(prog_name="harness")
