"""Link counts, which each container sees as its own image has them, and folders of very many entries."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.build import formats, squashlinks, squashtables
from harness.build.crowds import CROWDED, PART
from harness.build.settings import COMPRESSIONS
from harness.tree.tree import ELF, Tree, TreeNode, folder, plain, symlink

pytestmark = pytest.mark.builds
SERVICES = [f"containers/services/{name}/rootfs" for name in ("one", "two", "three")]
# prints of every file below a mounted squashfs: count of links, inode, path, and its digest
LOOK = (
    'mount -t squashfs -o loop,ro "$1" "$2" || exit 99; cd "$2"; '
    "find . -type f -exec stat -c '%h %i %n' {} + | sort -k3; find . -type f -exec sha256sum {} + | sort -k2"
)

# prints the inode of every name below a mounted squashfs as its folder has it, and what is told of one in twenty that
# is asked for by its name: the kernel takes milliseconds for each of these
WALK = """
import json, os, stat, sys
def below(folder):
    for one in os.scandir(folder):
        yield one.path[2:], one.inode()
        if one.is_dir(follow_symlinks=False):
            yield from below(one.path)
os.chdir(sys.argv[1])
inodes = dict(below("."))
asked = {path: os.lstat(path) for path in inodes if not path[-6:].isdigit() or int(path[-6:]) % 20 == 0}
told = {
    path: [stat.S_IMODE(one.st_mode), one.st_uid, one.st_gid, one.st_ino, one.st_nlink] for path, one in asked.items()
}
print(json.dumps([inodes, told]))
"""


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
    with pytest.raises(squashtables.BadSquashfsError):
        squashlinks.amend(tmp_path / "image", {path: 1})
    assert (tmp_path / "image").read_bytes() == before


def test_nothing_to_set_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"not even a squashfs")
    squashlinks.amend(tmp_path / "image", {})
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
    assert squashtables.unpack_lz4(lz4_block(data)) == data


def test_a_damaged_block_ends(tmp_path: Path) -> None:
    with pytest.raises(squashtables.BadSquashfsError):
        squashtables.unpack_lz4(bytes(40))


@pytest.fixture
def crowded() -> Tree:
    """A folder of very many entries with another one in it, with owners, names and links that may go wrong."""
    nodes = {f"crowd/{number:06}": plain(b"%d" % number) for number in range(CROWDED + PART // 2)}
    nodes |= {f"crowd/004000/in/{number:06}": symlink("x") for number in range(CROWDED)}
    twin = plain(b"twice")
    nodes |= {"crowd/004000/in/name": twin, "crowd/name": twin, "crowd/x": program("x"), "few/x": program("x")}
    # two of which the first comes first among bytes, and the second among letters
    nodes |= {"crowd/\U0001f600": plain(b"late"), "crowd/\udcff": plain(b"bytes"), "few/below/last": plain(b"")}
    nodes |= {"crowd": folder(0o1777, 5, 6), "crowd/004000": folder(0o750, 7, 8), "crowd/004000/in": folder()}
    nodes |= {"few": folder(), "few/below": folder()}
    return Tree(nodes)


def test_a_crowded_folder_is_whole_for_the_kernel(crowded: Tree, tmp_path: Path) -> None:
    images = [tmp_path / "image", tmp_path / "again"]
    for image in images:
        formats.squashfs(crowded, image, "lz4")
    assert images[0].read_bytes() == images[1].read_bytes()
    inodes, told = walk(images[0], tmp_path / "mnt")
    assert inodes.keys() == crowded.nodes.keys()
    assert inodes["crowd/name"] == inodes["crowd/004000/in/name"]
    assert sorted({*inodes.values()}) == list(range(1, len(inodes))), "numbers have no gaps: the root's is the last"
    for path, (*said, inode, links) in told.items():
        node = crowded.nodes[path]
        assert said == [node.mode, node.uid, node.gid] and inode == inodes[path], path
        assert node.is_dir or links == (2 if path.endswith("/name") else 1), path
    assert told["crowd"][4] == sum(Path(path).parent == Path("crowd") for path in inodes) + 2


def test_a_folder_in_a_crowded_one_knows_it(crowded: Tree, tmp_path: Path) -> None:
    formats.squashfs(crowded, tmp_path / "image", "gzip")
    tables = squashtables.Tables(tmp_path / "image")
    root = tables.inodes.at(tables.head.root >> 16, tables.head.root & 0xFFFF)
    todo, folders = [root], 0
    while todo:
        above = todo.pop()
        for entry in tables.entries(above):
            below = tables.folder(entry.at)
            assert tables.number(entry.at) == entry.number
            if below is not None:
                assert below.parent == tables.number(above)
                todo.append(entry.at)
                folders += 1
    assert folders == sum(node.is_dir for node in crowded.nodes.values())
    listed = subprocess.run(["rdsquashfs", "-l", "crowd", str(tmp_path / "image")], check=True, capture_output=True)
    assert len(listed.stdout.splitlines()) == sum(Path(path).parent == Path("crowd") for path in crowded.nodes)


def walk(image: Path, folder: Path) -> list[dict[str, Any]]:
    """Mount a squashfs; return the inode of every path, and mode, owner, group, inode and links of some."""
    folder.mkdir()
    run = 'mount -t squashfs -o loop,ro "$1" "$2" || exit 99; exec "$3" -c "$4" "$2"'
    argv = ["unshare", "-m", "sh", "-c", run, "sh", str(image), str(folder), sys.executable, WALK]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 99 or os.geteuid() != 0:
        pytest.skip(f"no squashfs can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


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
