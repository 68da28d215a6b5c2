"""A machine that boots images: who drives it, QEMU or a board, says all else that is asked of it."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

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
    cpus: Annotated[int, Field(ge=1, le=64, description="its processors; of more than one no time is exact")] = 1
    accel: Literal["auto", "tcg", "kvm"] = Field(
        "auto", description="`auto` takes KVM only where a Linux was proven to boot under it"
    )
    virtio: Literal["pci", "ccw", "device"] = Field(
        description="how its virtio devices are attached; the architecture's usual way unless said"
    )
    firmware: Literal["own", "uefi"] = Field(
        "own", description="what starts it: `uefi`, or what its type has: a BIOS, s390x's loader, or none at all"
    )
    medium: Literal["virtio", "nvme", "scsi", "sata", "usb"] = Field(
        "virtio", description="what an image's disk is attached as; its CD too, where it is `usb`"
    )
    network: bool = Field(True, description="it has a network card")
    rng: bool = Field(True, description="it has a source of random numbers")
    disks: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = Field(
        (), description="MiB of each of its disks, which are empty at first; a case's own boots share theirs"
    )
    args: Strings = Field((), description="further arguments, as they are")
    exact: bool = Field(True, description="instruction counting works on it")
    exact_cmdline: str = Field("", description="what the kernel is told in exact boots, besides `cmdline`")

    @property
    def why_not_exact(self) -> str:
        """Why there is no exact time on it; empty where there is."""
        if self.disks:
            return "a disk answers when the host gets to it"
        if self.cpus > 1:
            return "its processors take turns as the host lets them"
        return "" if self.exact else "its YAML says `exact: false`"

    hears_off: ClassVar[bool] = True  # its console is heard to the last
    tries: ClassVar[int] = 1

    @property
    def host_memory(self) -> int:
        """How much of this host's memory its system takes, in MiB."""
        return self.memory


class MachineFile(Model):
    """A machine as its YAML has it."""

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


class MachineSpec(Model):
    """A machine that boots images, and who drives it."""

    name: str
    path: Path
    digest: str
    description: str = ""
    arch: str
    console: str  # the kernel's name of the console that the harness reads
    cmdline: str = ""  # what this machine needs on the kernel's command line, besides its console
    tags: Strings = ()
    drive: Qemu | Board

    @property
    def qemu(self) -> Qemu | None:
        """How QEMU makes it; None when it is a board."""
        return self.drive if isinstance(self.drive, Qemu) else None

    @property
    def board(self) -> Board | None:
        """How it is reached as a board; None when QEMU makes it."""
        return self.drive if isinstance(self.drive, Board) else None

    def driven(self, **changes: Any) -> "MachineSpec":
        """Return the machine with changes to what drives it."""
        return self.model_copy(update={"drive": self.drive.model_copy(update=changes)})

    @property
    def counts(self) -> bool:
        """Whether it can count instructions, as exact time needs."""
        return not self.why_not_exact

    @property
    def why_not_exact(self) -> str:
        """Why there is no exact time on it; empty where there is."""
        return self.drive.why_not_exact

    @property
    def network(self) -> bool:
        """Whether this host can reach its services."""
        return self.drive.network

    @property
    def hears_off(self) -> bool:
        """Whether it is heard to the last: a console is, and the log of the system itself is not."""
        return self.drive.hears_off

    @property
    def tries(self) -> int:
        """How often a boot is tried in which the machine fails as a machine."""
        return self.drive.tries

    @property
    def host_memory(self) -> int:
        """How much of this host's memory its system takes, in MiB."""
        return self.drive.host_memory


def machine_of(file: MachineFile) -> MachineSpec:
    """Return the machine that a file describes, which has exactly one of `qemu` and `board`."""
    drive = file.qemu or file.board
    assert drive is not None
    shared = {key: getattr(file, key) for key in MachineFile.model_fields if key not in MachineFile.one_of}
    return MachineSpec(**shared, drive=drive)
