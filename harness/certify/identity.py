"""Which QEMU and which firmware of its own a machine is made of: versions and digests, for who boots it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import proc
from harness.arch import Arch
from harness.emulator.firmware import uefi
from harness.errors import HostError
from harness.image import Bootable
from harness.spec.models.machine import MachineSpec
from harness.store import file_digest
from harness.system import host

# What QEMU loads beside the image when it is given a kernel (its hw/ folder says so for each machine type), by how a
# machine type's name begins.
_PC = ("kvmvapic.bin", "linuxboot_dma.bin")
FIRMWARE = {
    "q35": ("bios-256k.bin", *_PC),
    "pc": ("bios-256k.bin", *_PC),
    "microvm": ("bios-microvm.bin", *_PC),
    "s390-ccw-virtio": ("s390-ccw.img",),
    "virt": (),
}


def firmware_of(machine: MachineSpec) -> tuple[str, ...]:
    """Return the names of the firmware files that QEMU loads for a machine."""
    kind = machine.qemu.machine.partition(",")[0] if machine.qemu else ""
    known = (names for name, names in FIRMWARE.items() if kind == name or kind.startswith(f"{name}-"))
    return next(known, ())


def of(arch: Arch, machine: MachineSpec, image: Bootable) -> dict[str, Any]:
    """Return the version and SHA-256 of an architecture's QEMU, and of each firmware file that image and machine load.

    HostError when QEMU or a UEFI is not installed, or a file of QEMU's own is missing.
    """
    program = proc.resolve(arch.qemu)
    folders = _folders(program)
    found = {name: _found(name, folders) for name in firmware_of(machine)}
    if image.parts.firmware:
        found |= uefi(machine).files
    if missing := [name for name, path in found.items() if path is None]:
        raise HostError(
            f"{arch.qemu} has no firmware {missing[0]}", details=f"looked in {', '.join(map(str, folders))}"
        )
    return {
        "program": arch.qemu.rpartition("/")[2],
        "version": host.qemu_version(arch),
        "sha256": file_digest(Path(program)),
        "firmware": {name: file_digest(path) for name, path in found.items() if path},
    }


def _folders(program: str) -> list[Path]:
    """Return where QEMU looks for its files: it says so itself."""
    done = proc.run([program, "-L", "help"], timeout=20)
    return [Path(line) for line in done.stdout.decode(errors="replace").splitlines() if line]


def _found(name: str, folders: list[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in words what is not the same of two such identities."""
    found = []
    if then.get("sha256") != now["sha256"]:
        found.append(f"QEMU {now['version']} (sha256 {now['sha256'][:12]}), not {then.get('version')} "
                     f"(sha256 {str(then.get('sha256'))[:12]})")  # fmt: skip
    files = then.get("firmware") or {}
    found += [f"another firmware {name}" for name in now["firmware"] if files.get(name) != now["firmware"][name]]
    return found
