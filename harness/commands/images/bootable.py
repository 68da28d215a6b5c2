"""What the commands that boot share: what is to be booted, and how it is ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import api
from harness.arch import parse_list
from harness.build.settings import Settings
from harness.commands.images.metadata import DATA_MIB, cd
from harness.errors import ImageError, UserError
from harness.files import write_json
from harness.image import Bootable, Image
from harness.show.frame import progress
from harness.spec.models.machine import MOST_MEMORY, MachineSpec
from harness.spec.named import image_named
from harness.spec.rules.images import BOOTED
from harness.system import System
from harness.system.options import PublishedPort

LEAST_MEMORY = 64  # MiB
UNREADY_S = 10.0  # for a system that did not come to ready to power off


@dataclass(frozen=True)
class BootRequest:
    """What is to be done with the booted system. ``out`` keeps transcript and record (None: a temporary folder)."""

    exact: bool = False
    explain: bool = False
    command: str | None = None
    append: tuple[str, ...] = ()
    forwards: tuple[int, ...] = field(default=())
    published: tuple[PublishedPort, ...] = ()
    timeout: float = 120.0
    out: Path | None = None
    as_json: bool = False
    runs: int = 1  # at most; more than one for medians
    disks: Path | None = None  # keeps the machine's disks
    memory: str | None = None  # of the machine, in place of its YAML's: a size
    cpus: int | None = None  # likewise
    more_disks: tuple[str, ...] = ()  # sizes
    data: Path | None = None  # user-data that the image finds on a CD
    within: float | None = None  # percent of the median: no more runs once ready is known that well


def image_of(name: str | Sequence[str], machine: MachineSpec, settings: Settings) -> Bootable:
    """Return what a name, or several words that are merged, stand for, to boot it; what has to be built is built."""
    return api.find_image(name, machine, settings=settings, report=progress)


def fitted(machine: MachineSpec, request: BootRequest) -> MachineSpec:
    """Return the machine with what was asked for of memory, processors and disks; UserError where it is a board."""
    if (request.memory, request.cpus, request.more_disks, request.data) == (None, None, (), None):
        return machine
    if machine.qemu is None:
        raise UserError(f"{machine.name} is a board: it has the memory, the processors and the disks that it has")
    memory = machine.qemu.memory if request.memory is None else mib_of(request.memory, "--memory")
    if not LEAST_MEMORY <= memory <= MOST_MEMORY:
        raise UserError(f"--memory {request.memory}: a machine has {LEAST_MEMORY} MiB to {MOST_MEMORY >> 10} GiB")
    disks = (*machine.qemu.disks, *(mib_of(text, "--disk") for text in request.more_disks))
    if request.data is not None:
        disks = (*disks, DATA_MIB)
    return machine.driven(memory=memory, cpus=request.cpus or machine.qemu.cpus, disks=disks)


def usual_machine(name: str | Sequence[str]) -> str:
    """Return the machine that an image is booted on unless somebody says: QEMU's of its architecture, and where it has
    none of its own, of this host's."""
    named = image_named(name)
    if named.kind == "built":
        arch = Image(named.paths[0]).arch.name
    elif named.kind == "os":
        arch = named.load_os().arch
    else:
        arch = parse_list("host")[0].name
    return f"qemu-{arch}"


def put_data(data: Path, machine: MachineSpec, folder: Path) -> None:
    """Write the user-data in a file to the machine's last disk, as a cloud without a network gives it (NoCloud)."""
    assert machine.qemu is not None
    content = cd(data)
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / f"disk{len(machine.qemu.disks) - 1}.raw"
    disk.write_bytes(content)


def mib_of(text: str, option: str) -> int:
    """Return a size as MiB: a number of them, or with the unit M or G."""
    found = re.fullmatch(r"([1-9][0-9]{0,6})([MG]?)", text)
    if found is None:
        raise UserError(f"{option} {text}: no size", hint="MiB, or with a unit: 512, 512M, 2G")
    return int(found[1]) * (1024 if found[2] == "G" else 1)


def leave(image: Bootable, out: Path) -> None:
    """Say in the folder of a boot which image it was, so that the folder names it from then on."""
    write_json(out / BOOTED, {"image": str(image.path.absolute())}, indent=None)


def power_off(system: System, *, ready: bool = True) -> None:
    """Power off, and say so when a system that has its own ways to do so had to be ended.

    One that did not come to `ready` has been told of already: it has UNREADY_S to go off, then its power is cut.
    """
    if ready:
        clean = system.power_off() or not system.image.milestones
    else:
        try:
            clean = system.power_off(UNREADY_S)
        except ImageError:
            clean = False
    if not clean:
        progress(f"{system.image.name} did not power off: its power was cut")
