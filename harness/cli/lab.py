"""The lab: its machines, who has them, and what is wrong with a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from harness.build.settings import Settings


@command
def machine(action: str, names: tuple[str, ...], image: tuple[str, ...], settings: Settings, json: bool) -> int:
    """Show machines, look at a new board, bring one back.

    check looks at a board step by step; free brings back one that was set aside.

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

    return module.act(action, names, image, settings, as_json=json)
