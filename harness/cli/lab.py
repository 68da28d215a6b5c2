"""The lab: its machines, who has them, and what is wrong with a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from pathlib import Path

    from harness.build.settings import Settings


@command
def machine(
    action: str,
    names: tuple[str, ...],
    image: tuple[str, ...],
    settings: Settings,
    until: str | None,
    why: str,
    force: bool,
    json: bool,
) -> int:
    """Show machines, look at a new board, have one for oneself.

    check looks at a board step by step; free brings back one that was set aside. on, off and cycle switch a board,
    console is its console as it stands (Ctrl-] leaves it). take keeps it from all others, and from runs of one's own,
    until give.

    list takes machines' YAML files or folders of them, free a name, all others one file.

    Exit 0 when all is well, 4 when something about the board is to be changed.

    \b
    Examples:
      harness machine list
      harness machine list lab/
      harness machine check lab/rpi-1.yml
      harness machine check lab/rpi-1.yml --image my-os.yml
      harness machine free rpi-1
      harness machine take lab/rpi-1.yml --until 18:00 --why 'a new kernel'
      harness machine on lab/rpi-1.yml
      harness machine console lab/rpi-1.yml
      harness machine give lab/rpi-1.yml
    """
    from harness.commands.lab import machine as module
    from harness.commands.lab.machine_byhand import ByHandOptions

    asked = ByHandOptions(until=until, why=why, force=force)
    return module.act(action, names, image, settings, asked, as_json=json)


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
