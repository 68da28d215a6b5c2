"""A disk's table of partitions, by util-linux's sfdisk, with names and identities that are the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_DNS, UUID, uuid5

from harness import proc
from harness.build.media import SECTOR

START = 2048  # the first partition's first sector: aligned to a MiB, as every tool has it
TAIL = 2048  # sectors after the last partition, in which the table's copy lies
ESP, BIOS_BOOT = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "21686148-6449-6E6F-744E-656564454649"
RESERVED = "8DA63339-0007-60C0-C436-083AC8230908"  # Linux's: nobody mounts it


@dataclass(frozen=True)
class Partition:
    """A partition: its name, the GUID of its type, its first sector and how many it has."""

    name: str
    type: str
    start: int
    sectors: int
    uuid: UUID | None = None  # else one that follows from its name


def write_table(path: Path, partitions: Sequence[Partition]) -> None:
    """Write the table into the file of a disk, both copies of it; the rest of the file stays. HostError: no sfdisk."""
    lines = ["label: gpt", f"label-id: {_identity('disk')}", "first-lba: 34"]
    lines += [
        f"start={one.start}, size={one.sectors}, type={one.type}, "
        f"uuid={one.uuid or _identity(one.name)}, name={one.name}"
        for one in partitions
    ]
    proc.run(["sfdisk", "-q", "--wipe", "never", str(path)], stdin="\n".join([*lines, ""]).encode())


def sectors_of(size: int) -> int:
    """Return how many sectors some bytes take."""
    return -(-size // SECTOR)


def aligned(sector: int) -> int:
    """Return the first sector from `sector` on where a partition may begin."""
    return -(-sector // START) * START


def _identity(name: str) -> UUID:
    return uuid5(NAMESPACE_DNS, f"{name}.bootharness")
