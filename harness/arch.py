"""One row per architecture: its name and habits in every other world."""

from __future__ import annotations

import difflib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.errors import UserError


@dataclass(frozen=True)
class MachineType:
    """A machine type of QEMU's that is more than a virtual board which takes a kernel.

    ``uefi`` is what the descriptors of UEFIs call it, empty where it has none; ``boots_disks``: a firmware of QEMU's
    own boots a disk or CD on it; ``cd`` is the drive of a CD that any OS of the machine has a driver for, as devices;
    ``firmware`` is what QEMU loads on it whatever it boots, by the names of the files; ``screen`` the device that
    gives it a screen which its firmware draws on, empty where there is none.
    """

    name: str
    uefi: str = ""
    boots_disks: bool = False
    cd: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    screen: str = ""


@dataclass(frozen=True)
class Arch:
    """All that is known of an architecture. ``qemu_package`` is the Debian package that brings ``qemu``."""

    name: str
    debian: str
    oci: str
    qemu: str
    qemu_package: str
    kernel_package: str  # the metapackage whose dependency is the kernel; cloud flavour where there is one
    elf_machine: str  # e_machine, as pyelftools spells it
    cross: str  # GNU triplet, for the native guest programs and for /usr/lib/TRIPLET
    console: str  # the kernel's name of the first serial console
    virtio: str  # suffix of QEMU's virtio device names: pci, ccw, device (mmio)
    qemu_machine: str  # the machine type that is the safe default
    cpu: str  # a CPU model that exists in every QEMU and repeats
    gzip_kernel: bool  # the packaged kernel is a raw image, and QEMU boots the gzipped one
    kvm_host: str  # platform.machine() of a host whose KVM could run it
    cmdline_size: int  # bytes of the kernel's command line with the NUL at its end (COMMAND_LINE_SIZE)
    oci_variants: tuple[str, ...]  # of an image's platform: how its baseline is called, if it is
    machine_types: tuple[MachineType, ...]
    uefi: str  # the architecture as the descriptors of UEFIs call it, empty where there are none
    uefi_package: str  # the Debian package that brings one
    uefi_boot: str  # what UEFI calls it in names of boot programs, BOOTX64.EFI (its specification, 3.5.1.1)
    # how a disk's or CD's boot program is made: of systemd's stub and kernel as they are; of a GRUB that unpacks the
    # kernel; as a map of sectors for s390x's loader
    loader: Literal["none", "stub", "grub", "map"]
    # the types of a partition with its root, and of one with that root's tree of hashes (Discoverable Partitions
    # Specification)
    root_types: tuple[str, str]
    bios: bool  # whether it has a BIOS, whose disks and CDs need a GRUB beside that
    ucode: bool  # its kernel looks for microcode at the beginning of the initrd
    counter_per_us: float  # the machine's own counter: how much it counts in a microsecond, under icount shift=0
    counter_since_1900: bool  # it is a clock that counts from 1900 on; else from power-on
    exact_cost: float  # how much longer an exact boot takes than a plain one: it counts instructions one by one
    # the most µs that edits without a cause (files, names, orders, texts) moved one exact boot, and a margin
    layout_us: int
    # the floors of figures that nobody has calibrated, in µs, by phase: see `harness.measure.floor`
    floors_us: Mapping[str, int] = field(hash=False)
    # MiB that its kernel keeps of the memory before the initrd is unpacked: surely, and at most (Debian's, measured)
    kernel_mib: tuple[int, int]

    @property
    def uefi_only(self) -> bool:
        """Whether none of its machine types has a firmware of its own that boots disks and CDs."""
        return bool(self.uefi) and not any(one.boots_disks for one in self.machine_types)


_PC = ("bios-256k.bin", "kvmvapic.bin")
ARCHES: dict[str, Arch] = {
    row.name: row
    for row in (
        Arch(
            name="x86_64",
            debian="amd64",
            oci="amd64",
            qemu="qemu-system-x86_64",
            qemu_package="qemu-system-x86",
            kernel_package="linux-image-cloud-amd64",
            elf_machine="EM_X86_64",
            cross="x86_64-linux-gnu",
            console="ttyS0",
            virtio="pci",
            qemu_machine="q35",
            cpu="qemu64,+rdrand",
            gzip_kernel=False,
            kvm_host="x86_64",
            cmdline_size=2048,
            oci_variants=("", "v1"),
            machine_types=(
                MachineType("q35", uefi="pc-q35-any", boots_disks=True, cd=("ide-cd",), firmware=_PC, screen="VGA"),
                MachineType("pc", uefi="pc-i440fx-any", boots_disks=True, cd=("ide-cd",), firmware=_PC, screen="VGA"),
                MachineType("microvm", firmware=("bios-microvm.bin",)),
            ),
            uefi="x86_64",
            uefi_package="ovmf",
            uefi_boot="x64",
            loader="stub",
            root_types=("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"),
            bios=True,
            ucode=True,
            counter_per_us=1000.0,
            counter_since_1900=False,
            exact_cost=2.5,
            layout_us=1400,
            floors_us={
                "total": 1650,
                "ready": 2450,
                "firmware": 2050,
                "kernel": 1450,
                "first stage": 100,
                "init": 350,
                "drivers": 1150,
                "onboot/": 650,
                "services": 750,
                "services/": 850,
                "cpu": 500,
            },
            kernel_mib=(40, 68),
        ),
        Arch(
            name="arm64",
            debian="arm64",
            oci="arm64",
            qemu="qemu-system-aarch64",
            qemu_package="qemu-system-arm",
            kernel_package="linux-image-cloud-arm64",
            elf_machine="EM_AARCH64",
            cross="aarch64-linux-gnu",
            console="ttyAMA0",
            virtio="pci",
            qemu_machine="virt",
            cpu="cortex-a57",
            gzip_kernel=True,
            kvm_host="aarch64",
            cmdline_size=2048,
            oci_variants=("", "v8"),
            machine_types=(MachineType("virt", uefi="virt-any", screen="ramfb"),),
            uefi="aarch64",
            uefi_package="qemu-efi-aarch64",
            uefi_boot="aa64",
            loader="grub",
            root_types=("B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "DF3300CE-D69F-4C92-978C-9BFB0F38D820"),
            bios=False,
            ucode=False,
            counter_per_us=62.5,
            counter_since_1900=False,
            exact_cost=1.3,
            layout_us=600,
            floors_us={
                "total": 1400,
                "ready": 1400,
                "firmware": 150,
                "kernel": 450,
                "first stage": 100,
                "init": 150,
                "drivers": 1050,
                "onboot/": 150,
                "services": 950,
                "services/": 950,
                "cpu": 150,
            },
            kernel_mib=(88, 112),
        ),
        Arch(
            name="s390x",
            debian="s390x",
            oci="s390x",
            qemu="qemu-system-s390x",
            qemu_package="qemu-system-misc",
            kernel_package="linux-image-s390x",
            elf_machine="EM_S390",
            cross="s390x-linux-gnu",
            console="ttysclp0",
            virtio="ccw",
            qemu_machine="s390-ccw-virtio",
            cpu="max",
            gzip_kernel=False,
            kvm_host="s390x",
            cmdline_size=4096,  # Linux before 5.17: 896, of which QEMU tells
            oci_variants=("",),
            machine_types=(MachineType("s390-ccw-virtio", boots_disks=True, firmware=("s390-ccw.img",)),),
            uefi="",
            uefi_package="",
            uefi_boot="",
            loader="map",
            root_types=("5EEAD9A9-FE09-4A1E-A1D7-520D00531306", "B325BFBE-C7BE-4AB8-8357-139E652D2F6B"),
            bios=False,
            ucode=False,
            counter_per_us=4096.0,
            counter_since_1900=True,
            exact_cost=1.3,
            layout_us=1400,
            floors_us={
                "total": 1850,
                "ready": 1850,
                "firmware": 100,
                "kernel": 250,
                "first stage": 100,
                "init": 550,
                "drivers": 1100,
                "onboot/": 550,
                "services": 1350,
                "services/": 900,
                "cpu": 600,
            },
            kernel_mib=(24, 48),
        ),
    )
}

# What people call them elsewhere; one spelling is ours, the others are understood.
ALIASES = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "x64": "x86_64",
    "aarch64": "arm64",
    "armv8": "arm64",
    "arm64v8": "arm64",
}

# Whoever says these means one of ours, though they are other architectures' names as well.
LOOSE = {"x86": "x86_64", "arm": "arm64", "s390": "s390x"}
# What the harness does not know: none of ours is meant, however alike the names look.
OTHERS = frozenset(
    {"i386", "i486", "i586", "i686", "ia32", "ia64", "armel", "armhf", "armv5", "armv6", "armv7", "armv7l", "arm32",
     "riscv", "riscv32", "riscv64", "ppc", "ppc64", "ppc64le", "ppc64el", "powerpc", "mips", "mipsel", "mips64",
     "mips64el", "mips64le", "loong64", "loongarch64", "sparc", "sparc64", "alpha", "hppa", "m68k", "sh4"}
)  # fmt: skip


def names_of(arch: str) -> list[str]:
    """Return all that people call an architecture, our own name first."""
    return [arch, *(alias for alias, name in {**ALIASES, **LOOSE}.items() if name == arch)]


def is_other(text: str) -> bool:
    """Whether a word, as ``qemu-riscv64``, has the name of an architecture in it that the harness does not know."""
    return not OTHERS.isdisjoint(re.split(r"[^a-z0-9]+", text.lower()))


def nearest(word: str) -> str:
    """Return the architecture that a word means which is none of their names, or an empty text."""
    bare = word.lower().removeprefix("qemu-").removeprefix("qemu-system-").removeprefix("linux/")
    called = {alias: name for name in ARCHES for alias in names_of(name)}
    near = difflib.get_close_matches(bare[:100], () if is_other(word) else called, 1)
    return called[near[0]] if near else ""


def by_name(name: str) -> Arch:
    """Return the row called `name` (or an alias); UserError with the known names otherwise."""
    try:
        return ARCHES[ALIASES.get(name.lower(), name.lower())]
    except KeyError:
        near, listed = nearest(name), f"one of: {', '.join(ARCHES)}"
        hint = f"did you mean {near}? ({listed})" if near else listed
        raise UserError(f"unknown architecture {name!r}", hint=hint) from None


def parse_list(text: str) -> list[Arch]:
    """Turn ``all``, ``host`` or a comma-separated list into rows, in table order, without repeats."""
    names = [platform.machine() if part == "host" else part for part in text.replace(" ", "").split(",") if part]
    if "all" in names:
        return list(ARCHES.values())
    wanted = {by_name(name).name for name in names}
    if not wanted:
        raise UserError("no architecture given", hint=f"all, or some of: {', '.join(ARCHES)}")
    return [row for row in ARCHES.values() if row.name in wanted]
