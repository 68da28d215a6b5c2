"""The lab: its machines, who has them, and what is wrong with a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from pathlib import Path

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


@command
def cluster(action: str, place: str, certificates: Path | None, workers: int | None, board: tuple[str, ...]) -> int:
    """Make a cluster of hosts: certificates, a scheduler, workers.

    certificates writes the folder that every host of the cluster needs; scheduler and worker run until they are ended.

    \b
    Examples:
      harness cluster certificates certs
      harness cluster scheduler tls://10.0.0.1:8786 --certificates certs
      harness cluster worker tls://10.0.0.1:8786 --certificates certs --board rpi-1
      harness matrix nightly.yml --cluster tls://10.0.0.1:8786 --certificates certs
    """
    from harness.commands.lab import cluster as module

    return module.act(action, place, certificates, workers=workers, boards=board)
