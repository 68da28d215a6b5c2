"""What shows once the files are there, and would else end a boot: programs that are missing or of another machine.

Also the kernel modules that entries and files name, so that the image carries them. Pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.arch import Arch
from harness.build.rootfs import ResolvedImage
from harness.errors import UserError
from harness.spec import host_file
from harness.spec.labels import DEFAULT_ENV, merge
from harness.spec.models.container import Entry, EntryConfig, File
from harness.spec.models.image import ImageSpec
from harness.spec.rules.common import SECTIONS
from harness.tree.tree import TreeNode, clean

ELF = b"\x7fELF"
_HEAD = 20  # bytes of an ELF file up to its machine's number
# the machine's number in an ELF header (e_machine)
_NAMES = {62: "x86_64", 183: "arm64", 22: "s390x", 3: "i386", 40: "arm", 243: "riscv64", 21: "ppc64"}


def judge_programs(spec: ImageSpec, parts: Mapping[str, ResolvedImage], arch: Arch) -> None:
    """Refuse entries whose program the image does not have, cannot run, or has for another architecture.

    Raises UserError. What a bind, a mount or the YAML's own files bring into the container is not known here.
    """
    for section in SECTIONS:
        for entry in getattr(spec, section):
            part = parts[entry.image]
            config = merge(part.config, entry)
            at = f"{section}: {entry.name}"
            if config.command and not _brought(spec, section, entry):
                _program(at, config, part, arch)
    for file in spec.files:
        _source(file, spec, arch)


def named_modules(spec: ImageSpec, parts: Mapping[str, ResolvedImage]) -> dict[str, str]:
    """Return the modules that modprobe commands, MODULES and /etc/modules name, each with where that stands."""
    found: dict[str, str] = {}
    for section in SECTIONS:
        for entry in getattr(spec, section):
            config = merge(parts[entry.image].config, entry)
            for name in _asked(config, parts[entry.image]):
                found.setdefault(name, f"{section}: {entry.name}")
    for file in spec.files:
        if clean(file.path) == "etc/modules" and file.contents:
            for line in file.contents.splitlines():
                word = line.split("#", 1)[0].split()
                if word:
                    found.setdefault(word[0], "files: /etc/modules")
    return found


def _asked(config: EntryConfig, part: ResolvedImage) -> Iterator[str]:
    words = list(config.command or ())
    if words and posixpath.basename(words[0]) == "modprobe":
        names = [word for word in words[1:] if not word.startswith("-")]
        every = any(word.startswith("-") and not word.startswith("--") and "a" in word for word in words[1:])
        yield from names if every or "--all" in words else names[:1]
    if part.reference == "modprobe":
        for text in config.env or ():
            if text.startswith("MODULES="):
                yield from text.partition("=")[2].split()


def _brought(spec: ImageSpec, section: str, entry: Entry) -> bool:
    """Say whether the YAML's own files go into the container's folder."""
    return any(clean(file.path).startswith(f"containers/{section}/") and entry.name in file.path for file in spec.files)


def _program(at: str, config: EntryConfig, part: ResolvedImage, arch: Arch) -> None:
    program = (config.command or ("",))[0]
    covered = [clean(place) for place in _covered(config) if place.strip("/")]
    places = _places(program, config)
    if any(place == one or place.startswith(f"{one}/") for place in places for one in covered):
        return
    found = next(((place, node) for place in places if (node := part.tree.get(place)) is not None), None)
    if found is None:
        name = posixpath.basename(program)
        known = sorted(f"/{path}" for path in part.tree.nodes if posixpath.basename(path) == name)
        has = f"it has {', '.join(known[:3])}" if known else "it holds no program of that name"
        raise UserError(f"{at}: {part.reference} has no {program}", hint=has)
    place, node = found
    if node.is_dir or not node.mode & 0o111:
        raise UserError(f"{at}: /{place} of {part.reference} is not a program", hint="a file that may be executed")
    _machine(f"{at}: /{place} of {part.reference}", node, arch)


def _covered(config: EntryConfig) -> Iterator[str]:
    """Yield the places whose files the image's own do not decide."""
    for text in config.binds or ():
        yield text.split(":")[1] if ":" in text else ""
    for text in config.tmpfs or ():
        yield text.split(":")[0]
    for mount in config.mounts or ():
        yield mount.destination
    for mount in config.runtime.mounts if config.runtime else ():
        yield mount.destination


def _places(program: str, config: EntryConfig) -> list[str]:
    """Return where the program may lie, in order."""
    if "/" in program:
        return [clean(posixpath.normpath(posixpath.join(config.cwd or "/", program)))]
    env = dict(text.split("=", 1) for text in (config.env or DEFAULT_ENV) if "=" in text)
    path = env.get("PATH") or dict(text.split("=", 1) for text in DEFAULT_ENV)["PATH"]
    return [clean(posixpath.join(folder, program)) for folder in path.split(":") if folder]


def _machine(what: str, node: TreeNode, arch: Arch) -> None:
    if node.content is None:
        return
    with node.content.opened() as stream:
        _head(what, stream.read(_HEAD), arch)


def _head(what: str, head: bytes, arch: Arch) -> None:
    if len(head) < _HEAD or not head.startswith(ELF):
        return
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    other = _NAMES.get(number, f"another machine (ELF's {number})")
    if other != arch.name:
        raise UserError(f"{what} is a program for {other}, and the image is for {arch.name}")


def _source(file: File, spec: ImageSpec, arch: Arch) -> None:
    """Look at a file of the host's that may be executed."""
    if not file.source or not int(file.mode or "0600", 8) & 0o111:
        return
    path: Path = host_file(file.source, spec.sources[0])
    if path.is_file():
        with path.open("rb") as stream:
            _head(f"files: {file.path}: {file.source}", stream.read(_HEAD), arch)
