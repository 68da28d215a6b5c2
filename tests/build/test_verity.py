"""Verified roots: the tree is cryptsetup's, whatever is changed is noticed, and they are formats of their own."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from offline import MINIMAL

from harness import paths
from harness.arch import ARCHES
from harness.bench.verity import BLOCK, HEAD, SALT, disk_of, flipped, served
from harness.build import formats, outputs
from harness.build.media import verity
from harness.build.outputs import _media
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import UserError
from harness.measure.sizes import sizes
from harness.run.cells import planned
from harness.run.inputs import Wanted, read
from harness.spec import load_image
from harness.system import failures


def root_of(blocks: int, folder: Path) -> verity.VerifiedRoot:
    path = folder / "squashfs"
    path.write_bytes(random.Random(blocks).randbytes(blocks * BLOCK - 7))
    return verity.verified(path)


@pytest.mark.skipif(not shutil.which("veritysetup"), reason="not installed: cryptsetup-bin")
@pytest.mark.parametrize("blocks", [1, 2, 129, pytest.param(128 * 128 + 1, marks=pytest.mark.slow)])
def test_the_tree_is_the_one_that_cryptsetup_makes(blocks: int, tmp_path: Path) -> None:
    root, (data, tree) = root_of(blocks, tmp_path), (tmp_path / "data", tmp_path / "tree")
    data.write_bytes(root.data)
    head = root.tree[:HEAD]
    words = [f"--salt={head[SALT].hex()}", f"--uuid={UUID(bytes=root.hash[:16])}", str(data), str(tree)]
    said = subprocess.run(["veritysetup", "format", *words], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"Root hash:\s+(\w+)", said) == [root.hash.hex()]
    assert tree.read_bytes() == root.tree


def test_whatever_is_changed_is_noticed_or_is_not_read(tmp_path: Path) -> None:
    root = root_of(130, tmp_path)
    assert served(root.data, root.tree, root.hash) == root.data
    squashfs, size = tmp_path / "squashfs", 300 * BLOCK
    squashfs.write_bytes((b"hsqs" + bytes(36) + size.to_bytes(8, "little")).ljust(size, b"\0"))
    fewer = verity.verified(squashfs)
    assert served(fewer.data, flipped(fewer.tree, 72 * 8 + 3), fewer.hash) is None
    for bit in (0, len(root.data) * 4, len(root.data) * 8 - 1):
        assert served(flipped(root.data, bit), root.tree, root.hash) is None
    for at in (0, 72, 88, 119, HEAD, HEAD + BLOCK, len(root.tree) - 1):
        assert served(root.data, flipped(root.tree, at * 8), root.hash) is None
    for at in (8, 16, 32, 64, 80, 120, HEAD - 1):
        assert served(root.data, flipped(root.tree, at * 8), root.hash) == root.data
    assert served(root.data, root.tree, flipped(root.hash, 0)) is None


def test_it_is_a_format_of_its_own_where_the_root_has_a_disk(tmp_path: Path) -> None:
    assert outputs.verified_names() == ["qcow2", "raw", "vhd", "vmdk"]
    assert outputs.called("raw-efi", verity=True) == outputs.called("raw+verity", verity=True) == "raw+verity"
    assert outputs.loader_packages("raw+verity", ARCHES["s390x"]) == ()
    for name in ("kernel+initrd", "iso", "uki"):
        with pytest.raises(UserError, match=re.escape(f"{name} has no verified root")) as caught:
            outputs.called(name, verity=True)
        assert "qcow2, raw, vhd, vmdk" in caught.value.hint
    with pytest.raises(UserError, match="unknown format 'rwa'"):
        outputs.find("rwa+verity")
    plan = tmp_path / "p.yml"
    plan.write_text("images: [{path: minimal}]\nmachines: [qemu-arm64-uefi]\nformats: [raw, raw+verity]\n")
    cells = [one.cell for one in planned(read(Wanted(plan)))]
    assert [(one.id, one.format) for one in cells] == [
        ("minimal-qemu-arm64-uefi-raw", "raw"), ("minimal-qemu-arm64-uefi-raw_verity", "raw+verity")
    ]  # fmt: skip
    assert [one.cell.format for one in planned(read(Wanted(plan, verity=True)))] == ["raw+verity"]
    plan.write_text("images: [{path: minimal}]\nmachines: [qemu-arm64-uefi]\n")
    with pytest.raises(UserError, match="has no verified root"):
        read(Wanted(plan, verity=True))


@pytest.mark.parametrize("bare", [False, True])
def test_its_initrd_has_a_first_stage_that_looks_for_it(bare: bool, tmp_path: Path) -> None:
    formats.initrd(tmp_path / "initrd", ARCHES["s390x"], [], None, bare=bare)
    made = (tmp_path / "initrd").read_bytes()
    stage1 = paths.GUEST / "native/bin/s390x" / ("stage1_verity_bare" if bare else "stage1_verity")
    assert stage1.read_bytes() in made and b"root.squashfs" not in made


@pytest.mark.parametrize("size", [300, 160, 159])
def test_its_sizes_add_up(size: int) -> None:
    rows = [{"section": "services", "name": "s", "own": 5}]
    held = {"kernel": 60, "initrd": 40, "root": 50, "tree": 10}
    made = {"files": [{"name": "disk.raw", "size": size, "shipped": True}], "root": {"size": 50}, "holds": held,
            "components": rows}  # fmt: skip
    found = sizes(made)
    assert sum(found.values()) == size
    if size == 300:
        assert found == {
            "kernel": 60, "first stage": 40, "services/s": 50, "hash tree": 10, "medium": 140
        }  # fmt: skip
    assert found.get("medium") == {300: 140, 160: 0}.get(size)


def test_a_panic_of_its_own_is_told_from_others() -> None:
    said = b"[    1.0] x\n[    2.000000] Kernel panic - not syncing: %s\n"
    for words, what in ((b"dm-verity device corrupted", "the verified root is not what was built"),
                        (b"dm-verity", "the kernel panicked")):  # fmt: skip
        found = failures.find(said % words, stamps=True)
        assert found is not None and found.what == what


@pytest.mark.builds
@pytest.mark.parametrize("arch", ARCHES)
def test_its_disk_is_read_by_others_and_is_the_same_in_every_format(arch: str, tmp_path: Path) -> None:
    row, spec = ARCHES[arch], load_image([MINIMAL])
    made = {name: Builder(Settings(format=f"{name}+verity")).build(spec, row) for name in outputs.verified_names()}
    disk = disk_of(made["raw"])
    assert {image.manifest["root"]["hash"] for image in made.values()} == {disk.hash.hex()}
    assert made["raw"].manifest["format"] == "raw+verity"
    for name, kind in (("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vhd", "vpc")):
        argv = ["qemu-img", "compare", "-f", "raw", "-F", kind, str(disk.path), str(made[name].parts.disk)]
        assert "identical" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    table = subprocess.run(["sfdisk", "--json", str(disk.path)], capture_output=True, check=True).stdout
    parts = {one["name"]: one for one in json.loads(table)["partitiontable"]["partitions"]}
    halves = parts["root"]["uuid"] + parts["root-verity"]["uuid"]
    assert halves.replace("-", "").lower() == disk.hash.hex()
    assert (parts["root"]["type"], parts["root-verity"]["type"]) == row.root_types
    checked = subprocess.run(["sfdisk", "--verify", str(disk.path)], capture_output=True, text=True, check=True)
    assert "No errors detected" in checked.stdout
    plain = Builder(Settings(format="raw")).build(spec, row)
    size = plain.manifest["root"]["size"]
    assert hashlib.sha256(disk.read(disk.root)[:size]).hexdigest() == plain.manifest["root"]["sha256"]
    word = f"roothash={disk.hash.hex()}".encode()
    if row.loader != "grub":
        assert word in disk.path.read_bytes()
    if shutil.which("veritysetup"):
        for name, place in (("root", disk.root), ("tree", disk.tree)):
            (tmp_path / name).write_bytes(disk.read(place))
        argv = ["veritysetup", "verify", str(tmp_path / "root"), str(tmp_path / "tree"), disk.hash.hex()]
        subprocess.run(argv, check=True)


def test_the_line_has_room_for_the_hash_or_is_refused() -> None:
    arch, word = ARCHES["x86_64"], "roothash=" + "0" * 64
    assert _media.whole_line(f"quiet {word}", arch) == f"quiet {word} console=ttyS0"
    with pytest.raises(UserError, match="with the console that a medium needs"):
        _media.whole_line("x" * 2000 + f" {word}", arch)


# bytes of the disk by docs/formats.md's words for them; of the others it says that nothing guards or reads them
GUARDED = {
    "the root, to the end of its partition": ("root", (0, 65 * BLOCK, 130 * BLOCK - 1)),
    "the tree, every level to the end of its blocks": ("tree", (HEAD, HEAD + 2 * 32 + 5, HEAD + 2 * BLOCK, -1)),
    "the tree's head: magic, number of blocks, salt": ("tree", (0, 72, 88, 119)),
    "the tree's head: all else": ("tree", (8, 12, 16, 32, 64, 68, 80, 120, HEAD - 1)),
}


def test_the_page_says_what_guards_which_byte(tmp_path: Path) -> None:
    text = (paths.TOP / "docs/formats.md").read_text().partition("What guards which byte")[2].partition("\n\n**")[0]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert table[0][1:] == ["x86_64, BIOS", "x86_64, UEFI", "arm64, UEFI", "s390x, IPL"]
    said = {label: set(cells) for label, *cells in table[2:]}
    assert set(GUARDED) <= set(said) and all(len(words) == 1 for words in said.values())
    root = root_of(130, tmp_path)
    for label, words in said.items():
        where, places = GUARDED.get(label, ("", ()))
        for at in places:
            parts = {"root": root.data, "tree": root.tree}
            parts[where] = flipped(parts[where], at % len(parts[where]) * 8)
            found = served(parts["root"], parts["tree"], root.hash)
            assert (found is None) == (words == {"dm-verity"}), (label, at)
            assert found in (None, root.data)
        assert places or words <= {"nothing", "not read"}
