from __future__ import annotations

import hashlib
import io
import os
import posixpath
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.build import formats
from harness.build.crowds import CROWDED, PART, Crowds
from harness.errors import HostError, UserError
from harness.tree.tree import ELF, Tree, TreeNode, clean, folder, plain, read_layer, symlink, write


def tree_of(**paths: TreeNode) -> Tree:
    tree = Tree()
    for path, node in paths.items():
        tree.put(path, node)
    return tree


def tar_of(tmp_path: Path, *members: tarfile.TarInfo, data: bytes = b"") -> Path:
    path = tmp_path / "layer.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(data[: member.size]))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize("path", ["../etc", "a/../../b", "", "/", ".", "a/.."])
def test_paths_out_of_the_root_are_refused(path: str) -> None:
    with pytest.raises(UserError, match="not a path inside"):
        clean(path)


@pytest.mark.parametrize("target", ["../../../etc", "/etc", "a/../../../../etc"])
def test_links_out_of_the_root_stay_inside(target: str) -> None:
    tree = Tree()
    tree.put("usr/lib/escape", symlink(target))
    tree.put("usr/lib/escape/passwd", plain(b"x"))
    assert tree.nodes["etc/passwd"].content is not None


def test_a_circle_of_links_is_named() -> None:
    tree = tree_of(a=symlink("b"), b=symlink("/a"))
    for act in (lambda: tree.put("a/x", plain(b"")), lambda: tree.get("b")):
        with pytest.raises(UserError, match="circle"):
            act()


def test_many_links_that_double_end_as_a_circle_does() -> None:
    tree = Tree()
    for number in range(60):
        tree.put(f"l{number}", symlink(f"l{number + 1}/l{number + 1}"))
    with pytest.raises(UserError, match="circle"):
        tree.get("l0")


def test_a_deep_path_is_no_circle() -> None:
    deep = "/".join("d" * 1500)
    tree = Tree()
    tree.put(deep, plain(b"x"))
    assert tree.get(deep) is not None


def test_a_file_does_not_replace_a_folder_with_content() -> None:
    tree = Tree()
    tree.put("etc/hosts", plain(b""))
    with pytest.raises(UserError, match="folder with content"):
        tree.put("etc", plain(b""))
    with pytest.raises(UserError, match="folder with content"):
        tree.merge(tree_of(etc=symlink("nowhere")))
    tree.put("empty", folder())
    tree.put("empty", plain(b"now a file"))
    assert not tree.nodes["empty"].is_dir


def test_nothing_lies_below_a_file() -> None:
    tree = tree_of(etc=plain(b""))
    with pytest.raises(UserError, match="not a folder"):
        tree.put("etc/hosts", plain(b""))
    other = Tree()
    other.put("etc/hosts", plain(b""))
    tree.merge(other)  # a later folder replaces the file
    assert tree.nodes["etc"].is_dir


def test_a_later_layer_lands_behind_the_roots_links() -> None:
    root = Tree()
    root.put("bin", symlink("usr/bin"))
    root.put("usr/bin", folder(0o711))
    layer = Tree()
    layer.put("bin", folder())
    layer.put("bin/sh", plain(b"sh"))
    root.merge(layer)
    assert root.nodes["bin"].target == "usr/bin"
    assert root.nodes["usr/bin"].mode == 0o711
    assert root.nodes["usr/bin/sh"].content is not None and "bin/sh" not in root.nodes


def test_merging_below_a_folder_and_over_files() -> None:
    root = Tree()
    root.put("c/rootfs/etc/a", plain(b"old"))
    layer = Tree()
    layer.put("etc/a", plain(b"new"))
    root.merge(layer, "c/rootfs")
    assert root.nodes["c/rootfs/etc/a"].digest == hashlib.sha256(b"new").hexdigest()


def test_a_link_that_dangles_gives_way_to_a_folder() -> None:
    root = tree_of(lib64=symlink("nowhere"))
    layer = tree_of(lib64=folder())
    root.merge(layer)
    assert root.nodes["lib64"].is_dir


def test_odd_members_of_a_layer(tmp_path: Path) -> None:
    names = ["./", "./a/b", "/abs", "c//d/./e", "...", "new\nline", "ümläut/✓", " space "]
    tree = read_layer(tar_of(tmp_path, *[member(name, tarfile.DIRTYPE if name == "./" else b"0") for name in names]))
    files = [path for path, _ in tree.files()]
    assert files == sorted(["a/b", "abs", "c/d/e", "...", "new\nline", "ümläut/✓", " space "])


def test_members_that_climb_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a path inside"):
        read_layer(tar_of(tmp_path, member("a/../../etc/passwd")))


@pytest.mark.parametrize("target", ["missing", "folder", "../../etc/shadow"])
def test_a_hardlink_to_nothing_is_named(tmp_path: Path, target: str) -> None:
    path = tar_of(tmp_path, member("folder", tarfile.DIRTYPE), member("link", tarfile.LNKTYPE, target))
    with pytest.raises(UserError):
        read_layer(path)


def test_a_link_in_a_layer_is_followed_by_later_members(tmp_path: Path) -> None:
    path = tar_of(tmp_path, member("bin", tarfile.SYMTYPE, "usr/bin"), member("bin/sh", size=2), data=b"sh")
    assert read_layer(path).nodes["usr/bin/sh"].content is not None


def test_a_layer_cut_short_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tar_of(tmp_path, member("big", size=5000), data=b"x" * 5000)
    os.truncate(path, 2000)
    with pytest.raises(HostError, match="damaged"):
        read_layer(path)
    path.write_bytes(b"no tar at all" * 100)
    with pytest.raises(HostError, match="damaged"):
        read_layer(path)


def links_of(tree: Tree, **how: Any) -> dict[str, str]:
    out = io.BytesIO()
    write(tree, out, **how)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        return {one.name: one.linkname for one in archive if one.islnk()}


def test_the_names_of_one_node_are_hardlinks_and_equal_files_are_not() -> None:
    one = plain(b"same")
    tree = tree_of(b=one, a=one, other=plain(b"same"), empty=plain(b""), late=symlink("x"))
    tree.nodes["name"] = tree.nodes["late"]
    assert links_of(tree) == {"b": "a", "name": "late"}


def test_a_shared_file_is_one_for_several_containers_and_never_within_one() -> None:
    def program() -> TreeNode:
        return replace(plain(ELF + b"program", 0o755), shared=True)

    tree = Tree()
    for path in ("x/bin", "x/copy", "y/bin", "y/copy", "z/bin"):
        tree.put(path, program())
    tree.put("z/data", plain(b"data"))
    tree.put("x/data", plain(b"data"))
    twice = program()
    for path in ("v/one", "v/two", "w/one"):
        tree.put(path, twice)
    tree.put("w/two", twice)
    out = io.BytesIO()
    counts = write(tree, out, place_of=lambda path: path.partition("/")[0])
    found = links_of(tree, place_of=lambda path: path.partition("/")[0])
    assert found == {"v/two": "v/one", "w/one": "v/one", "w/two": "v/one",
                     "y/bin": "x/bin", "y/copy": "x/copy", "z/bin": "x/bin"}  # fmt: skip
    assert counts == {"v/one": 2, "x/bin": 1, "x/copy": 1}
    assert links_of(tree) == {"v/two": "v/one", "w/one": "v/one", "w/two": "v/one"}, "where nobody shares"


def test_only_a_crowded_folder_is_parted_and_in_the_order_of_bytes() -> None:
    names = [f"{number:06}" for number in range(CROWDED - 1)]
    paths = ["many", "few", "few/a", *(f"many/{name}" for name in names), "many/000000/below"]
    assert Crowds([*paths, "many/\udcff"]).folders == [], "as many as a folder may have"
    crowds = Crowds([*paths, "many/\udcff", "many/\U0001f600"])
    assert crowds.folders == ["many"]
    assert [crowds.place(path) for path in ("", "few/a", "many")] == ["", "few/a", "many"]
    assert crowds.place("many/000000/below") == "many/000000/000000/below"
    assert crowds.place(f"many/{PART:06}") == f"many/000001/{PART:06}"
    assert (crowds.place("many/\U0001f600"), crowds.place("many/\udcff")) == (
        "many/000003/\U0001f600", "many/000004/\udcff"
    )  # fmt: skip
    for path in (*names, "\U0001f600", "\udcff"):
        assert crowds.place(f"many/{path}").endswith(f"/{path}")


def test_turned_is_the_same_tree_in_another_order() -> None:
    tree = Tree()
    for number in range(20):
        tree.put(f"etc/file{number}", plain(b"%d" % (number % 15)))
    written = []
    for turn in (0, 30, 30, 60):
        out = io.BytesIO()
        write(tree, out, turn)
        written.append(out.getvalue())
    assert written[1] == written[2]
    assert len({*written}) == 3
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        names = archive.getnames()
        content = {name: archive.extractfile(name) for name in names if name.startswith("etc/")}
        assert {name: stream.read() for name, stream in content.items() if stream} == {
            f"etc/file{number}": b"%d" % (number % 15) for number in range(20)
        }
    assert names[0] == "etc"


@pytest.mark.builds
def test_a_squashfs_holds_what_the_tree_said(tmp_path: Path) -> None:
    tree = Tree()
    tree.put("etc/shadow", plain(b"secret\n", 0o640, 0, 42))
    tree.put("etc/ümläut\n✓", plain(b"u" * 200_000))
    tree.put("containers/a/lib.so", plain(b"l" * 300_000, 0o755))
    tree.put("containers/b/lib.so", plain(b"l" * 300_000, 0o755))
    tree.put("tmp", folder(0o1777))
    tree.put("bin", symlink("usr/bin"))
    tree.put("usr/bin/su", plain(b"su", 0o4755, 65534, 100_000))
    image = tmp_path / "root.squashfs"
    formats.squashfs(tree, image, "lz4")
    tar = subprocess.run(["sqfs2tar", str(image)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        back = {one.name: one for one in archive}
        stream = archive.extractfile("etc/ümläut\n✓")
        assert stream is not None and stream.read() == b"u" * 200_000
    assert {path: (one.mode, one.uid, one.gid) for path, one in back.items() if one.isfile()} == {
        "etc/shadow": (0o640, 0, 42),
        "etc/ümläut\n✓": (0o644, 0, 0),
        "containers/a/lib.so": (0o755, 0, 0),
        "containers/b/lib.so": (0o755, 0, 0),
        "usr/bin/su": (0o4755, 65534, 100_000),
    }
    assert back["tmp"].mode == 0o1777 and back["bin"].linkname == "usr/bin"
    assert {one.mtime for one in back.values()} == {0}
    assert image.stat().st_size < 20_000


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)
PARTS = st.one_of(st.sampled_from(["a", "b", "c"]), NAMES)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
TARGETS = st.lists(st.one_of(st.sampled_from(["..", ".", "", "a", "b"]), PARTS), max_size=6).map("/".join)
NODES = st.one_of(
    st.binary(max_size=40).map(plain),
    st.builds(lambda data, mode: plain(data, mode, 7, 2_500_000), st.binary(max_size=4), st.integers(0, 0o7777)),
    TARGETS.filter(bool).map(symlink),
    st.builds(folder, st.integers(0, 0o7777)),
)


def grown(rows: list[tuple[str, TreeNode]]) -> Tree:
    tree = Tree()
    for path, node in rows:
        try:
            tree.put(path, node)
        except UserError:
            continue  # in the way of another, or behind a circle
    return tree


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(PATHS, NODES), max_size=12), TARGETS)
def test_no_path_leads_out_of_the_root(rows: list[tuple[str, TreeNode]], path: str) -> None:
    tree = grown(rows)
    try:
        place = tree.resolve(path)
    except UserError:
        return
    assert ".." not in place.split("/") and not place.startswith("/")
    for known in tree.nodes:
        assert clean(known) == known
        above = posixpath.dirname(known)
        assert not above or tree.nodes[above].is_dir


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(PATHS, NODES), max_size=12))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, TreeNode]]
) -> None:
    tree = grown(rows)
    path = tmp_path_factory.getbasetemp() / f"round-{os.getpid()}.tar"
    with path.open("wb") as out:
        write(tree, out)
    back = read_layer(path)
    assert {name: row(node) for name, node in back.nodes.items()} == {
        name: row(node) for name, node in tree.nodes.items()
    }


def row(node: TreeNode) -> tuple[object, ...]:
    content = None if node.content is None else node.content.read()
    return node.type, node.mode, node.uid, node.gid, node.target, node.digest, content
