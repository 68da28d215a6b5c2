"""The lab: its machines, who has them, and what is wrong with a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.commands import options


@command
def machine(
    action: Annotated[str, typer.Argument(metavar="list|check|free", show_default=False)],
    names: Annotated[list[str] | None, typer.Argument(metavar="[MACHINE…]", show_default=False)] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="The image that `check` boots.", show_default="minimal")
    ] = None,
    json: options.Json = False,
) -> int:
    """Show the lab, look at a new board step by step, or bring back a board that was set aside.

    list takes machines' YAML files or folders of them, check one file, free one name.

    Exit 0 when all is well, 4 when something about the board is to be changed.

    \b
    Examples:
      harness machine list
      harness machine list lab/
      harness machine check lab/rpi-1.yml
      harness machine check lab/rpi-1.yml --image my-os.yml
      harness machine free rpi-1
    """
    from harness.commands.lab import machine as module

    return module.act(action, names or [], image or [], as_json=json)
