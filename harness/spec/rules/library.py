"""What is judged of components, machines and plans beyond their shape: pure, on plain data, at each key's path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import paths
from harness.arch import ALIASES, ARCHES
from harness.files import is_there
from harness.spec.models import forms
from harness.spec.rules import board as checks_board
from harness.spec.rules import characters, references
from harness.spec.rules import common as checks
from harness.spec.rules import deploy as checks_deploy
from harness.spec.text.complaints import Fault, KeyPath, Problem, nearest

# These names reach apt's and QEMU's command lines and /etc/passwd: the patterns keep options and line ends out.
_PACKAGE = re.compile(forms.PACKAGE)
_USER = re.compile(forms.ACCOUNT)
_PASSWD_PATH = re.compile(forms.PASSWD_PATH)
_WORD = re.compile(forms.QEMU_WORD)
# A kernel component is its package's kernel and modules, and the `files` that `ucode` may name.
_NOT_OF_A_KERNEL = ("keep", "drop", "stand_ins", "libraries", "users", "concatenate", "links", "modules", "carries",
                    "command_line", "guest", "section", "config")  # fmt: skip
_MODULE = re.compile(forms.MODULE)
_CONSOLE = re.compile(forms.CONSOLE)


def component(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    """Judge a component's data; the files that `files` names are looked for beside the YAML."""
    if "kernel" in data:
        for key in filter(data.get, _NOT_OF_A_KERNEL):
            yield Problem((key,), "means nothing for a kernel", at_key=True)
    yield from _packages(data, "packages", ())
    by_arch = _mapping(data, "packages_for")
    for arch in by_arch:
        yield from checks.problem(("packages_for", arch), architecture(arch), at_key=True)
        yield from _packages(by_arch, arch, ("packages_for",))
    for index, user in checks.mappings(data, "users"):
        yield from _user(user, ("users", index))
    yield from _files(data, yaml)
    for index, joined in checks.mappings(data, "concatenate"):
        if isinstance(joined.get("path"), str):
            yield from checks.problem(("concatenate", index, "path"), checks.inner_path(joined["path"]))
    links = _mapping(data, "links")
    for target in links:
        for index, link in checks.texts(links, target):
            yield from checks.problem(("links", target, index), checks.inner_path(link))
    for index, name in checks.texts(data, "stand_ins"):
        yield from checks.problem(("stand_ins", index), _stand_in(name))
    for key in ("modules", "carries"):
        for index, name in checks.texts(data, key):
            if not _MODULE.fullmatch(name):
                yield Problem(
                    (key, index), f"{name!r} is not a module's name", "a kernel module's name, as in dm-crypt"
                )
    yield from _config(_mapping(data, "config"), ("config",))


def _config(config: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    yield from checks.entry(config, at, None, checks.Around())
    for key in ("capabilities.add", "binds.add"):
        if key in config:
            yield Problem((*at, key), "means nothing in a component", key.removesuffix(".add"), at_key=True)


def _files(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    users = ["nobody", *(str(user.get("name")) for _, user in checks.mappings(data, "users"))]
    for index, file in checks.mappings(data, "files"):
        at = ("files", index)
        yield from checks.file(file, at, users, "a name listed under `users`")
        yield from checks.problem((*at, "source"), _source(file, yaml))
        if file.get("metadata"):
            yield Problem((*at, "metadata"), "means nothing in a component", "it in an image's `files`", at_key=True)


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _packages(data: Mapping[str, Any], key: str, at: KeyPath) -> Iterator[Problem]:
    for index, name in checks.texts(data, key):
        if not _PACKAGE.fullmatch(name):
            yield Problem((*at, key, index), f"{name!r} is not a package's name", "a Debian package's name")


def architecture(name: str) -> Fault | None:
    """Judge an architecture's name; only our own spelling counts in a file."""
    if name in ARCHES:
        return None
    near = ALIASES.get(name) or nearest(name, ARCHES)
    return Fault(f"unknown architecture {name!r}", "" if near else f"one of: {', '.join(ARCHES)}", near)


def _user(user: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    name = user.get("name")
    if isinstance(name, str) and not _USER.fullmatch(name):
        yield Problem((*at, "name"), f"{name!r} is not a user's name", "up to 31 of a-z 0-9 _ -")
    for key in ("home", "shell"):
        value = user.get(key)
        if isinstance(value, str) and not _PASSWD_PATH.fullmatch(value):
            yield Problem((*at, key), f"{value!r} is not a path for /etc/passwd", "a path from / without a colon")
    for key in ("uid", "gid"):
        yield from checks.problem((*at, key), checks.identity(user.get(key), None))


def stand_ins() -> list[str]:
    """Return the sonames of the stand-ins that the harness carries: the same ones for every architecture."""
    return sorted({path.name for path in (paths.GUEST / "native/bin").glob("*/*.so.*")})


def _stand_in(name: str) -> Fault | None:
    known = stand_ins()
    if name in known:
        return None
    near = nearest(name, known)
    return Fault(f"there is no stand-in for {name!r}", "" if near else f"one of: {', '.join(known)}", near)


def source_path(source: str, yaml: Path) -> Path | None:
    """Return the file that a component's ``source`` names, or None when it would lie outside the YAML's folder."""
    folder = yaml.parent.resolve()
    try:
        path = (folder / source).resolve()
    except (OSError, RuntimeError):  # too long, or links in a circle
        return None
    return path if path.is_relative_to(folder) and not source.startswith(("/", "~")) else None


def _source(file: Mapping[str, Any], yaml: Path) -> Fault | None:
    source = file.get("source")
    if not isinstance(source, str) or not source:
        return None
    path = source_path(source, yaml)
    if path is None:
        return Fault(
            f"{source!r} lies outside the component's folder", "a path relative to the YAML, inside its folder"
        )
    return None if file.get("optional") is True and not is_there(path) else references.unreadable(path, source)


def machine(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Judge a machine's data."""
    if isinstance(data.get("arch"), str) and data["arch"] not in ALIASES:
        yield from checks.problem(("arch",), architecture(data["arch"]))
    yield from _kernel_lines(data)
    console = data.get("console")
    if isinstance(console, str) and not _CONSOLE.fullmatch(console):
        yield Problem(("console",), f"{console!r} is not a console", "the kernel's name of it, as in ttyS0")
    if "qemu" not in data and "board" not in data:
        yield Problem((), "nothing says what makes the machine", "`qemu`, or `board`")
    elif "qemu" in data and "board" in data:
        yield Problem(("board",), "there is 'qemu' already", "one of the two", at_key=True)
    yield from checks_board.board(_mapping(data, "board"))
    yield from checks_deploy.board(_mapping(data, "board"))
    for key in ("machine", "cpu"):
        value = _mapping(data, "qemu").get(key)
        if isinstance(value, str) and not _WORD.fullmatch(value):
            yield Problem(
                ("qemu", key), f"{value!r} is not a valid {key} of QEMU", "a name, with ,option=value after it"
            )


def _kernel_lines(data: Mapping[str, Any]) -> Iterator[Problem]:
    arch = ARCHES.get(ALIASES.get(str(data.get("arch")), str(data.get("arch"))))
    rows = [arch] if arch else ARCHES.values()
    qemu = _mapping(data, "qemu")
    lines = ((("cmdline",), data.get("cmdline")), (("qemu", "exact_cmdline"), qemu.get("exact_cmdline")))
    for path, line in lines:
        if isinstance(line, str):
            yield from checks.problem(path, characters.kernel_line(line, rows))
