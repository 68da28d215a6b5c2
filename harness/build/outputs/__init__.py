"""The formats that an image can have: each file of this folder is one, made from the same root, kernel and first stage.

A format's file is named as the format, with ``_`` for every other sign, and holds

``FORMAT``
    its name, as ``harness build --format`` takes it;
``make(parts, folder) -> OutputFiles``
    which writes its files into `folder`, and says which of them are shipped and how they boot;
``loaders(arch)``
    where it is not for every architecture, or has a boot loader in it: the packages that bring one, None for none;
``VERIFIED``
    where there is a second of its kind, NAME+verity, whose root is verified block by block when it is read: true.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast

from harness.arch import ARCHES, Arch
from harness.build import modules
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
    verity: bool = False  # the root is to lie in a partition of its own, verified when it is read


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
    holds: Mapping[str, int] | None = None  # bytes of kernel and initrd, where one file has both; of its root and tree
    root_hash: str = ""  # that a verified root is compared with
    firmware: Literal["uefi"] | None = None  # what must boot it, where a machine's own firmware cannot


# what LinuxKit calls formats: one that boots by every firmware serves for those that are for one
ALIASES = {
    **dict.fromkeys(("iso-bios", "iso-efi", "iso-efi-initrd"), "iso"),
    **dict.fromkeys(("raw-bios", "raw-efi", "aws", "img"), "raw"),
    **dict.fromkeys(("qcow2-bios", "qcow2-efi"), "qcow2"),
}


VERITY = "+verity"  # how the names of formats with a verified root end


class Output(Protocol):
    """A format: a module of this folder, or what `find` makes of one that is verified."""

    @property
    def FORMAT(self) -> str:  # noqa: N802 - a module's constant
        """Its name."""

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


@dataclass(frozen=True)
class _Verified:
    """A format whose root is verified."""

    plain: Output

    @property
    def FORMAT(self) -> str:  # noqa: N802 - as a module has it
        return self.plain.FORMAT + VERITY

    def make(self, parts: OutputParts, folder: Path) -> OutputFiles:
        return self.plain.make(replace(parts, verity=True), folder)

    def loaders(self, arch: Arch) -> tuple[str, ...] | None:
        return _packages(self.plain, arch)


def verified_names() -> list[str]:
    """Return the names of the formats that can have a verified root, without the end that says so; sorted."""
    return [name for name in names() if _can_verify(find(name))]


def called(name: str, *, verity: bool = False) -> str:
    """Return a format's own name, or with `verity` that of its kind with a verified root. UserError: there is none."""
    return find(name + VERITY if verity and not name.endswith(VERITY) else name).FORMAT


def first_modules(name: str) -> tuple[str, ...]:
    """Return the kernel modules that a format's first stage loads beside the kernel component's own."""
    return modules.VERITY if name.endswith(VERITY) else ()


def find(name: str) -> Output:
    """Return the format of that name, or that one of LinuxKit's. UserError when there is none."""
    name = name.lower()
    if name.endswith(VERITY):
        plain = find(name.removesuffix(VERITY))
        if not _can_verify(plain):
            others = ", ".join(verified_names())
            raise UserError(f"{plain.FORMAT} has no verified root", hint=f"--format with one of: {others}")
        return _Verified(plain)
    name = ALIASES.get(name, name)
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


def _can_verify(output: Output) -> bool:
    return bool(getattr(output, "VERIFIED", False))


def _load(file: str) -> Output:
    return cast(Output, import_module(f"{__name__}.{file}"))
