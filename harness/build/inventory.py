"""The packages in an OCI image: those that its databases (dpkg's, apk's, rpm's) name, and its languages' own.

Also the distribution that it is.

A stranger's files: read with bounds, and what cannot be read is said in words, never guessed.
"""

from __future__ import annotations

import re
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.build import languages
from harness.text import one_line
from harness.tree.tree import Tree, TreeNode

MAX_DATABASE = 256 << 20
MAX_PACKAGES = 50_000
MAX_HEADER = 64 << 20  # bytes of what rpm's database has of one package
MAX_STEPS = 200  # millions of steps of SQLite's machine: a package takes it some ten
MAX_FIELD = 1000  # letters of any one thing that is said of a package: of a version CycloneDX takes 1024
DPKG, DPKG_PARTS = "var/lib/dpkg/status", "var/lib/dpkg/status.d"  # the latter of images without dpkg itself
RPM = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
RPM_SQLITE, RPM_OTHERS = "rpmdb.sqlite", ("Packages", "Packages.db")
RELEASES = ("etc/os-release", "usr/lib/os-release")
_RELEASE_LINE = re.compile(r"""([A-Z_]+)=["']?([^"']*)["']?""")
_SOURCE = re.compile(r"(\S+)(?: +\((\S+)\))?")
# rpm's tags (lib/rpmtag.h) and types of what they hold
_RPM_TAGS = {1000: "name", 1001: "version", 1002: "release", 1003: "epoch", 1011: "supplier", 1014: "licence",
             1022: "arch", 1044: "source"}  # fmt: skip
_RPM_INT32, _RPM_STRINGS = 4, (6, 8, 9)


@dataclass(frozen=True)
class InstalledPackage:
    """A package as an image itself has it. ``kind``, as a package URL spells it: deb, apk, rpm, pypi, npm or golang.

    The digests, in hexadecimal, are of its package file; empty where the image does not say them.
    """

    kind: str
    name: str
    version: str
    arch: str = ""
    source: str = ""
    source_version: str = ""
    supplier: str = ""
    licence: str = ""
    sha256: str = ""
    sha512: str = ""


@dataclass
class Inventory:
    """What an image's databases say: its distribution, its packages, and what of them could not be read."""

    distro: Mapping[str, str] = field(default_factory=dict)  # id, version, codename, as os-release has them
    packages: list[InstalledPackage] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as what a manifest holds."""
        rows = sorted(self.packages, key=lambda one: (one.kind, one.name, one.version, one.arch))
        return {"distro": dict(self.distro), "packages": [asdict(one) for one in rows], "unread": self.unread}


Reader = Callable[[bytes], Iterator[InstalledPackage]]


def take(tree: Tree) -> Inventory:
    """Return what the databases of an image's root, and its languages' metadata, say."""
    found = Inventory(distro=_distro(tree))
    _read(tree, DPKG, found, _installed_debs)
    for path in _below(tree, DPKG_PARTS):
        if not path.endswith(".md5sums"):
            _read(tree, path, found, _debs)
    for path in languages.APK:
        _read(tree, path, found, _apks)
    for folder in RPM:
        _read(tree, f"{folder}/{RPM_SQLITE}", found, _rpms)
        found.unread += [
            f"/{folder}/{name}: rpm's database in a form that is not read here"
            for name in RPM_OTHERS
            if tree.nodes.get(f"{folder}/{name}") is not None
        ]
    _read_languages(tree, found)
    found.packages = list(dict.fromkeys(found.packages))
    return found


def _read_languages(tree: Tree, found: Inventory) -> None:
    for path, said in languages.packages(tree):
        if len(found.packages) >= MAX_PACKAGES:
            found.unread.append(f"/{path}: more than {MAX_PACKAGES} packages")
            return
        if isinstance(said, str):
            found.unread.append(f"/{path}: {said}")
        else:
            found.packages.append(
                _package(
                    said.kind,
                    said.name,
                    said.version,
                    "",
                    supplier=said.supplier,
                    licence=said.licence,
                    sha256=said.sha256,
                    sha512=said.sha512,
                )
            )


def _below(tree: Tree, folder: str) -> list[str]:
    place = tree.look(folder)
    return sorted(path for path in tree.nodes if path.startswith(f"{folder}/")) if place is not None else []


def _node(tree: Tree, path: str) -> TreeNode | None:
    node = tree.look(path)
    return node if node is not None and node.content is not None else None


def _read(tree: Tree, path: str, found: Inventory, reader: Reader) -> None:
    node = _node(tree, path)
    if node is None or node.content is None:
        return
    if node.content.size > MAX_DATABASE:
        found.unread.append(f"/{path}: larger than {MAX_DATABASE >> 20} MiB")
        return
    try:
        for package in reader(node.content.read()):
            if len(found.packages) >= MAX_PACKAGES:
                found.unread.append(f"/{path}: more than {MAX_PACKAGES} packages")
                return
            found.packages.append(package)
    except (ValueError, struct.error, sqlite3.Error) as error:
        found.unread.append(f"/{path}: damaged: {str(error)[:200]}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _distro(tree: Tree) -> dict[str, str]:
    node = next((node for path in RELEASES if (node := _node(tree, path)) is not None), None)
    if node is None or node.content is None or node.content.size > MAX_FIELD * 20:
        return {}
    said = {match[1]: match[2] for line in _text(node.content.read()).splitlines()
                if (match := _RELEASE_LINE.fullmatch(line.strip()))}  # fmt: skip
    keys = {"id": "ID", "version": "VERSION_ID", "codename": "VERSION_CODENAME"}
    return {ours: one_line(said[theirs], 100) for ours, theirs in keys.items() if said.get(theirs)}


def _installed_debs(data: bytes) -> Iterator[InstalledPackage]:
    return _debs(data, lambda row: row.get("status", "").endswith(" installed"))


def _debs(data: bytes, is_there: Callable[[Mapping[str, str]], bool] = lambda _: True) -> Iterator[InstalledPackage]:
    from harness.build.sources import stanzas

    for row in stanzas(_text(data)):
        if not (is_there(row) and row.get("package") and row.get("version")):
            continue
        source = _SOURCE.fullmatch(row.get("source", ""))
        yield _package(
            "deb", row["package"], row["version"], row.get("architecture", ""),
            source=source[1] if source else row["package"],
            source_version=(source[2] if source else None) or row["version"],
            supplier=row.get("maintainer", ""),
        )  # fmt: skip


def _apks(data: bytes) -> Iterator[InstalledPackage]:
    for block in re.split(r"\n\n+", _text(data)):
        row = dict(line.split(":", 1) for line in block.splitlines() if line[1:2] == ":")
        if row.get("P") and row.get("V"):
            yield _package(
                "apk", row["P"], row["V"], row.get("A", ""),
                source=row.get("o", row["P"]), source_version=row["V"], supplier=row.get("m", ""),
                licence=row.get("L", ""),
            )  # fmt: skip


def _rpms(data: bytes) -> Iterator[InstalledPackage]:
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as copy:
        copy.write(data)
        copy.flush()
        uri = f"{Path(copy.name).as_uri()}?mode=ro&immutable=1"
        database = sqlite3.connect(uri, uri=True)
        try:
            _bound(database)
            for (blob,) in database.execute("SELECT blob FROM Packages ORDER BY hnum"):
                row = _rpm(blob)
                if row.get("name") and row.get("version") and row["name"] != "gpg-pubkey":
                    epoch = f"{row['epoch']}:" if row.get("epoch") not in (None, "0") else ""
                    version = f"{epoch}{row['version']}-{row.get('release', '')}".rstrip("-")
                    yield _package(
                        "rpm", row["name"], version, row.get("arch", ""), source=row.get("source", ""),
                        supplier=row.get("supplier", ""), licence=row.get("licence", ""),
                    )  # fmt: skip
        finally:
            database.close()


def _bound(database: sqlite3.Connection) -> None:
    """Let a stranger's database be a table only; ValueError when it is none, such as a view, a program without end."""
    found = database.execute("SELECT type, rootpage FROM sqlite_master WHERE name = 'Packages'").fetchall()
    if [kind for kind, page in found if page] != ["table"]:
        raise ValueError("no table of packages")
    database.execute("PRAGMA trusted_schema = OFF")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_HEADER)
    steps = iter(range(MAX_STEPS))
    database.set_progress_handler(lambda: next(steps, None) is None, 1_000_000)


def _rpm(blob: object) -> dict[str, str]:
    """Read a header of rpm: counts, an index of tags, and what they hold, all in network byte order."""
    if not isinstance(blob, bytes):
        raise ValueError("a row that is not a header")
    tags, size = struct.unpack_from(">II", blob)
    start = 8 + 16 * tags
    if start + size > len(blob):
        raise ValueError("a header that is cut short")
    found = {}
    for number in range(tags):
        tag, kind, offset, count = struct.unpack_from(">IIII", blob, 8 + 16 * number)
        name = _RPM_TAGS.get(tag)
        if name is None or not count or offset >= size:
            continue
        if kind in _RPM_STRINGS:
            found[name] = _text(blob[start + offset :].split(b"\0", 1)[0])
        elif kind == _RPM_INT32:
            found[name] = str(struct.unpack_from(">I", blob, start + offset)[0])
    return found


def _package(kind: str, name: str, version: str, arch: str, **more: str) -> InstalledPackage:
    said = {key: one_line(" ".join(value.split()), MAX_FIELD) for key, value in more.items()}
    return InstalledPackage(kind, one_line(name, MAX_FIELD), one_line(version, MAX_FIELD), one_line(arch, 100), **said)
