"""What an OCI image's own databases of packages say, and what they cannot be made to say."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest

from harness.build import inventory
from harness.tree.tree import Tree, plain

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
