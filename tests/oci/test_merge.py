"""Honest layers merged: whiteouts, links, owners, attributes, and what reaches the squashfs."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from backports import zstd
from handmade import CAPABILITY, M, d, hard, image, ln, packed, tar

from harness.build import formats
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.store import Store, file_digest
from harness.tree.tree import Tree, TreeNode, folder, plain, write

BASE = (d("etc"), M("etc/passwd", b"root"), M("etc/old", b"old"), d("etc/deep"), M("etc/deep/x", b"x"), M("top", b"t"))


@pytest.fixture
def merged(tmp_path: Path):
    """Merge layers given as members, or as blobs."""

    def make(*layers: tuple[M, ...] | bytes) -> Tree:
        blobs = [tar(*one) if isinstance(one, tuple) else one for one in layers]
        return merge(image(tmp_path, *blobs), Limits(), Store(tmp_path / "cache"))

    return make


def test_a_root_too_large_for_memory_is_the_same_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = (*BASE, hard("etc/deep/y", "top"), ln("link", "etc/deep"), M("caf\udce9")), (M("link/z", b"z"), d("new"))
    made, store = image(tmp_path, *(tar(*one) for one in layers)), Store(tmp_path / "cache")
    whole = merge(made, Limits(), store)
    monkeypatch.setattr("harness.oci.merge.IN_MEMORY", 0)
    read = merge(made, Limits(), store)
    assert not isinstance(read.nodes, dict) and dict(read.nodes.items()) == whole.nodes and read.top == whole.top
    assert list(read.nodes) == list(whole.nodes) and len(read.nodes) == len(whole.nodes)
    assert {path: read.nodes[path] for path in whole.nodes} == whole.nodes
    assert read.nodes["etc/deep/y"] is read.nodes["top"] and "etc/deep/y/x" not in read.nodes and "q" not in read.nodes
    assert text(read.get("link/z")) == "z" and not list((tmp_path / "cache/tmp").iterdir())
    with pytest.raises(TypeError, match="copy it"):
        read.put("more", plain(b""))


FULL = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from handmade import M, image, tar
from harness.oci import places
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.store import Store
folder = Path(sys.argv[2])
made, store = image(folder, tar(*(M(f"file{number}") for number in range(3000)))), Store(folder / "cache")
merge(made, Limits(), store)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "disk", folder / "cache/tmp"], check=True)
places.CACHE = 1
merge(made, Limits(), store)
"""


@pytest.mark.slow
def test_a_disk_too_small_for_a_large_root_is_said(tmp_path: Path) -> None:
    argv = ["unshare", "-rm", sys.executable, "-c", FULL, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no small disk without privilege here: {done.stderr.strip()}")
    assert "HostError: the disk is full: could not write an image's root" in done.stderr


@pytest.mark.parametrize("form", [["gnu"], ["posix"], ["posix", "--sparse-version=0.1"]], ids=" ".join)
def test_a_sparse_file_is_as_it_was(form: list[str], tmp_path: Path, merged) -> None:
    with (tmp_path / "s").open("wb") as out:
        for piece in range(30):  # more than a header of the old form holds, and than one block after it
            out.seek(piece * 65_536 + 4096)
            out.write(b"%d" % piece)
        out.truncate(3 << 20)
    (tmp_path / "after").write_bytes(b"after")
    argv = ["tar", "-C", str(tmp_path), "-S", "-cf", "-", "--format", *form, "s", "after"]
    layer = subprocess.run(argv, capture_output=True, check=True).stdout
    tree = merged(layer)
    assert len(layer) < 1 << 20 and sorted(tree.nodes) == ["after", "s"] and text(tree.nodes["after"]) == "after"
    found = tree.nodes["s"]
    assert found.content is not None and found.content.read() == (tmp_path / "s").read_bytes()
    assert found.digest == file_digest(tmp_path / "s") and found.mode == stat.S_IMODE((tmp_path / "s").stat().st_mode)


def text(node: TreeNode | None) -> str:
    assert node is not None and node.content is not None
    return node.content.read().decode()


def test_a_later_layer_adds_replaces_and_hides(merged) -> None:
    tree = merged(
        BASE, (M("etc/passwd", b"new", uid=7, mode=0o600), M("etc/.wh.old"), M("etc/.wh.deep"), M("etc/more"))
    )
    assert sorted(tree.nodes) == ["etc", "etc/more", "etc/passwd", "top"]
    node = tree.nodes["etc/passwd"]
    assert (text(node), node.uid, node.mode, node.digest) == ("new", 7, 0o600, hashlib.sha256(b"new").hexdigest())


def test_whiteouts_hide_what_is_below_alone_wherever_they_stand(merged) -> None:
    again = (M("etc/old", b"again"), M("etc/.wh.old"), M("top/x", b"now a folder"), M(".wh.top"))
    tree = merged(BASE, again)
    assert text(tree.nodes["etc/old"]) == "again" and text(tree.nodes["top/x"]) == "now a folder"
    for order in ((M("etc/new"), M("etc/.wh..wh..opq")), (M("etc/.wh..wh..opq"), M("etc/new"))):
        assert sorted(merged(BASE, order).nodes) == ["etc", "etc/new", "top"]


def test_an_opaque_folder_keeps_itself_and_a_whiteout_of_nothing_is_nothing(merged) -> None:
    tree = merged(BASE, (d("etc", 0o700), M("etc/.wh..wh..opq"), M("no/where/.wh.x"), M("etc/.wh.never")))
    assert sorted(tree.nodes) == ["etc", "top"] and tree.nodes["etc"].mode == 0o700
    assert sorted(merged(BASE, (M(".wh..wh..opq"), M("x"))).nodes) == ["x"]
    # what aufs keeps of its own is not a file
    assert "etc" in merged(BASE, (M(".wh..wh.aufs"), d(".wh..wh.plnk"), M(".wh..wh.plnk/1.2"))).nodes


def test_a_folder_gives_way_to_a_file_and_a_link_to_a_folder(merged) -> None:
    tree = merged(BASE, (M("etc", b"file"), ln("run", "etc")), (d("run"), M("run/x")))
    assert sorted(tree.nodes) == ["etc", "run", "run/x", "top"] and tree.nodes["run"].is_dir


def test_a_file_below_a_link_of_a_lower_layer_lands_where_it_leads(merged) -> None:
    tree = merged(
        (
            d("usr"),
            ln("lib", "usr/lib"),
            ln("abs", "/usr/./lib"),
            ln("up", "usr/../usr/lib"),
            d("a"),
            ln("a/b", "../usr"),
        ),
        (M("lib/one"), M("abs/two"), M("up/three"), M("a/b/lib/four")),
        (M("lib/.wh.two"),),
    )
    assert [path for path in tree.nodes if path.startswith("usr/lib/")] == [
        "usr/lib/four", "usr/lib/one", "usr/lib/three"]  # fmt: skip
    assert tree.nodes["lib"].type == tarfile.SYMTYPE


def test_hardlinks_also_to_lower_layers_and_to_what_is_hidden_later(merged) -> None:
    tree = merged(
        (M("a", b"shared", mode=0o4755, uid=5), hard("b", "./a")),
        (hard("dir/c", "b"), M(".wh.a")),
        (hard("d", "dir/c"), M("dir/.wh.c"), M(".wh.b")),
    )
    assert sorted(tree.nodes) == ["d", "dir"]
    assert (text(tree.nodes["d"]), tree.nodes["d"].mode, tree.nodes["d"].uid) == ("shared", 0o4755, 5)


def test_a_file_that_was_linked_and_then_changed_leaves_the_other(merged) -> None:
    tree = merged((M("a", b"1"), hard("b", "a"), ln("s", "a"), hard("t", "s")), (M("a", b"2"),))
    assert (text(tree.nodes["a"]), text(tree.nodes["b"])) == ("2", "1")
    assert tree.nodes["t"] == tree.nodes["s"] and tree.nodes["t"].target == "a"


def test_absolute_names_odd_names_and_missing_folders(merged) -> None:
    odd = "n\udcff\udcfeme"  # bytes that are no UTF-8
    tree = merged((M("/abs/x", b"x"), M("./", type=tarfile.DIRTYPE), M(odd), M("a" * 255), M("b/" * 100 + "c" * 120)))
    assert {"abs", "abs/x", odd, "a" * 255, "b/" * 100 + "c" * 120} <= set(tree.nodes)
    assert tree.nodes["abs"].mode == 0o755 and "" not in tree.nodes


def test_an_opaque_folder_in_the_place_of_a_link_leaves_what_that_led_to(merged) -> None:
    below = (d("b"), M("b/keep"), ln("a", "b"), ln("lib", "b"))
    for change in ((d("a"), M("a/.wh..wh..opq"), M("a/new")), (M("a/new"), M("a/.wh.keep"), d("a"))):
        tree = merged(below, change)
        assert sorted(tree.nodes) == ["a", "a/new", "b", "b/keep", "lib"] and tree.nodes["a"].is_dir
    assert "b/keep" not in merged(below, (M("lib/.wh.keep"),)).nodes, "a link that stays is followed"


def test_the_root_folder_has_the_mode_owner_and_time_of_the_last_layer_that_says_so(merged) -> None:
    top = M("./", type=tarfile.DIRTYPE, mode=0o700, uid=7, gid=8, pax={"mtime": "99.9"})
    found = merged((M("x"),), (top,), (M("y"),)).top
    assert (found.mode, found.uid, found.gid, found.mtime) == (0o700, 7, 8, 99)
    assert merged((M("x"),)).top == folder()


@pytest.mark.parametrize(
    ("said", "kept"),
    [("1600000000.999999999", 1_600_000_000), ("-5.5", 0), ("99999999999", 2**32 - 1), ("7.", 7)],
)
def test_times_are_kept_as_a_filesystem_can(merged, said: str, kept: int) -> None:
    tree = merged(
        (M("f", pax={"mtime": said}), M("old", raw={136: b"14000000000\0"}), M("gnu", raw={136: b"\xff" * 12}))
    )
    assert (tree.nodes["f"].mtime, tree.nodes["old"].mtime, tree.nodes["gnu"].mtime) == (kept, 0o14000000000, 0)


def test_devices_and_a_builders_attributes_are_left_out_with_a_note(tmp_path: Path) -> None:
    null = M("dev/null", type=tarfile.CHRTYPE, device=(1, 3), mode=0o666)
    selinux = {"SCHILY.xattr.security.selinux": "x"}
    made = image(
        tmp_path,
        tar(d("dev"), M("dev/null", b"a file"), M("a", pax=selinux)),
        tar(null, M("dev/console", type=tarfile.BLKTYPE, device=(5, 1)), M("b", pax=selinux)),
    )
    for _ in range(2):  # also when the layers have been unpacked before
        said: list[str] = []
        tree = merge(made, Limits(), Store(tmp_path / "cache"), note=said.append)
        assert sorted(tree.nodes) == ["a", "b", "dev"], "a device hides what is below it"
        assert [text.split(": ", 1)[1] for text in said] == [
            "'a': the attribute security.selinux is left out",
            "'dev/null': a device is left out, and 1 more like it",
            "'b': the attribute security.selinux is left out",
        ]


@pytest.mark.parametrize("form", [lambda data: data, packed, zstd.compress])
def test_each_packing_is_known_by_its_bytes(form, merged) -> None:
    assert text(merged(form(tar(M("x", b"content")))).nodes["x"]) == "content"


def test_a_layer_may_be_named_by_a_sha512(tmp_path: Path) -> None:
    data = tar(M("x", b"content"))
    named = f"sha512:{hashlib.sha512(data).hexdigest()}"
    tree = merge(image(tmp_path, data, diff_ids=[named]), Limits(), Store(tmp_path / "cache"))
    assert text(tree.nodes["x"]) == "content"


def test_pieces_packed_one_by_one_are_one_layer(merged) -> None:
    data = tar(M("x", bytes(range(256)) * 50), M("y", b"z"))
    for pack in (gzip.compress, zstd.compress):
        assert text(merged(pack(data[:700]) + pack(data[700:])).nodes["y"]) == "z"


def test_the_old_and_the_gnu_formats_are_read(merged, tmp_path: Path) -> None:
    (tmp_path / "in" / ("d" * 90)).mkdir(parents=True)
    (tmp_path / "in" / ("d" * 90) / ("f" * 90)).write_bytes(b"deep")
    for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "x.tar", "w", format=form) as out:
            out.add(tmp_path / "in", "in")
        assert text(merged((tmp_path / "x.tar").read_bytes()).nodes[f"in/{'d' * 90}/{'f' * 90}"]) == "deep"


def test_attributes_that_count_stay_and_another_hosts_policy_goes(merged) -> None:
    pax = {"SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.user.note": "fine",
           "SCHILY.xattr.security.selinux": "x", "SCHILY.xattr.trusted.overlay.opaque": "y", "mtime": "1"}  # fmt: skip
    node = merged((M("ping", b"p", pax=pax),)).nodes["ping"]
    assert dict(node.pax) == {"SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.user.note": "fine"}


@pytest.mark.builds
def test_owners_modes_links_and_capabilities_reach_the_squashfs(merged, tmp_path: Path) -> None:
    capable = {"SCHILY.xattr.security.capability": CAPABILITY.replace("\x04", "\udc84")}  # bytes that are no text
    tree = merged(
        (M("ping", b"ping", mode=0o755, pax=capable), M("su", b"su", mode=0o4755), hard("su2", "su"),
         M("f", type=tarfile.FIFOTYPE), M("x", b"x", uid=100_000, gid=4_000_000_000), ln("l", "su"))
    )  # fmt: skip
    formats.squashfs(tree, tmp_path / "root.squashfs", "lz4-fast")
    listed = subprocess.run(
        ["rdsquashfs", "-d", tmp_path / "root.squashfs"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert "file su 04755 0 0" in " ".join(listed) or "file /su 04755 0 0" in " ".join(listed)
    assert any("4000000000" in line and "100000" in line for line in listed)
    shown = subprocess.run(["rdsquashfs", "-x", "ping", tmp_path / "root.squashfs"], check=True, capture_output=True)
    assert shown.stdout.decode().strip() == f"security.capability=0x0100000200{'84'}{'00' * 14}"


@pytest.mark.builds
def test_times_reach_the_squashfs_and_what_is_ours_has_none(merged, tmp_path: Path) -> None:
    tree = merged((M("usr/lib/x.py", b"x", pax={"mtime": "1600000000.5"}), M("d", type=tarfile.DIRTYPE, mode=0o755)))
    tree.put("ours", plain(b"ours"))
    formats.squashfs(tree, tmp_path / "root.squashfs", "lz4-fast")
    back = subprocess.run(["sqfs2tar", tmp_path / "root.squashfs"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(back)) as archive:
        times = {one.name.rstrip("/"): one.mtime for one in archive}
    assert times == {"usr": 0, "usr/lib": 0, "usr/lib/x.py": 1_600_000_000, "d": 0, "ours": 0}


def test_the_same_layers_give_the_same_bytes_and_a_shared_one_is_unpacked_once(tmp_path: Path) -> None:
    """Whatever packs them: a layer is known by what it unpacks to."""
    digests = set()
    store = Store(tmp_path / "cache")
    for form in (packed, zstd.compress):
        made = image(tmp_path, form(tar(*BASE)), form(tar(M("etc/.wh.old"), M("b", b"2"))))
        with (tmp_path / "out.tar").open("wb") as out:
            write(merge(made, Limits(), store), out)
        digests.add(file_digest(tmp_path / "out.tar"))
    assert len(digests) == 1 and len(list((tmp_path / "cache/oci-layers").iterdir())) == 2


def test_equal_contents_of_a_layer_are_kept_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    tree = merge(image(tmp_path, tar(M("a", b"x" * 5000), M("b", b"x" * 5000), M("c", b"end"))), Limits(), store)
    assert text(tree.nodes["b"]) == "x" * 5000 and text(tree.nodes["c"]) == "end"
    (content,) = (tmp_path / "cache/oci-layers").glob("*/content")
    assert content.stat().st_size == 5003
