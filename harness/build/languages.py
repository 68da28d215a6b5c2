"""The packages of languages in an OCI image's root: Python's and Node's by their metadata, Go's by what programs hold.

A stranger's files: read with bounds, and what cannot be read is said in words, never guessed. What a distribution's
own package has brought is that package, and not listed once more.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import getaddresses
from functools import partial
from typing import IO, Any, cast

from harness.build import digests
from harness.build.elf import MAGIC
from harness.errors import UserError
from harness.files import parse_json
from harness.tree.tree import Slice, Tree, TreeNode

MAX_METADATA = 4 << 20  # bytes of a file with metadata
MAX_LIST = 64 << 20  # of one with the names of a package's files
MAX_GO = 16 << 20  # bytes of what a Go program says of itself
DPKG_LISTS, APK = "var/lib/dpkg/info/", ("lib/apk/db/installed", "usr/lib/apk/db/installed")
SYSTEM_INSTALLERS = ("debian", "rpm", "apk")  # in a dist-info's INSTALLER
_PYTHON = re.compile(r"(?:.*/)?[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)")
_NODE = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/@]+/package\.json")
# debug/buildinfo of Go's sources: a header of 32 bytes, and since Go 1.18 two strings with their lengths before them
_GO_MAGIC, _GO_HEADER, _GO_INLINE = b"\xff Go buildinf:", 32, 2
_GO_ALIGNED = 16
_EXECUTED, _WRITTEN = 1, 2  # of a segment's flags
_GO_SENTINEL = 16  # bytes around the table of modules


class UnreadableError(ValueError):
    """Metadata that is not what its name says."""


@dataclass(frozen=True)
class LanguagePackage:
    """A package of a language. ``kind`` is as a package URL spells it: pypi, npm or golang."""

    kind: str
    name: str
    version: str
    supplier: str = ""
    licence: str = ""
    sha256: str = ""
    sha512: str = ""


Found = tuple[str, "LanguagePackage | str"]  # where, and what is there, or why that is not known


def packages(tree: Tree) -> Iterator[Found]:
    """Yield each package that the metadata in a root names, with its path; a text says why there is none."""
    owned: frozenset[str] | None = None
    nodes = digests.NodeDigests(tree)
    for path, node in tree.files():
        reader = _reader(path, node, nodes)
        if reader is None:
            continue
        if owned is None:
            owned = _owned(tree)
        if path in owned:
            continue
        try:
            for one in reader(tree, path, node):
                yield path, one
        except (ValueError, RecursionError) as error:
            yield path, f"damaged: {str(error)[:200]}"


_LanguageReader = Callable[[Tree, str, TreeNode], Iterator[LanguagePackage]]


def _reader(path: str, node: TreeNode, nodes: digests.NodeDigests) -> _LanguageReader | None:
    if path.endswith("/package.json"):
        return partial(_node_package, nodes) if _NODE.fullmatch(path) else None
    if path.endswith(("/METADATA", "/PKG-INFO", ".egg-info")):
        return _python_package if _PYTHON.fullmatch(path) else None
    return _go_modules if node.mode & 0o111 and _is_elf(node.content) else None


def _is_elf(content: Slice | None) -> bool:
    if content is None or content.size < _GO_HEADER:
        return False
    with content.opened() as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _content(node: TreeNode) -> bytes:
    assert node.content is not None, "files have contents"
    if node.content.size > MAX_METADATA:
        raise UnreadableError(f"larger than {MAX_METADATA >> 20} MiB")
    return node.content.read()


def _owned(tree: Tree) -> frozenset[str]:
    """Return the paths of a language's metadata that the distribution's own packages have brought."""
    found: set[str] = set()
    for path, node in tree.nodes.items():
        if path.startswith(DPKG_LISTS) and path.endswith(".list") and node.content is not None:
            found.update(line.lstrip("/") for line in _text(node).splitlines())
    for path in APK:
        database = tree.look(path)
        folder = ""
        for line in _text(database).splitlines() if database is not None and database.content is not None else ():
            if line.startswith("F:"):
                folder = line[2:]
            elif line.startswith("R:"):
                found.add(f"{folder}/{line[2:]}")
    return frozenset(found)


def _text(node: TreeNode) -> str:
    """Return a file's text; nothing of one that is larger than any list of a package's files."""
    if node.content is None or node.content.size > MAX_LIST:
        return ""
    return node.content.read().decode("utf-8", "replace")


def _python_package(tree: Tree, path: str, node: TreeNode) -> Iterator[LanguagePackage]:
    from packaging.metadata import parse_email

    installer = tree.nodes.get(f"{path.rpartition('/')[0]}/INSTALLER")
    if installer is not None and _text(installer)[:40].strip() in SYSTEM_INSTALLERS:
        return
    said, _ = parse_email(_content(node))
    name, version = said.get("name"), said.get("version")
    if not name or not version:
        raise UnreadableError("names no package and version")
    addresses = getaddresses([said.get("maintainer_email") or said.get("author_email") or ""])
    person, address = next((one for one in addresses if one[1]), ("", ""))
    who = f"{person} <{address}>" if person else said.get("maintainer") or said.get("author") or address
    licence = said.get("license_expression") or said.get("license") or ""
    yield LanguagePackage("pypi", re.sub(r"[-_.]+", "-", name).lower(), version, who, licence,
                          **digests.of_python(tree, path))  # fmt: skip


def _node_package(nodes: digests.NodeDigests, _: Tree, path: str, node: TreeNode) -> Iterator[LanguagePackage]:
    try:
        said = parse_json(_content(node), "it")
    except UserError as error:
        raise UnreadableError(error.message) from None
    if not isinstance(said, dict):
        raise UnreadableError("no JSON object")
    name, version = said.get("name"), said.get("version")
    if not isinstance(name, str) or not isinstance(version, str) or not name or not version:
        return  # a part of a package, such as one that only says which kind of modules it holds
    sums = nodes.of(path, said)
    yield LanguagePackage("npm", name, version, _person(said.get("author")), _licence(said.get("license")), **sums)


def _person(said: Any) -> str:
    """Return who an author is: a text, or an object with name and address (package.json of npm)."""
    if isinstance(said, Mapping):
        address = f" <{said['email']}>" if isinstance(said.get("email"), str) else ""
        return f"{said['name']}{address}" if isinstance(said.get("name"), str) else ""
    return re.sub(r" *\([^()]*\)$", "", said) if isinstance(said, str) else ""


def _licence(said: Any) -> str:
    said = said.get("type") if isinstance(said, Mapping) else said
    return said if isinstance(said, str) else ""


def _go_modules(_: Tree, __: str, node: TreeNode) -> Iterator[LanguagePackage]:
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    assert node.content is not None, "files have contents"
    try:
        with node.content.opened() as stream:
            data = _go_section(ELFFile(cast(IO[bytes], _Window(stream, node.content.size))))
    except (ELFError, ConstructError, LookupError, AttributeError, OverflowError):
        return  # not a program that runs: what it may say is nobody's word
    if data:
        yield from _go_information(data)


def _go_section(elf: Any) -> bytes:
    """Return what a Go program says of itself; of one without sections, what its written data has of it, as Go does."""
    section = elf.get_section_by_name(".go.buildinfo")
    if section is not None:
        return bytes(section.data()) if section["sh_size"] <= MAX_GO else b""
    for segment in elf.iter_segments("PT_LOAD"):
        if segment["p_flags"] & (_EXECUTED | _WRITTEN) == _WRITTEN:
            elf.stream.seek(segment["p_offset"])
            data: bytes = elf.stream.read(min(segment["p_filesz"], MAX_GO))
            at = data.find(_GO_MAGIC)
            return data[at:] if at >= 0 and at % _GO_ALIGNED == 0 else b""
    return b""


class _Window(io.RawIOBase):
    """A file that is a piece of another one, which is open at its beginning."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._start, self._size, self._at = stream, stream.tell(), size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        self._stream.seek(self._start + self._at)
        data = self._stream.read(left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data


def _go_information(data: bytes) -> Iterator[LanguagePackage]:
    """Read what `go version -m` shows: the compiler's version, and the modules that a program is made of."""
    if not data.startswith(_GO_MAGIC) or len(data) < _GO_HEADER:
        raise UnreadableError("its Go build information has no header")
    if not data[15] & _GO_INLINE:
        raise UnreadableError("it was made by a Go before 1.18, whose modules are not read here")
    version, rest = _go_string(data[_GO_HEADER:])
    if match := re.match(rb"go([0-9][0-9A-Za-z.]*)", version):
        yield LanguagePackage("golang", "stdlib", match[1].decode(), "The Go Authors", "BSD-3-Clause")
    table, _ = _go_string(rest)
    last: list[str] = []
    for line in [*table[_GO_SENTINEL:-_GO_SENTINEL].decode("utf-8", "replace").split("\n"), ""]:
        words = line.split("\t")
        if words[0] == "=>" and last:
            last = words  # stands for the one before it
            continue
        if last and len(last) > 2 and last[2]:
            yield LanguagePackage("golang", last[1], last[2])
        last = words if words[0] in ("mod", "dep") else []


def _go_string(data: bytes) -> tuple[bytes, bytes]:
    """Return a string that has its length before it, as a variable-length number, and what follows it."""
    size = shift = 0
    for at, byte in enumerate(data[:10]):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if at + 1 + size > len(data):
                break
            return data[at + 1 : at + 1 + size], data[at + 1 + size :]
    raise UnreadableError("its Go build information is cut short")
