"""A machine that boots images: QEMU's, or a board."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Model, Strings
from harness.spec.models.board import Board
from harness.spec.models.forms import ArchAlias, ConsoleName, QemuWord

MOST_MEMORY = 1 << 26  # MiB: 64 TiB, all that a processor with 46 address bits reaches


class Qemu(Model):
    """How QEMU makes this machine."""

    filled = ("virtio",)  # by the architecture

    machine: QemuWord = Field(description="QEMU's machine type, with options")
    cpu: QemuWord = Field(description="QEMU's CPU model under emulation, with features")
    memory: Annotated[int, Field(ge=64, le=MOST_MEMORY, description="MiB, at least 64")] = 256
    accel: Literal["auto", "tcg", "kvm"] = Field(
        "auto", description="`auto` takes KVM only where a Linux was proven to boot under it"
    )
    virtio: Literal["pci", "ccw", "device"] = Field(
        description="how its virtio devices are attached; the architecture's usual way unless said"
    )
    network: bool = Field(True, description="it has a network card")
    rng: bool = Field(True, description="it has a source of random numbers")
    disks: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = Field(
        (), description="MiB of each of its disks, which are empty at first; a case's own boots share theirs"
    )
    args: Strings = Field((), description="further arguments, as they are")
    exact: bool = Field(True, description="instruction counting works on it")
    exact_cmdline: str = Field("", description="what the kernel is told in exact boots, besides `cmdline`")


class MachineSpec(Model):
    """A machine that boots images."""

    given = ("name", "path", "digest")
    one_of = ("qemu", "board")

    name: str
    path: Path
    digest: str
    description: str = Field("", description="one line that says what it is")
    arch: ArchAlias = Field(description="`x86_64`, `arm64` or `s390x`")
    console: ConsoleName = Field(description="the kernel's name of the console that the harness reads")
    cmdline: str = Field("", description="what this machine needs on the kernel's command line besides its console")
    tags: Strings = Field((), description="words to choose machines and cases by")
    qemu: Qemu | None = Field(None, description="how QEMU makes the machine; this or `board`")
    board: Board | None = Field(
        None, description="how a real machine is reached, switched and given its image; this or `qemu`"
    )

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
