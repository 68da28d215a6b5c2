"""What an OCI image's own databases of packages say, and what they cannot be made to say."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import struct
import tarfile
import time
from pathlib import Path

import pytest

from harness.build import inventory
from harness.tree.tree import Slice, Tree, TreeNode, plain, symlink

DPKG = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u1
Maintainer: GNU Libc
Description: x
 more: not a field

Package: gone
Status: deinstall ok config-files
Version: 1

Package: broken
Status: install ok installed
"""
APK = b"C:Q1x=\nP:musl\nV:1.2.3-r4\nA:x86_64\nL:MIT\no:musl-src\nm:T <t@example>\nF:lib\nR:x\n\nP:only-a-name\n\n"


def tree(**files: bytes) -> Tree:
    made = Tree()
    for path, data in files.items():
        made.put(path, plain(data))
    return made


def header(tags: dict[int, str | int]) -> bytes:
    index = data = b""
    for tag, value in tags.items():
        index += struct.pack(">IIII", tag, 6 if isinstance(value, str) else 4, len(data), 1)
        data += value.encode() + b"\0" if isinstance(value, str) else struct.pack(">I", value)
    return struct.pack(">II", len(tags), len(data)) + index + data


def rpms(folder: Path, *blobs: bytes) -> bytes:
    path = folder / "rpmdb.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    database.commit()
    database.close()
    return path.read_bytes()


def test_dpkg_and_the_distribution() -> None:
    release = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nHOME_URL="x"\n'
    found = inventory.take(tree(**{"var/lib/dpkg/status": DPKG, "usr/lib/os-release": release}))
    assert found.distro == {"id": "debian", "version": "12", "codename": "bookworm"}
    assert found.packages == [
        inventory.InstalledPackage("deb", "libc6", "2.36-9+deb12u1", "amd64", "glibc", "2.36-9", "GNU Libc")
    ]
    assert found.unread == []


def test_an_image_without_dpkg_has_a_file_for_each_package() -> None:
    files = {"var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12\nArchitecture: all\n",
             "var/lib/dpkg/status.d/base.md5sums": b"Package: no\nVersion: 1\n"}  # fmt: skip
    assert [one.name for one in inventory.take(tree(**files)).packages] == ["base-files"]


def test_apk() -> None:
    (musl,) = inventory.take(tree(**{"lib/apk/db/installed": APK})).packages
    assert musl == inventory.InstalledPackage(
        "apk", "musl", "1.2.3-r4", "x86_64", "musl-src", "1.2.3-r4", "T <t@example>", "MIT"
    )


def test_rpm(tmp_path: Path) -> None:
    bash = {1000: "bash", 1001: "5.2", 1002: "1.fc40", 1003: 2, 1011: "Fedora", 1014: "GPL-3.0-or-later",
            1022: "x86_64", 1044: "bash-5.2.src.rpm", 5000: "other"}  # fmt: skip
    data = rpms(tmp_path, header(bash), header({1000: "gpg-pubkey", 1001: "1"}))
    (found,) = inventory.take(tree(**{"usr/lib/sysimage/rpm/rpmdb.sqlite": data})).packages
    assert found == inventory.InstalledPackage(
        "rpm", "bash", "2:5.2-1.fc40", "x86_64", "bash-5.2.src.rpm", "", "Fedora", "GPL-3.0-or-later"
    )


@pytest.mark.parametrize("blob", [b"", b"\0" * 7, b"\xff" * 40, header({1000: "x"})[:-1]])
def test_what_is_damaged_is_said(tmp_path: Path, blob: bytes) -> None:
    good = header({1000: "a", 1001: "1"})
    found = inventory.take(tree(**{"var/lib/rpm/rpmdb.sqlite": rpms(tmp_path, good, blob)}))
    assert [one.name for one in found.packages] == ["a"]
    (said,) = found.unread
    assert said.startswith("/var/lib/rpm/rpmdb.sqlite: damaged: ")


def test_no_database_or_one_of_another_form_is_said() -> None:
    assert inventory.take(tree(x=b"")).to_json() == {"distro": {}, "packages": [], "unread": []}
    found = inventory.take(tree(**{"var/lib/rpm/rpmdb.sqlite": b"no database", "usr/share/rpm/Packages": b"x"}))
    assert [said.partition(":")[0] for said in found.unread] == ["/var/lib/rpm/rpmdb.sqlite", "/usr/share/rpm/Packages"]


ENDLESS = """CREATE VIEW Packages AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
 SELECT x AS hnum, zeroblob(9) AS blob FROM c"""
COSTLY = """CREATE TABLE t (x, blob); CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, n,
 blob AS (hex(hex(hex(hex(hex(hex(hex(hex(zeroblob(n * 1000))))))))))); INSERT INTO Packages VALUES (1, 1000)"""


@pytest.mark.parametrize(("script", "words"), [(ENDLESS, "no table of packages"), (COSTLY, "too big")])
def test_a_database_that_is_a_program_comes_to_an_end(tmp_path: Path, script: str, words: str) -> None:
    database = sqlite3.connect(tmp_path / "db")
    database.executescript(script)
    database.close()
    found = inventory.take(tree(**{"var/lib/rpm/rpmdb.sqlite": (tmp_path / "db").read_bytes()}))
    assert not found.packages and words in found.unread[0]


def test_a_field_of_very_many_lines_takes_no_longer_than_its_lines() -> None:
    status = b"Package: a\nVersion: 1\nStatus: install ok installed\nDescription: x\n" + b" y\n" * 600_000
    began = time.process_time()
    assert len(inventory.take(tree(**{"var/lib/dpkg/status": status})).packages) == 1
    assert time.process_time() - began < 10  # s; were each line added to the text so far, over a minute


def test_links_in_a_circle_and_a_file_without_end_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 40)
    endless = TreeNode(tarfile.REGTYPE, 0o644, content=Slice(tmp_path / "hole", 0, 1 << 40), digest="x")
    made = tree(**{f"{SITE}/a-1.dist-info/METADATA": PYTHON})
    made.put("etc/os-release", symlink("os-release"))
    made.put("lib/apk/db/installed", endless)
    made.put("var/lib/dpkg/info/a.list", endless)
    made.put(f"{SITE}/a-1.dist-info/INSTALLER", endless)
    found = inventory.take(made)
    assert [one.name for one in found.packages] == ["my-package"] and not found.distro
    assert found.unread == ["/lib/apk/db/installed: larger than 256 MiB"]


GO = ("mod\tx.example/app\t(devel)\t", "dep\ty.example/B/v2\tv2.0.1\th1:x=", "dep\tz.example/c\tv1.0.0",
      "=>\tw.example/fork\tv1.0.3\th1:y=", "build\tCGO_ENABLED=0")  # fmt: skip
PYTHON = b'Metadata-Version: 2.1\nName: My_Package\nVersion: 1.0\nAuthor-email: "B, A" <a@x.example>, c@x.example\n'
SITE = "usr/lib/python3/dist-packages"


def varint(number: int) -> bytes:
    return (
        varint(number & 0x7F)[:-1] + bytes([number & 0x7F | 0x80]) + varint(number >> 7)
        if number > 0x7F
        else bytes([number])
    )


def go_program(*modules: str, version: str = "go1.22.1", flags: int = 2, sections: bool = True) -> bytes:
    """Return what there is of a Go program: headers of ELF, and what `go version -m` reads (debug/buildinfo)."""
    table = b"s" * 16 + "\n".join(("path\tx.example/app", *modules, "")).encode() + b"e" * 16
    said = b"".join(varint(len(text)) + text for text in (version.encode(), table))
    info = b"\xff Go buildinf:\x08" + bytes([flags]) + bytes(16) + said
    names, at = b"\0.go.buildinfo\0.shstrtab\0", 128  # after the header, and that of one segment
    rows = [(0,) * 10, (1, 1, 3, 0, at, len(info), 0, 0, 16, 0), (15, 3, 0, 0, at + len(info), len(names), 0, 0, 1, 0)]
    count = len(rows) * sections
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64,
                       (at + len(info) + len(names)) * sections, 0, 64, 56, 1, 64, count, 2 * sections)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ8x", 1, 6, at, 0, 0, len(info), len(info), 4096)
    return head + segment + info + names + b"".join(struct.pack("<IIQQQQIIQQ", *row) for row in rows[:count])


def languages_of(files: dict[str, bytes]) -> inventory.Inventory:
    made = Tree()
    for path, data in files.items():
        made.put(path, plain(data, 0o755 if path.startswith("bin/") else 0o644))
    return inventory.take(made)


@pytest.mark.parametrize("sections", [True, False])
def test_a_go_program_says_what_it_is_made_of(sections: bool) -> None:
    found = languages_of({"bin/app": go_program(*GO, sections=sections), "bin/tool": b"#!/bin/sh", "etc/x": b"\x7fELF"})
    assert [(one.kind, one.name, one.version) for one in found.packages] == [
        ("golang", "stdlib", "1.22.1"), ("golang", "x.example/app", "(devel)"),
        ("golang", "y.example/B/v2", "v2.0.1"), ("golang", "w.example/fork", "v1.0.3"),
    ]  # fmt: skip
    assert found.unread == []


@pytest.mark.parametrize(
    ("data", "words"),
    [(go_program(flags=0), "a Go before 1.18"), (go_program(*GO * 20, version="go1" * 90)[:500], None)],
)
def test_a_go_program_that_does_not_say_is_named(data: bytes, words: str | None) -> None:
    found = languages_of({"bin/app": data})
    assert found.packages == [] and [words in said for said in found.unread] == ([True] if words else [])


def test_pythons_and_nodes_own_packages() -> None:
    found = languages_of({
        "opt/venv/my.dist-info/METADATA": PYTHON + b"License: MIT\n\nLong words",
        "usr/lib/python3/old.egg-info": b"Name: old\nVersion: 2\n",
        "app/node_modules/@a/b/package.json":
            b'{"name": "@a/b", "version": "3", "license": {"type": "ISC"}, "author": {"name": "N", "email": "n@x"}}',
        "app/node_modules/c/package.json": b'{"name": "c", "version": "4", "license": "MIT", "author": "N <n@x> (u)"}',
        "app/node_modules/c/esm/package.json": b'{"type": "module"}',
        "app/package.json": b'{"name": "not-installed", "version": "5"}',
        "app/node_modules/bad/package.json": b"{",
    })  # fmt: skip
    rows = [(one.kind, one.name, one.version, one.supplier, one.licence) for one in found.packages]
    assert sorted(rows) == [
        ("npm", "@a/b", "3", "N <n@x>", "ISC"), ("npm", "c", "4", "N <n@x>", "MIT"),
        ("pypi", "my-package", "1.0", "B, A <a@x.example>", "MIT"), ("pypi", "old", "2", "", ""),
    ]  # fmt: skip
    assert [said.partition(":")[0] for said in found.unread] == ["/app/node_modules/bad/package.json"]


@pytest.mark.parametrize(
    "owner",
    [
        {"var/lib/dpkg/info/python3-my.list": f"/.\n/{SITE}/my.dist-info/METADATA\n".encode()},
        {"lib/apk/db/installed": f"P:py3-my\nV:1\nF:{SITE}/my.dist-info\nR:METADATA\n".encode()},
        {f"{SITE}/my.dist-info/INSTALLER": b"rpm\n"},
    ],
)
def test_what_a_distributions_package_has_brought_is_that_package(owner: dict[str, bytes]) -> None:
    found = languages_of({f"{SITE}/my.dist-info/METADATA": PYTHON, **owner})
    assert [one.kind for one in found.packages if one.kind == "pypi"] == [] and not found.unread


def test_digests_of_package_files_are_those_that_the_image_names() -> None:
    one, two = bytes(range(64)), bytes(range(32))
    both = f"sha512-{base64.b64encode(one).decode()} sha1-AAAA sha256-{base64.b64encode(two).decode()}?x"
    rows = {"node_modules/a": {"version": "1", "integrity": both},
            "node_modules/a/node_modules/b": {"version": "2", "integrity": both.split(maxsplit=1)[0]},
            "node_modules/c": {"version": "3", "integrity": both},
            "node_modules/d": {"version": "4", "integrity": "sha512-AAAA sha512-!"}, "node_modules/e": 5}  # fmt: skip
    found = languages_of({
        "srv/node_modules/.package-lock.json": json.dumps({"packages": rows}).encode(),
        "srv/node_modules/a/package.json": b'{"name": "a", "version": "1"}',
        "srv/node_modules/a/node_modules/b/package.json": b'{"name": "b", "version": "2"}',
        "srv/node_modules/c/package.json": b'{"name": "c", "version": "3.1"}',
        "srv/node_modules/d/package.json": b'{"name": "d", "version": "4"}',
        "srv/node_modules/e/package.json": b'{"name": "e", "version": "5"}',
        "old/node_modules/f/package.json":
            json.dumps({"name": "f", "version": "6", "_integrity": both.split(maxsplit=1)[0]}).encode(),
        "bad/node_modules/.package-lock.json": b"[" * 100_000,
        "bad/node_modules/g/package.json": b'{"name": "g", "version": "7"}',
        f"{SITE}/my.dist-info/METADATA": PYTHON,
        f"{SITE}/my.dist-info/direct_url.json":
            json.dumps({"archive_info": {"hashes": {"sha256": two.hex(), "sha512": "no", "md5": "00"}}}).encode(),
    })  # fmt: skip
    sums = {row.name: (row.sha256, row.sha512) for row in found.packages}
    assert sums == {"a": (two.hex(), one.hex()), "b": ("", one.hex()), "c": ("", ""), "d": ("", ""), "e": ("", ""),
                    "f": ("", one.hex()), "g": ("", ""), "my-package": (two.hex(), "")}  # fmt: skip
    assert not found.unread


def test_names_that_are_no_text_stand_there_as_escapes() -> None:
    found = languages_of({
        "var/lib/dpkg/status":
            b"Package: a\x1b[31m\nStatus: install ok installed\nVersion: 1\xe2\x80\xae\nMaintainer: \x00\n",
        "app/node_modules/a/package.json": b'{"name": "a\\ud800", "version": "1\\n2", "author": "\\udfff"}',
    })  # fmt: skip
    rows = {(one.name, one.version, one.supplier) for one in found.packages}
    assert rows == {("a\\x1b[31m", "1\\u202e", "\\x00"), ("a\\ud800", "1\\n2", "\\udfff")}
