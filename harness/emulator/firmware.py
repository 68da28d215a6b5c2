"""Finds a machine's UEFI firmware by the descriptors that come with it.

QEMU's docs/interop/firmware.json says what is in a descriptor, and that one in a folder before hides one of the same
name in a folder after; where several fit, the first by name is meant.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.arch import ARCHES
from harness.errors import HostError, UserError
from harness.files import read_json
from harness.image import Parts
from harness.spec.models.machine import MachineSpec
from harness.store import file_digest

# What asks for more than a machine that boots whatever it is given.
UNWANTED = {"requires-smm", "enrolled-keys", "secure-boot"}


@dataclass(frozen=True)
class Flash:
    """One of the two flash chips: the program, or the variables as they are at first."""

    path: Path
    format: str


@dataclass(frozen=True)
class Firmware:
    """A UEFI: its program, and the variables that each boot begins with, and forgets unless it has a file for them."""

    code: Flash
    variables: Flash
    kept: Path | None = None  # what the guest makes of the variables

    @property
    def files(self) -> dict[str, Path]:
        """Its files, by name."""
        return {flash.path.name: flash.path for flash in (self.code, self.variables)}

    @property
    def digest(self) -> str:
        """The SHA-256 of its program."""
        return file_digest(self.code.path)


def keep_variables(uefi: Firmware, folder: Path) -> Firmware:
    """Return a UEFI that remembers what it is told, in a file of `folder`; HostError when it cannot be made."""
    path = folder / f"uefi-variables-{uefi.digest[:12]}"
    try:
        if not path.exists():
            shutil.copyfile(uefi.variables.path, path)
    except OSError as error:
        raise HostError(f"cannot make the machine's UEFI variables {path}: {error.strerror}") from None
    return replace(uefi, kept=path)


def needed(machine: MachineSpec, parts: Parts) -> bool:
    """Say whether a UEFI boots these files on this machine: it says so itself, or they do."""
    return parts.firmware == "uefi" or bool(machine.qemu and machine.qemu.firmware == "uefi")


def folders() -> tuple[Path, ...]:
    """Return where descriptors are looked for, the user's own first."""
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (own / "qemu/firmware", Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))


def uefi(machine: MachineSpec) -> Firmware:
    """Return the UEFI of a machine; UserError when there is none for its type, HostError when it is not installed."""
    kind = machine.qemu.machine.partition(",")[0] if machine.qemu else ""
    arch = ARCHES[machine.arch]
    # what short names of machine types stand for, of those that have a UEFI
    types = {one.name: one.uefi for one in arch.machine_types if one.uefi}
    wanted = types.get(kind, kind)
    if not any(wanted.startswith(name.removesuffix("any")) for name in types.values()):
        raise UserError(
            f"{machine.name} has no UEFI: QEMU's {kind or 'board'} on {machine.arch} boots otherwise",
            hint="leave `firmware` out of the OS's YAML, or choose another machine",
        )
    for descriptor in _descriptors():
        if found := _fitting(descriptor, arch.uefi, wanted):
            return found
    raise HostError(
        f"no UEFI for {machine.arch} is installed on this host",
        details=f"looked for its descriptor in {', '.join(map(str, folders()))}",
        hint=f"apt-get install {arch.uefi_package}",
    )


def _descriptors() -> Iterator[Any]:
    """Yield the descriptors in order; what is none is passed over."""
    files: dict[str, Path] = {}
    for folder in reversed(folders()):
        files |= {path.name: path for path in folder.glob("*.json")}
    for _, path in sorted(files.items()):
        try:
            yield read_json(path, HostError)
        except HostError:
            continue


def _fitting(descriptor: Any, architecture: str, machine: str) -> Firmware | None:
    try:
        mapping = descriptor["mapping"]
        fits = any(
            target["architecture"] == architecture and any(fnmatchcase(machine, one) for one in target["machines"])
            for target in descriptor["targets"]
        )
        if not fits or "uefi" not in descriptor["interface-types"] or mapping["device"] != "flash":
            return None
        if UNWANTED & set(descriptor["features"]):
            return None
        code, variables = (
            Flash(Path(mapping[part]["filename"]), str(mapping[part]["format"]))
            for part in ("executable", "nvram-template")
        )
    except (KeyError, TypeError):
        return None
    return Firmware(code, variables) if code.path.is_file() and variables.path.is_file() else None
