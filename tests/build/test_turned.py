"""A built image's root, written again with its files in another order."""

from __future__ import annotations

import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness.arch import by_name
from harness.build.formats import initrd, squashfs
from harness.build.turned import NotTurnedError, TurnedRoot
from harness.tree import cpio
from harness.tree.tree import Tree, TreeNode, plain, symlink

pytestmark = pytest.mark.builds
COMPRESSION = {"compression": "lz4-fast"}


@pytest.fixture
def tree() -> Tree:
    """A root with all that a root may have: what two containers share, hard links, devices, attributes, large files."""
    noise, made = random.Random(1), Tree()
    program = replace(plain(b"\x7fELF" + noise.randbytes(5000), 0o755), shared=True)
    for name in ("a", "b"):
        made.put(f"containers/services/{name}/rootfs/bin/program", program if name == "a" else replace(program))
        made.put(
            f"containers/services/{name}/rootfs/bin/again", made.nodes[f"containers/services/{name}/rootfs/bin/program"]
        )
        made.put(f"containers/services/{name}/rootfs/etc/{name}", plain(name.encode(), 0o600))
    made.put("large", plain(noise.randbytes(300_000) + bytes(200_000)))
    made.put("holes", plain(bytes(400_000) + b"end"))
    made.put("ping", replace(plain(b"ping"), pax=(("SCHILY.xattr.user.note", "hello"),), mtime=77, uid=5, gid=70_000))
    made.put("link", symlink("large"))
    made.put("dev/null", TreeNode(tarfile.CHRTYPE, 0o666, device=(1, 3)))
    for number in range(60):
        made.put(f"many/{number:02}", plain(noise.randbytes(100 + 97 * number)))
    return made


def image(tree: Tree, folder: Path, ucode: bytes = b"") -> Path:
    squashfs(tree, folder / "root", COMPRESSION["compression"])
    (folder / "ucode").write_bytes(ucode)
    initrd(folder / "initrd", by_name("arm64"), [], folder / "root", folder / "ucode" if ucode else None)
    return folder / "initrd"


@pytest.mark.parametrize("microcode", [False, True])
def test_it_is_what_a_build_in_that_order_makes(tree: Tree, tmp_path: Path, microcode: bool) -> None:
    ucode = b""
    if microcode:
        with (tmp_path / "first").open("wb") as stream:
            cpio.write(stream, [cpio.CpioMember("kernel", 0o755), cpio.CpioMember("kernel/x", 0o644, b"12345")])
        ucode = (tmp_path / "first").read_bytes() + bytes(512)
    whole = image(tree, tmp_path, ucode)
    turned = TurnedRoot(whole, COMPRESSION, tmp_path / "work")
    for turn in (37, 75):
        made = turned.initrd(turn, tmp_path / "made").read_bytes()
        squashfs(tree, tmp_path / "wanted", COMPRESSION["compression"], turn)
        place = cpio.find(made, "root.squashfs")
        assert place is not None
        assert made[place.begin : place.begin + place.size] == (tmp_path / "wanted").read_bytes()
        assert made[: place.header] == whole.read_bytes()[: place.header] and made != whole.read_bytes()
        assert made.endswith(whole.read_bytes()[-120:]) and len(made) % 4 == 0


def test_what_cannot_be_made_again_to_the_byte_is_not_turned(tree: Tree, tmp_path: Path) -> None:
    whole = image(tree, tmp_path)
    with pytest.raises(NotTurnedError, match="written by other programs"):
        TurnedRoot(whole, {"compression": "gzip"}, tmp_path / "work")
    for initrd_, manifest in ((None, COMPRESSION), (whole, {})):
        with pytest.raises(NotTurnedError, match="no root of the harness"):
            TurnedRoot(initrd_, manifest, tmp_path / "work")
    with whole.open("wb") as stream:
        cpio.write(stream, [cpio.CpioMember("init", 0o755, b"x")])
    with pytest.raises(NotTurnedError, match=r"no root\.squashfs"):
        TurnedRoot(whole, COMPRESSION, tmp_path / "work")
    with whole.open("wb") as stream:
        cpio.write(stream, [cpio.CpioMember("root.squashfs", 0o400, b"not one")])
    with pytest.raises(NotTurnedError, match="cannot be read"):
        TurnedRoot(whole, COMPRESSION, tmp_path / "work")
