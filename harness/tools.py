"""The host programs the harness runs, and the Debian package that brings each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from harness.arch import ARCHES


@dataclass(frozen=True)
class Tool:
    """A host program. ``version`` is the arguments that make it print its version; ``needed_for`` is for people."""

    program: str
    package: str
    needed_for: str
    version: tuple[str, ...] = ("--version",)


def _by_program(*tools: Tool) -> dict[str, Tool]:
    return {tool.program: tool for tool in tools}


TOOLS = _by_program(
    Tool("apt-get", "apt", "resolving and downloading packages"),
    Tool("apt-cache", "apt", "reading package records"),
    Tool("tar2sqfs", "squashfs-tools-ng", "writing the root filesystem"),
    Tool("rdsquashfs", "squashfs-tools-ng", "reading it back"),
    Tool("sqfs2tar", "squashfs-tools-ng", "booting an image with its files in another order"),
    Tool("depmod", "kmod", "the order of kernel modules"),
    Tool("setpriv", "util-linux", "ending QEMU with its parent"),
    Tool("unshare", "util-linux", "keeping a stranger's OS from this host's network"),
    *(Tool(row.qemu, row.qemu_package, f"booting {row.name}") for row in ARCHES.values()),
)

# only the formats that are disks and CDs need these
FORMAT_TOOLS = _by_program(
    Tool("mkfs.fat", "dosfstools", "formats that are disks and CDs", ("--help",)),
    Tool("mcopy", "mtools", "formats that are disks and CDs"),
    Tool("mmd", "mtools", "formats that are disks and CDs"),
    Tool("sfdisk", "fdisk", "formats that are disks"),
    Tool("grub-mkimage", "grub-common", "formats that are disks and CDs"),
    Tool("xorriso", "xorriso", "formats that are CDs"),
    Tool("qemu-img", "qemu-utils", "disks as qcow2 and vmdk"),
)

# only the boards whose YAML says so need these
BOARD_TOOLS = _by_program(
    Tool("ipmitool", "ipmitool", "power by IPMI", ("-V",)),
    Tool("snmpset", "snmp", "power by SNMP"),
    Tool("snmpget", "snmp", "asking for the power by SNMP"),
    Tool("dnsmasq", "dnsmasq-base", "serving images to boards"),
)


def packages() -> list[str]:
    """Return the Debian packages that building and booting needs and that a small Debian lacks."""
    return sorted({tool.package for tool in TOOLS.values()} - {"apt", "util-linux"})


def find(program: str) -> str | None:
    """Return the program's full path, also from the sbin folders an ordinary user's PATH leaves out."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")


def package_of(program: str) -> str | None:
    """Return the Debian package that brings `program`, or None when the harness does not know it."""
    tool = {**TOOLS, **FORMAT_TOOLS, **BOARD_TOOLS}.get(program)
    return tool.package if tool else None
