"""The formats that an image can have: each file of this folder is one, made from the same root, kernel and first stage.

A format's file is named as the format, with ``_`` for every other sign, and holds

``FORMAT``
    its name, as ``harness build --format`` takes it;
``make(parts, folder) -> OutputFiles``
    which writes its files into `folder`, and says which of them are shipped and how they boot;
``loaders(arch)``
    where it is not for every architecture, or has a boot loader in it: the packages that bring one, None for none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast

from harness.arch import ARCHES, Arch
from harness.build.media.loaders import NONE, Loaders
from harness.build.root import Root
from harness.errors import UserError


@dataclass(frozen=True)
class FirstStage:
    """What runs before the root is mounted: modules in the order of loading, and microcode where there is some.

    ``bare``: the root's init is not the harness's own, and mounts by itself what it wants beside the root and /dev.
    """

    modules: tuple[Path, ...]
    ucode: Path | None = None
    bare: bool = False


@dataclass(frozen=True)
class ProbeParts:
    """What the probe segment is made of: modules in the order of loading, and a busybox."""

    modules: tuple[Path, ...]
    busybox: bytes


@dataclass(frozen=True)
class OutputParts:
    """What an output is made of; ``cmdline`` is the image's own kernel command line."""

    arch: Arch
    root: Root
    kernel: Path
    first_stage: FirstStage
    probe: ProbeParts
    cmdline: str
    loaders: Loaders = NONE


@dataclass(frozen=True)
class OutputFiles:
    """The names of an output's files: what is shipped, what is not, and which file boots as which of `image.Parts`.

    ``root`` is the file that carries the root filesystem, ``root_size`` how many of its bytes that takes.
    """

    shipped: tuple[str, ...]
    root: str
    root_size: int
    beside: tuple[str, ...] = ()
    boot: Mapping[str, str] = field(default_factory=dict)  # empty: nothing boots it as it is
    holds: Mapping[str, int] | None = None  # bytes of kernel and initrd, where one file has both in it
    firmware: Literal["uefi"] | None = None  # what must boot it, where a machine's own firmware cannot


# what LinuxKit calls formats: one that boots by every firmware serves for those that are for one
ALIASES = {
    **dict.fromkeys(("iso-bios", "iso-efi", "iso-efi-initrd"), "iso"),
    **dict.fromkeys(("raw-bios", "raw-efi", "aws", "img"), "raw"),
    **dict.fromkeys(("qcow2-bios", "qcow2-efi"), "qcow2"),
}


class Output(Protocol):
    """A format: a module of this folder."""

    FORMAT: str

    def make(self, parts: OutputParts, folder: Path) -> OutputFiles:
        """Write the output's files into `folder`."""
        ...


def module_name(name: str) -> str:
    """Return the name of the file that a format has in this folder, without its ending."""
    return re.sub("[^a-z0-9]", "_", name)


def names() -> list[str]:
    """Return the names of all formats, sorted."""
    files = (path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    return sorted(_load(file).FORMAT for file in files)


def find(name: str) -> Output:
    """Return the format of that name, or that one of LinuxKit's. UserError when there is none."""
    name = ALIASES.get(name.lower(), name.lower())
    file = module_name(name)
    if re.fullmatch("[a-z0-9][a-z0-9_]*", file) and Path(__file__).with_name(f"{file}.py").is_file():
        found = _load(file)
        if name == found.FORMAT:
            return found
    near, listed = difflib.get_close_matches(name, names(), 1), f"one of: {', '.join(names())}"
    raise UserError(f"unknown format {name[:80]!r}", hint=f"did you mean {near[0]}? ({listed})" if near else listed)


def loader_packages(name: str, arch: Arch) -> tuple[str, ...]:
    """Return the packages of a format's boot loader. UserError where there is no such format, or not for `arch`."""
    found = _packages(find(name), arch)
    if found is None:
        others = ", ".join(row.name for row in ARCHES.values() if exists(name, row))
        raise UserError(f"there is no {name} for {arch.name}", hint=f"for {others} there is")
    return found


def exists(name: str, arch: Arch) -> bool:
    """Say whether an architecture has a format. UserError where there is none of that name."""
    return _packages(find(name), arch) is not None


def _packages(output: Output, arch: Arch) -> tuple[str, ...] | None:
    ask: Callable[[Arch], tuple[str, ...] | None] = getattr(output, "loaders", lambda _: ())
    return ask(arch)


def _load(file: str) -> Output:
    return cast(Output, import_module(f"{__name__}.{file}"))
