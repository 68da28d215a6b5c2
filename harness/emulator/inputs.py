"""Every file that decides what a QEMU does, by its digest: two boots with the same ones have the same exact times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from harness import proc
from harness.arch import ARCHES
from harness.emulator.argv import Launch, emulated, is_type
from harness.errors import HostError
from harness.store import file_digest
from harness.text import of_error

_LINUX_ROM, _OTHER_ROM = "linuxboot_dma.bin", "pvh.bin"
_LINUX_HEADER = (0x202, b"HdrS")  # Linux's x86 boot protocol
# Programs that devices bring, of those that a machine's own `args` may add.
DEVICES: dict[str, str] = {
    "VGA": "vgabios-stdvga.bin",
    "bochs-display": "vgabios-bochs-display.bin",
    "cirrus-vga": "vgabios-cirrus.bin",
    "qxl-vga": "vgabios-qxl.bin",
    "ramfb": "vgabios-ramfb.bin",
    "virtio-vga": "vgabios-virtio.bin",
    "vmware-svga": "vgabios-vmware.bin",
    "ati-vga": "vgabios-ati.bin",
    "isa-vga": "vgabios.bin",
    "e1000": "efi-e1000.rom",
    "e1000e": "efi-e1000e.rom",
    "ne2k_pci": "efi-ne2k_pci.rom",
    "pcnet": "efi-pcnet.rom",
    "rtl8139": "efi-rtl8139.rom",
    "virtio-net-pci": "efi-virtio.rom",
    "vmxnet3": "efi-vmxnet3.rom",
}


def inputs(launch: Launch) -> dict[str, str]:
    """Return the SHA-256 of each file that a start of QEMU reads, by what it is; HostError when one cannot be read.

    A firmware file that is in none of QEMU's folders is left out: QEMU says itself what it lacks.
    """
    files: dict[str, Path] = {"qemu": Path(launch.program)}
    files |= {name: path for name in ("kernel", "initrd", "iso") if (path := getattr(launch, name))}
    if launch.disk:
        files["disk"] = launch.disk.path
    if launch.firmware:
        files |= {f"firmware/{name}": path for name, path in launch.firmware.files.items()}
    folders = lookup_folders(launch.program, _own_folders(emulated(launch.machine).args))
    for name in firmware_names(launch):
        if path := next((found for folder in folders if (found := folder / name).is_file()), None):
            files[f"firmware/{name}"] = path
    files |= {f"args/{path.name}": path for path in _named_files(emulated(launch.machine).args)}
    try:
        return {name: _digest(path, *_state(path)) for name, path in files.items()}
    except OSError as error:
        raise HostError(f"cannot read what QEMU would: {of_error(error)}") from None


def firmware_names(launch: Launch) -> list[str]:
    """Return the names of the firmware files that a start of QEMU looks for in its folders."""
    qemu = emulated(launch.machine)
    kinds = ARCHES[launch.machine.arch].machine_types
    own = list(next((one.firmware for one in kinds if is_type(launch.machine, one.name)), ()))
    if launch.firmware or "-bios" in qemu.args:
        own = [name for name in own if not name.startswith("bios")]
    if launch.kernel and launch.machine.arch == "x86_64":
        own.append(_LINUX_ROM if _is_linux(launch.kernel) else _OTHER_ROM)
    if "-bios" in qemu.args[:-1]:
        own.append(qemu.args[qemu.args.index("-bios") + 1])
    for option, value in pairwise(qemu.args):
        device, _, rest = value.partition(",")
        if option in ("-device", "-vga") and "romfile=" not in rest and device in DEVICES:
            own.append(DEVICES[device])
    return list(dict.fromkeys(own))


def _is_linux(kernel: Path) -> bool:
    at, magic = _LINUX_HEADER
    try:
        with kernel.open("rb") as stream:
            stream.seek(at)
            return stream.read(len(magic)) == magic
    except OSError:
        return True


def _own_folders(args: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for option, value in pairwise(args) if option == "-L")


@lru_cache
def lookup_folders(program: str, own: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """Return where a QEMU looks for firmware, first the current folder; HostError when it does not say."""
    words = [word for folder in own for word in ("-L", folder)]
    done = proc.run([program, *words, "-L", "help"], timeout=20)
    return (Path(), *(Path(line) for line in done.stdout.decode(errors="replace").splitlines() if line))


def _named_files(args: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files that a machine's own arguments name."""
    for word in args:
        for part in re.split(r"[,=]", word):
            if "/" in part and (path := Path(part)).is_file():
                yield path


def _state(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _digest(path: Path, *_state: int) -> str:
    """Return a file's SHA-256, computed once for as long as the file's state is the same."""
    return file_digest(path)
