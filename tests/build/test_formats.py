from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from harness.arch import ARCHES
from harness.build import formats
from harness.build.settings import COMPRESSIONS
from harness.errors import HostError
from harness.tree import cpio
from harness.tree.tree import Tree, plain

pytestmark = pytest.mark.builds


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.put("usr/bin/a", plain(b"".join(b"%d " % (number * number) for number in range(50_000))))
    tree.put("usr/bin/b", plain(b"b", 0o755))
    return tree


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_makes_the_same_bytes_twice(tree: Tree, tmp_path: Path, compression: str) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    formats.squashfs(tree, one, compression)
    formats.squashfs(tree, two, compression)
    assert one.read_bytes() == two.read_bytes()
    listed = subprocess.run(["rdsquashfs", "-d", str(one)], check=True, capture_output=True, text=True).stdout
    assert "usr/bin/b 0755 0 0" in listed
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}, "no temporary file stays"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_large_file_whose_end_does_not_shrink_can_be_read(tree: Tree, tmp_path: Path, compression: str) -> None:
    data = b"module" * 40_000
    data = data[:131_072] + random.Random(1).randbytes(473)
    tree.put("usr/lib/signed.ko", plain(data))
    formats.squashfs(tree, tmp_path / "image", compression)
    argv = ["rdsquashfs", "-c", "usr/lib/signed.ko", str(tmp_path / "image")]
    assert subprocess.run(argv, check=True, capture_output=True).stdout == data


def test_high_compression_is_worth_its_time(tree: Tree, tmp_path: Path) -> None:
    for compression in ("lz4", "lz4-fast"):
        formats.squashfs(tree, tmp_path / compression, compression)
    assert (tmp_path / "lz4").stat().st_size < (tmp_path / "lz4-fast").stat().st_size


def test_a_program_that_fails_is_told_from_a_full_disk(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin/tar2sqfs"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'a block: I/O error.' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    with pytest.raises(HostError, match="tar2sqfs failed with exit code 1"):
        formats.squashfs(tree, tmp_path / "out", "lz4")


def test_the_initrd_and_the_probe_hold_what_boots(tmp_path: Path) -> None:
    modules = [tmp_path / "00-loop.ko", tmp_path / "01-squashfs.ko"]
    for path in modules:
        path.write_text(path.name)
    root = tmp_path / "root"
    root.write_bytes(b"hsqs")
    formats.initrd(tmp_path / "initrd", ARCHES["s390x"], modules, root)
    formats.probe(tmp_path / "probe", modules, b"busybox")

    def listing(name: str) -> list[str]:
        argv = ["bsdtar", "-tvf", str(tmp_path / name)]
        lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
        return [f"{line.split()[0]} {line.split()[-1]}" for line in lines]

    assert listing("initrd") == [
        "drwxr-xr-x dev",
        "drwxr-xr-x modules",
        "drwxr-xr-x newroot",
        "-rwxr-xr-x init",
        "-rw-r--r-- modules/00.ko",
        "-rw-r--r-- modules/01.ko",
        "-r-------- root.squashfs",
    ]
    assert {"-rwxr-xr-x probe/busybox", "-rwxr-xr-x probe/init", "-rw-r--r-- probe/agent"} <= set(listing("probe"))
    assert "-rw-r--r-- probe/modules/01-squashfs.ko" in listing("probe")


def test_microcode_is_the_first_segment_of_the_initrd(tmp_path: Path) -> None:
    ucode, root = tmp_path / "ucode", tmp_path / "root"
    with ucode.open("wb") as stream:
        cpio.write(stream, [cpio.CpioMember("kernel", 0o755), cpio.CpioMember("kernel/microcode.bin", 0o644, b"new")])
    ucode.write_bytes(ucode.read_bytes() + b"\0")  # a length that must be padded
    root.write_bytes(b"hsqs")
    formats.initrd(tmp_path / "plain", ARCHES["x86_64"], [], root)
    formats.initrd(tmp_path / "initrd", ARCHES["x86_64"], [], root, ucode)
    made = (tmp_path / "initrd").read_bytes()
    assert made.startswith(ucode.read_bytes()), "the kernel looks at the very beginning"
    rest = made[ucode.stat().st_size :].lstrip(b"\0")
    assert rest == (tmp_path / "plain").read_bytes()
    assert (len(made) - len(rest)) % 4 == 0
