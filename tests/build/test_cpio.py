from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness.tree import cpio
from harness.tree.cpio import CpioMember


def archive(*members: CpioMember) -> bytes:
    out = io.BytesIO()
    cpio.write(out, members)
    return out.getvalue()


def contents(data: bytes) -> dict[str, tuple[bool, int, bytes]]:
    """Return what bsdtar reads: path -> whether a folder, mode, content."""
    argv = ["bsdtar", "-cf", "-", "--format=pax", "@-"]
    tar = subprocess.run(argv, input=data, check=True, capture_output=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as read:
        for one in read:
            stream = read.extractfile(one)
            assert (one.uid, one.gid, one.mtime) == (0, 0, 0)
            found[one.name] = (one.isdir(), one.mode, stream.read() if stream else b"")
    return found


@pytest.mark.parametrize("size", range(6))
def test_other_programs_read_what_was_written(tmp_path: Path, size: int) -> None:
    on_disk = tmp_path / "file"
    on_disk.write_bytes(b"f" * size)
    members = [
        CpioMember("dev", 0o755),
        CpioMember("a" * size + "x", 0o640, b"b" * size),
        CpioMember("dev/file", 0o755, on_disk),
    ]
    data = archive(*members)
    assert len(data) % 4 == 0
    assert contents(data) == {
        "dev": (True, 0o755, b""),
        "a" * size + "x": (False, 0o640, b"b" * size),
        "dev/file": (False, 0o755, b"f" * size),
    }
    names = subprocess.run(["bsdtar", "-tf", "-"], input=data, check=True, capture_output=True).stdout
    assert names.decode().split() == ["dev", "a" * size + "x", "dev/file"]


def test_the_same_members_are_the_same_bytes_whatever_the_files_date(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    two.chmod(0o600)
    assert archive(CpioMember("f", 0o644, one)) == archive(CpioMember("f", 0o644, two))


def test_a_second_archive_may_follow_the_first() -> None:
    both = archive(CpioMember("one", 0o644, b"1")) + archive(CpioMember("two", 0o644, b"22"))
    # the kernel reads on behind a trailer, where cpio stops: cut the first one off by hand as the kernel does
    assert both.count(b"TRAILER!!!") == 2
    first, second = both.split(b"TRAILER!!!")[:2]
    start = second.index(b"070701")
    assert (len(first) + len(b"TRAILER!!!") + start) % 4 == 0, "the kernel looks for a header at multiples of four only"
    assert set(second[:start]) == {0}
    assert contents(both[len(first) + len(b"TRAILER!!!") + start :]) == {"two": (False, 0o644, b"22")}
