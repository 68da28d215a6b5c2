"""A machine that boots images: QEMU's, or a board."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Model, Strings
from harness.spec.models.board import Board


class Qemu(Model):
    """How QEMU makes this machine."""

    machine: str
    cpu: str
    memory: Annotated[int, Field(ge=64)] = 256  # MiB
    accel: Literal["auto", "tcg", "kvm"] = "auto"
    virtio: Literal["pci", "ccw", "device"]
    network: bool = True
    rng: bool = True
    disks: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = ()  # MiB each, empty at first
    args: Strings = ()  # further arguments, as they are
    exact: bool = True  # whether instruction counting works on it
    exact_cmdline: str = ""  # what the kernel is told in exact boots, besides `cmdline`


class MachineSpec(Model):
    """A machine that boots images."""

    name: str
    path: Path
    digest: str
    description: str = ""
    arch: str
    console: str  # the kernel's name of the console that the harness reads
    cmdline: str = ""  # what this machine needs on the kernel's command line, besides its console
    tags: Strings = ()
    qemu: Qemu | None = None
    board: Board | None = None  # instead of `qemu`

    @property
    def counts(self) -> bool:
        """Whether it can count instructions, as exact time needs."""
        return not self.why_not_exact

    @property
    def why_not_exact(self) -> str:
        """Why there is no exact time on it; empty where there is."""
        if self.qemu is None:
            return "a board has no instruction counter"
        if self.qemu.disks:
            return "a disk answers when the host gets to it"
        return "" if self.qemu.exact else "its YAML says `exact: false`"

    @property
    def network(self) -> bool:
        """Whether this host can reach its services."""
        return self.qemu.network if self.qemu else bool(self.board and self.board.address)

    @property
    def hears_off(self) -> bool:
        """Whether it is heard to the last: a console is, and the log of the system itself is not."""
        return self.board is None or not self.board.console.log

    @property
    def tries(self) -> int:
        """How often a boot is tried in which the machine fails as a machine."""
        return self.board.tries if self.board else 1

    @property
    def host_memory(self) -> int:
        """How much of this host's memory its system takes, in MiB."""
        return self.qemu.memory if self.qemu else 0
