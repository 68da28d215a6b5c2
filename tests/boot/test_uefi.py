"""UEFI and CDs, really booted: our own image as somebody else's, on media that its firmware has to find by itself."""

from __future__ import annotations

import gzip
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import proc
from harness.certify import identity
from harness.image import ForeignImage, Image
from harness.launch import boot
from harness.launch.exact import compare, exact_boot
from harness.spec import load_machine, load_os
from harness.system import BootOptions

YAML = """\
os: {{name: theirs, arch: {arch}}}
{medium}
milestones:
  - {{name: booting, pattern: 'harness: boot$'}}
  - {{name: ready, pattern: 'harness: ready'}}
"""
CONSOLES = {"x86_64": "ttyS0", "arm64": "ttyAMA0"}
MB = 1_000_000


def run(*argv: object) -> None:
    words = [str(word) for word in argv]
    subprocess.run([proc.resolve(words[0]), *words[1:]], check=True, capture_output=True)


def fat(image: Image, path: Path) -> Path:
    """Make a FAT filesystem on which UEFI's own shell finds what starts the kernel with its initrd."""
    script, kernel = path.with_name("startup.nsh"), path.with_name("vmlinuz")
    packed = image.kernel.read_bytes()
    kernel.write_bytes(gzip.decompress(packed) if packed.startswith(b"\x1f\x8b") else packed)  # UEFI unpacks nothing
    words = f"vmlinuz.efi initrd=\\initrd console={CONSOLES[image.arch.name]} quiet cryptomgr.notests"
    script.write_text(f"fs0:\r\n{words}\r\n")
    run(
        "mformat",
        "-C",
        "-i",
        path,
        "-T",
        (kernel.stat().st_size + image.initrd.stat().st_size + 8 * MB) // 512,
        "-h",
        "64",
        "-s",
        "32",
        "::",
    )
    for source, name in ((kernel, "vmlinuz.efi"), (image.initrd, "initrd"), (script, "startup.nsh")):
        run("mcopy", "-i", path, source, f"::{name}")
    return path


def foreign(folder: Path, arch: str, medium: str) -> ForeignImage:
    (folder / "os.yml").write_text(YAML.format(arch=arch, medium=medium))
    return ForeignImage(load_os(folder / "os.yml"))


def ready(image: ForeignImage, out: Path) -> int | None:
    options = BootOptions(mode="wall", out=out, timeout=300)
    with boot(image, load_machine(f"qemu-{image.arch.name}"), options) as system:
        return system.wait_ready().guest_us


# arm64's does boot from a CD below, and x86_64's what the harness makes: tests/boot/test_formats.py
@pytest.mark.long
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_uefi_boots_a_disk_and_forgets(arch: str, images: Callable[[str], Image], tmp_path: Path) -> None:
    disk = fat(images(arch), tmp_path / "disk.img")
    before = disk.read_bytes()
    assert ready(foreign(tmp_path, arch, "disk: disk.img\nfirmware: uefi"), tmp_path / "out")
    assert disk.read_bytes() == before


def test_uefi_boots_a_cd(images: Callable[[str], Image], tmp_path: Path) -> None:
    (tmp_path / "cd").mkdir()
    fat(images("arm64"), tmp_path / "cd/efi.img")
    run("xorriso", "-as", "mkisofs", "-o", tmp_path / "os.iso", "-e", "efi.img", "-no-emul-boot", tmp_path / "cd")
    assert ready(foreign(tmp_path, "arm64", "iso: os.iso\nfirmware: uefi"), tmp_path / "out")


# Writes its words to the first serial port.
SECTOR = bytes.fromhex("31c0 8ed8 be137c baf803 ac 84c0 7403 ee ebf8 f4 ebfd")


@pytest.mark.boots
def test_the_bios_boots_a_cd_before_a_disk(tmp_path: Path) -> None:
    (tmp_path / "cd").mkdir()
    (tmp_path / "cd/boot.img").write_bytes((SECTOR + b"harness: boot\r\nharness: ready\r\n\0").ljust(2048, b"\0"))
    run("xorriso", "-as", "mkisofs", "-o", tmp_path / "os.iso", "-b", "boot.img", "-no-emul-boot",
        "-boot-load-size", "4", tmp_path / "cd")  # fmt: skip
    (tmp_path / "disk.img").write_bytes(SECTOR + b"the disk\r\n\0".ljust(510 - len(SECTOR), b"\0") + b"\x55\xaa")
    assert ready(foreign(tmp_path, "x86_64", "iso: os.iso\ndisk: disk.img"), tmp_path / "out") is None


# Where a kernel for IBM Z is told of its initrd and command line (arch/s390/include/asm/setup.h in Linux).
INITRD_AT, COMMAND_LINE = 0x10408, 0x10480


def test_ibm_zs_firmware_boots_a_cd(images: Callable[[str], Image], tmp_path: Path) -> None:
    image = images("s390x")
    kernel, initrd = bytearray(image.kernel.read_bytes()), image.initrd.read_bytes()
    start = -(-max(len(kernel), 24 * MB) // 4096) * 4096
    struct.pack_into(">QQ", kernel, INITRD_AT, start, len(initrd))
    words = b"console=ttysclp0 quiet cryptomgr.notests\0"
    kernel[COMMAND_LINE : COMMAND_LINE + len(words)] = words
    (tmp_path / "cd").mkdir()
    (tmp_path / "cd/all.ikr").write_bytes(kernel.ljust(start, b"\0") + initrd)
    run("xorriso", "-as", "mkisofs", "-o", tmp_path / "os.iso", "-b", "all.ikr", "-no-emul-boot", tmp_path / "cd")
    assert ready(foreign(tmp_path, "s390x", "iso: os.iso"), tmp_path / "out")


def test_a_kernel_behind_uefi_takes_the_same_time_twice(images: Callable[[str], Image], tmp_path: Path) -> None:
    image, machine = images("arm64"), load_machine("qemu-arm64")
    for name in ("kernel", "initrd"):
        (tmp_path / name).symlink_to(getattr(image, name))
    medium = "kernel: kernel\ninitrd: initrd\ncmdline: quiet cryptomgr.notests"
    behind = foreign(tmp_path, "arm64", f"{medium}\nfirmware: uefi")
    one, two = (exact_boot(behind, machine, tmp_path / name, timeout=300) for name in ("1", "2"))
    assert compare(one, two).repeats and one.ready_us
    directly = exact_boot(foreign(tmp_path, "arm64", medium), machine, tmp_path / "3", timeout=300)
    assert " with UEFI " in one.key["machine"]
    assert {name for name, value in one.key.items() if value != directly.key[name]} == {"machine"}
    files = {
        name: set(identity.of(image.arch, machine, os)["firmware"]) for name, os in (("uefi", behind), ("own", image))
    }
    assert files == {"uefi": {"AAVMF_CODE.fd", "AAVMF_VARS.fd"}, "own": set()}
