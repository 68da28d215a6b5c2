"""Link counts: containers share programs on the disk, and each sees the count that its own image has."""

from __future__ import annotations

import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build import formats, squashlinks
from harness.build.settings import COMPRESSIONS
from harness.tree.tree import ELF, Tree, TreeNode, folder, plain, symlink

pytestmark = pytest.mark.builds
SERVICES = [f"containers/services/{name}/rootfs" for name in ("one", "two", "three")]
# prints of every file below a mounted squashfs: count of links, inode, path, and its digest
LOOK = (
    'mount -t squashfs -o loop,ro "$1" "$2" || exit 99; cd "$2"; '
    "find . -type f -exec stat -c '%h %i %n' {} + | sort -k3; find . -type f -exec sha256sum {} + | sort -k2"
)


def program(name: str) -> TreeNode:
    return replace(plain(ELF + name.encode() * 50_000, 0o755), shared=True)


@pytest.fixture
def tree() -> Tree:
    """Three containers with the same programs, one of them with two names; enough files for several blocks."""
    tree = Tree()
    for number in range(700):
        tree.put(f"etc/many/{number:04}-{'n' * 40}", plain(b"%d" % number if number % 3 else b""))
    tree.put("etc/capable", replace(plain(b"c"), pax=(("SCHILY.xattr.user.note", "x"),)))
    tree.put("pipe", TreeNode(tarfile.FIFOTYPE, 0o600))
    tree.put("empty", folder())
    for place in SERVICES:
        perl = program("perl")
        tree.put(f"{place}/bin/perl", perl)
        tree.put(f"{place}/bin/perl5.36", perl)
        tree.put(f"{place}/bin/sh", program("sh"))
        tree.put(f"{place}/bin/copy-of-sh", program("sh"))
        tree.put(f"{place}/etc/conf", plain(b"conf"))
        tree.put(f"{place}/lib", symlink("bin"))
    return tree


def look(image: Path, folder: Path) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Mount a squashfs in a namespace of its own; return links and inode, and digest, of each file."""
    folder.mkdir(exist_ok=True)
    argv = ["unshare", "-m", "sh", "-c", LOOK, "sh", str(image), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 99 or os.geteuid() != 0:
        pytest.skip(f"no squashfs can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    stats = {row[2][2:]: (int(row[0]), int(row[1])) for row in rows if len(row) == 3}
    return stats, {row[1][2:]: row[0] for row in rows if len(row) == 2}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_kernel_sees_the_counts_of_each_image(tree: Tree, tmp_path: Path, compression: str) -> None:
    formats.squashfs(tree, tmp_path / "image", compression)
    stats, digests = look(tmp_path / "image", tmp_path / "mnt")
    assert digests == {path: node.digest for path, node in tree.files()}
    names = ("perl", "perl5.36", "sh", "copy-of-sh")
    for path, (links, _) in stats.items():
        assert links == (2 if "/perl" in path else 1), path
    inodes = {name: {stats[f"{place}/bin/{name}"][1] for place in SERVICES} for name in names}
    assert {name: len(found) for name, found in inodes.items()} == dict.fromkeys(names, 1), "the pages are shared"
    assert inodes["perl"] == inodes["perl5.36"] and inodes["sh"] != inodes["copy-of-sh"]
    assert len({stats[f"{place}/etc/conf"][1] for place in SERVICES}) == 3, "only programs are"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_others_read_it_as_before(tree: Tree, tmp_path: Path, compression: str) -> None:
    formats.squashfs(tree, tmp_path / "image", compression)
    listed = subprocess.run(["rdsquashfs", "-d", str(tmp_path / "image")], check=True, capture_output=True, text=True)
    paths = {line.split()[1].strip('"') for line in listed.stdout.splitlines() if line.split()[0] != "#"}
    assert {path for path, node in tree.nodes.items() if node.content} <= paths | {f"/{path}" for path in paths}
    assert (tmp_path / "image").stat().st_size % 4096 == 0


@pytest.mark.parametrize("path", ["no/such", "etc/capable/below", f"{SERVICES[0]}/lib", "etc/many"])
def test_what_is_no_file_of_several_names_is_refused(tree: Tree, tmp_path: Path, path: str) -> None:
    formats.squashfs(tree, tmp_path / "image", "lz4-fast")
    before = (tmp_path / "image").read_bytes()
    with pytest.raises(squashlinks.BadSquashfsError):
        squashlinks.set_link_counts(tmp_path / "image", {path: 1})
    assert (tmp_path / "image").read_bytes() == before


def test_nothing_to_set_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"not even a squashfs")
    squashlinks.set_link_counts(tmp_path / "image", {})
    assert (tmp_path / "image").read_bytes() == b"not even a squashfs"


@pytest.mark.parametrize(
    "data",
    [
        b"a" * 5000,
        bytes(range(256)) * 20,
        b"abcabcabc" + b"x" * 300 + b"abcabc" * 7,
        random.Random(1).randbytes(3000),
        b"ab",
    ],
)
def test_lz4_is_unpacked_as_its_own_tool_packs_it(data: bytes, lz4_block: Callable[[bytes], bytes]) -> None:
    assert squashlinks._lz4(lz4_block(data)) == data


def test_a_damaged_block_ends(tmp_path: Path) -> None:
    with pytest.raises(squashlinks.BadSquashfsError):
        squashlinks._lz4(bytes(40))


@pytest.fixture
def lz4_block() -> Callable[[bytes], bytes]:
    import ctypes

    try:
        library = ctypes.CDLL("liblz4.so.1")  # tar2sqfs's own
    except OSError:
        pytest.skip("no liblz4 here")

    def pack(data: bytes) -> bytes:
        out = ctypes.create_string_buffer(len(data) + 1000)
        size = library.LZ4_compress_default(data, out, len(data), len(out))
        return out.raw[:size]

    return pack
