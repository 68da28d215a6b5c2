"""Which QEMU and which firmware of its own a machine is made of: versions and digests, for who boots it again."""

from __future__ import annotations

from typing import Any

from harness import proc
from harness.arch import Arch
from harness.emulator.argv import Launch
from harness.emulator.disk import disk_of
from harness.emulator.firmware import needed, uefi
from harness.emulator.inputs import inputs
from harness.image import Bootable
from harness.spec.models.machine import MachineSpec
from harness.system import host
from harness.system.record import BootRecord

FIRMWARE = "firmware/"  # how the names of firmware files begin among a record's inputs


def of(arch: Arch, machine: MachineSpec, image: Bootable) -> dict[str, Any]:
    """Return the version and SHA-256 of an architecture's QEMU, and of each firmware file that image and machine load.

    HostError when QEMU or a UEFI is not installed.
    """
    parts = image.parts
    launch = Launch(
        program=proc.resolve(arch.qemu),
        machine=machine,
        kernel=parts.kernel,
        cmdline="",
        disk=disk_of(parts.disk) if parts.disk else None,
        firmware=uefi(machine) if needed(machine, parts) else None,
    )
    return _facts(arch.qemu.rpartition("/")[2], host.qemu_version(arch), inputs(launch))


def of_record(record: BootRecord, program: str) -> dict[str, Any]:
    """Return the same as a boot's record says it."""
    return _facts(program, record.qemu_version, record.inputs)


def _facts(program: str, version: str, found: dict[str, str]) -> dict[str, Any]:
    firmware = {name.removeprefix(FIRMWARE): digest for name, digest in found.items() if name.startswith(FIRMWARE)}
    return {"program": program, "version": version, "sha256": found.get("qemu", ""), "firmware": firmware}


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in words what is not the same of two such identities."""
    found = []
    if then.get("sha256") != now["sha256"]:
        found.append(f"QEMU {now['version']} (sha256 {now['sha256'][:12]}), not {then.get('version')} "
                     f"(sha256 {str(then.get('sha256'))[:12]})")  # fmt: skip
    files = then.get("firmware") or {}
    names = dict.fromkeys([*now["firmware"], *files])
    return found + [f"another firmware {name}" for name in names if files.get(name) != now["firmware"].get(name)]
