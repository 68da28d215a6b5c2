"""Layers that no honest builder makes: each is refused by name, and nothing outside the store is touched."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from handmade import REFERENCE, M, d, hard, image, ln, packed, tar

from harness.oci.layers import LayerError, Limits
from harness.oci.merge import merge
from harness.store import Store

LIMITS = Limits(size=1 << 20, entries=500, table=1 << 17)
SIZE, CHECKSUM, UID = 124, 148, 108
PAX, LONG = tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME
A_LINK = [tar(d("a"), ln("a/up", "../../.."), ln("a/etc", "/etc"), ln("loop", "loop"), M("file", b"1"))]


def pax(record: bytes, *more: M) -> bytes:
    """A member of an extended header with the bytes `record`."""
    return tar(M("PaxHeader", record, PAX), *(more or [M("file")]))


def bomb() -> bytes:
    """A tar of 256 MiB of zeros in a quarter of a megabyte."""
    info = tarfile.TarInfo("zeros")
    info.size = 256 << 20
    compressor = zstd.ZstdCompressor()
    pieces = [compressor.compress(info.tobuf())] + [compressor.compress(bytes(1 << 20)) for _ in range(256)]
    return b"".join([*pieces, compressor.compress(bytes(1024)), compressor.flush()])


# what it is: the layers (earlier ones honest), the entry that the error names, words of the error
MAP = {"GNU.sparse.size": "99999999999", "GNU.sparse.map": "0,0"}
HOSTILE: dict[str, tuple[Callable[[], list[bytes]], str, str]] = {
    "a path that leads up": (lambda: [tar(M("a/../../etc/passwd", b"x"))], "a/../../etc/passwd", "out of the root"),
    "an absolute path that leads up": (lambda: [tar(M("/../x", b"x"))], "/../x", "out of the root"),
    "a hardlink out of the root": (lambda: [tar(hard("x", "../../etc/shadow"))], "x", "out of the root"),
    "an absolute hardlink": (lambda: [tar(hard("x", "/etc/shadow"))], "x", "absolute"),
    "a hardlink to nothing": (lambda: [tar(hard("x", "etc/shadow"))], "x", "not a file that comes before it"),
    "a hardlink to a folder": (lambda: [tar(d("etc"), hard("x", "etc"))], "x", "not a file that comes before it"),
    "a file below a link of its own layer": (lambda: [tar(ln("a", "/etc"), M("a/passwd"))], "a/passwd", "below a link"),
    "a file below a link out of the root": (lambda: [*A_LINK, tar(M("a/up/x", b"x"))], "a/up/x", "out of the root"),
    "a whiteout below a link out of the root": (lambda: [*A_LINK, tar(M("a/up/.wh.x"))], "a/up/x", "out of the root"),
    "a file below links in a circle": (lambda: [*A_LINK, tar(M("loop/x"))], "loop/x", "circle"),
    "a file below a file": (lambda: [*A_LINK, tar(M("file/x"))], "file/x", "not a folder"),
    "a member of an unknown type": (lambda: [tar(M("x", type=b"Z"))], "x", "unknown type"),
    "a bomb of size": (lambda: [packed(tar(M("a", bytes(2 << 20))))], "a", "more than 1 MiB"),
    "a bomb of size in several layers": (
        lambda: [tar(M(name, name.encode() * (600 << 10))) for name in "ab"], "", "larger than 1 MiB"),
    "a bomb of entries": (lambda: [tar(*(M(str(number)) for number in range(501)))], "500", "more entries"),
    "a bomb of entries in several layers": (
        lambda: [tar(*(M(f"{layer}{number}") for number in range(300))) for layer in "ab"], "", "500 entries"),
    "a bomb of folders": (lambda: [tar(*(M(f"{top}/" + "a/" * 200 + "x") for top in range(4)))], "2/", "one path"),
    "a bomb of names": (lambda: [tar(*(M(f"{number:0250}/x") for number in range(490)))], "", "more names"),
    "a bomb of nothing but headers": (
        lambda: [packed(b"".join(tar(M("x", b"", PAX))[:512] for _ in range(5000)))], "", "1 MiB"),
    "a sparse file of pax": (
        lambda: [tar(M("s", pax={"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"}))], "s", "sparse"),
    "a sparse file that is a bomb": (
        lambda: [tar(M("s", pax={**MAP, "GNU.sparse.map": "0,0,99999999999,0"}))], "s", "MiB"),
    "a sparse file whose pieces overlap": (
        lambda: [tar(M("s", b"xy", pax={**MAP, "GNU.sparse.map": "1,1,0,1"}))], "s", "overlap"),
    "a sparse file beyond its end": (
        lambda: [tar(M("s", b"x", pax={**MAP, "GNU.sparse.map": "99999999999,1"}))], "s", "beyond"),
    "a sparse file of more than follows": (
        lambda: [tar(M("s", b"x", pax={**MAP, "GNU.sparse.map": "0,9"}))], "s", "not what follows"),
    "a sparse file whose map is no map": (
        lambda: [tar(M("s", b"9" * 600, pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}))], "s", "damaged"),
    "a sparse link": (lambda: [tar(M("s", type=tarfile.SYMTYPE, target="x", pax=MAP))], "s", "no file"),
    "a sparse file of GNU tar": (lambda: [tar(M("s", type=tarfile.GNUTYPE_SPARSE))], "s", "sparse"),
    "a negative size": (lambda: [tar(M("x", raw={SIZE: b"\xff" * 12}))], "", "negative size"),
    "a negative size of pax": (lambda: [tar(M("x", pax={"size": "-1"}))], "x", "negative size"),
    "an immense size": (lambda: [tar(M("x", raw={SIZE: b"\x80" + b"\x7f" * 11}))], "x", "cut short"),
    "an owner beyond all numbers": (lambda: [tar(M("x", pax={"uid": str(2**40)}))], "x", "belongs to"),
    "a size that is not a number": (lambda: [tar(M("x", raw={SIZE: b"0x000000000\0"}))], "", "not a number"),
    "a pax header of a megabyte": (lambda: [pax(b"x" * (1 << 20) + b"x", M("y"))], "", "extended header of"),
    "an attribute that is too large": (
        lambda: [tar(M("x", pax={"SCHILY.xattr.user.note": "v" * 65_537}))],
        "x",
        "beyond what a file system takes: 'user.note' of 65537 bytes",
    ),
    "an attribute without a name": (lambda: [tar(M("x", pax={"SCHILY.xattr.user.": "v"}))], "x", "beyond what a file"),
    "more attributes than a file takes": (
        lambda: [tar(M("x", pax={f"SCHILY.xattr.user.{number:0>200}": "" for number in range(400)}))],
        "x",
        "beyond what a file",
    ),
    "a time that is none": (lambda: [tar(M("x", pax={"mtime": "noon"}))], "x", "the mtime 'noon'"),
    "a pax record that is longer than its header": (lambda: [pax(b"99999 path=x\n")], "", "damaged"),
    "a pax record of no length": (lambda: [pax(b"0 path=x\n")], "", "damaged"),
    "a pax record without a length": (lambda: [pax(b"9" * 5000)], "", "damaged"),
    "a pax header of nothing": (lambda: [tar(M("PaxHeader", b"10 path=x\n", PAX))], "", "should follow"),
    "a name of GNU tar's that is too long": (lambda: [tar(M("long", b"x" * 5000, LONG), M("y"))], "long", "5000 bytes"),
    "a path that is too long": (lambda: [tar(M("a/" * 2100 + "x"))], "a/a/", "too long"),
    "a name that is too long": (lambda: [tar(M("a" * 256))], "aaaa", "too long"),
    "a name with a NUL": (lambda: [pax(b"12 path=a\0b\n")], "a\\x00b", "control"),
    "a name that steers the terminal": (lambda: [tar(M("\x1b[2J"))], "\\x1b[2J", "control"),
    "a name that steers some terminals": (lambda: [tar(M("\x9b2J"))], "\\x9b2J", "control"),
    "the same file twice": (lambda: [tar(M("x", b"1"), M("./x", b"2"))], "'x'", "twice"),
    "a file where there is a folder": (lambda: [tar(d("x"), M("x", b"2"))], "x", "twice"),
    "a whiteout of the folder above": (lambda: [tar(M("a/.wh..."))], "a/.wh...", "whiteout of nothing"),
    "a file below a whiteout": (lambda: [tar(M(".wh.a/b"))], ".wh.a/b", "below a whiteout"),
    "a symbolic link to nothing": (lambda: [tar(ln("x", ""))], "x", "not a path"),
    "a checksum that is wrong": (lambda: [tar(M("a"), M("b"))[:512] + b"b" + bytes(1535)], "a", "checksum"),
    "a tar that is cut short": (lambda: [tar(M("x", b"1" * 4000))[:2048]], "x", "cut short"),
    "something behind the end": (lambda: [tar(M("x")) + tar(M("y"))], "", "behind its end"),
    "no tar at all": (lambda: [b"BZh91AY&SY" * 100], "", "checksum"),
    "a gzip that is cut short": (lambda: [packed(tar(M("x", bytes(range(256)) * 90)))[:-20]], "", "end-of-stream"),
    "a gzip that is damaged": (lambda: [packed(tar(M("x")))[:-8] + bytes(8)], "", "CRC"),
    "a gzip with something behind it": (lambda: [packed(tar(M("x"))) + b"more"], "", "Not a gzipped file"),
    "a zstd whose window takes gigabytes": (lambda: [b"\x28\xb5\x2f\xfd\x00\xb8" + bytes(100)], "", "too much memory"),
    "a zstd that is damaged": (lambda: [b"\x28\xb5\x2f\xfd" + b"\xff" * 100], "", "Zstandard"),
    "a zstd that is cut short": (lambda: [zstd.compress(tar(M("x", bytes(5000))))[:-30]], "", "end-of-stream"),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in a folder beside which nothing else is."""
    return Store(tmp_path / "cache")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_layer_is_refused_by_name(kind: str, store: Store, tmp_path: Path) -> None:
    make, entry, words = HOSTILE[kind]
    (tmp_path / "blobs").mkdir()
    made = image(tmp_path / "blobs", *make())
    with pytest.raises(LayerError) as caught:
        merge(made, LIMITS, store)
    message = caught.value.message
    assert message.startswith(f"{REFERENCE}: layer {made.layers[-1].digest}:")
    assert entry in message and words in message, message
    assert message.isprintable() and len(message) < 700
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "blobs"}
    assert list((tmp_path / "cache/tmp").iterdir()) == [], "nothing is left of what was refused"


def test_a_layer_that_is_not_the_one_its_config_names_is_refused(store: Store, tmp_path: Path) -> None:
    honest, other = packed(tar(M("x", b"1"))), packed(tar(M("x", b"2")))
    made = image(tmp_path, honest, diff_ids=[image(tmp_path, other).config["rootfs"]["diff_ids"][0]])
    with pytest.raises(LayerError, match="the image's config says 'sha256:"):
        merge(made, LIMITS, store)


@pytest.mark.parametrize("diff_ids", [[], ["sha256:1", "sha256:2"]])
def test_a_config_that_names_other_layers_is_refused(diff_ids: list[str], store: Store, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="its config names"):
        merge(image(tmp_path, tar(M("x")), diff_ids=diff_ids), LIMITS, store)


@pytest.mark.slow
def test_what_unpacks_to_hundreds_of_times_its_size_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="more than 400 times its size"):
        merge(image(tmp_path, bomb()), Limits(), store)


def test_an_honest_image_within_the_same_limits_is_taken(store: Store, tmp_path: Path) -> None:
    """What the limits refuse is refused for its size: nearly as much is fine."""
    members = [M(f"{number}", bytes([number % 256]) * 1000) for number in range(500)]
    assert len(merge(image(tmp_path, gzip.compress(tar(*members))), LIMITS, store).nodes) == 500


def test_an_interrupt_ends_the_unpacking_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def alive() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(image(tmp_path, tar(M("x"))), LIMITS, store, alive)
    assert not (tmp_path / "cache/oci-layers").exists() or not list((tmp_path / "cache/oci-layers").iterdir())
    assert list((tmp_path / "cache/tmp").iterdir()) == []


def test_whoever_lets_images_be_larger_lets_them_have_more_entries() -> None:
    assert Limits.of(8) == Limits() and Limits.of(4) == Limits(size=4 << 30)
    assert Limits.of(32) == Limits(size=32 << 30, entries=2_000_000, table=512 << 20)
