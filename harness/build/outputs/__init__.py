"""The formats that an image can have: each file of this folder is one, made from the same root, kernel and first stage.

A format's file is named as the format, with ``_`` for every other sign, and holds

``FORMAT``
    its name, as ``harness build --format`` takes it;
``make(parts, folder) -> OutputFiles``
    which writes its files into `folder`, and says which of them are shipped and how they boot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from harness.arch import Arch
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
    """Return the format of that name. UserError when there is none."""
    file = module_name(name)
    if re.fullmatch("[a-z0-9][a-z0-9_]*", file) and Path(__file__).with_name(f"{file}.py").is_file():
        found = _load(file)
        if name == found.FORMAT:
            return found
    raise UserError(f"unknown format {name[:80]!r}", hint=f"one of: {', '.join(names())}")


def _load(file: str) -> Output:
    return cast(Output, import_module(f"{__name__}.{file}"))
