"""Media: each structure by itself, and whole disks and CDs as tools that nobody here wrote read them."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from offline import MINIMAL

from harness.arch import ARCHES
from harness.build import outputs
from harness.build.media import SECTOR, exchange, grub, ipl, pe
from harness.build.outputs import _media
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.emulator.disk import disk_of
from harness.errors import HostError, UserError
from harness.history.keys import pairs_of
from harness.run.cells import planned
from harness.run.inputs import Wanted, read
from harness.run.results_model import CellResult
from harness.spec import load_image


def stub(sections: int = 2, headers: int = 1024) -> bytes:
    """Return a PE file with nothing in it but what `pe` reads."""
    head = bytearray(headers)
    struct.pack_into("<I", head, 0x3C, 64)
    struct.pack_into("<4sHHIIIHH", head, 64, b"PE\0\0", 0x8664, sections, 1, 2, 3, 112, 0x22)
    struct.pack_into("<II", head, 88 + 32, 4096, 512)
    struct.pack_into("<II", head, 88 + 60, headers, 7)
    for number in range(sections):
        row = (f".s{number}".encode(), 512, 4096 * (number + 1), 512, headers + 512 * number, 0, 0, 0, 0, 0)
        struct.pack_into("<8sIIIIIIHHI", head, 88 + 112 + 40 * number, *row)
    return bytes(head) + bytes(512 * sections) + b"overlay"


def test_a_section_more_is_found_by_its_name() -> None:
    made = pe.unify(stub(), {".linux": b"k" * 5000, ".initrd": b"i" * 3})
    found = pe.sections(made)
    assert list(found) == [".s0", ".s1", ".linux", ".initrd"]
    for name, content in ((".linux", b"k" * 5000), (".initrd", b"i" * 3)):
        assert made[found[name].at :][: found[name].size] == content and found[name].at % 512 == 0
    assert b"overlay" not in made and struct.unpack_from("<I", made, 88 + 64) == (0,)
    addresses = [struct.unpack_from("<II", made, 88 + 112 + 40 * number + 8) for number in range(4)]
    assert all(one[1] + one[0] <= other[1] for one, other in pairwise(addresses))
    assert struct.unpack_from("<I", made, 88 + 56)[0] >= addresses[-1][1] + addresses[-1][0]


@pytest.mark.parametrize("wrong", [b"", b"MZ" + bytes(60), stub()[:64], stub(sections=20)])
def test_what_is_no_stub_or_has_no_room_is_refused(wrong: bytes) -> None:
    with pytest.raises(HostError):
        pe.unify(wrong, {".linux": b"k"})


@pytest.mark.parametrize(
    ("size", "geometry"), [(2 << 20, (60, 4, 17)), (22 << 20, (662, 4, 17)), (1 << 30, (2080, 16, 63))]
)
def test_a_vhd_ends_with_a_footer_that_adds_up(size: int, geometry: tuple[int, int, int], tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "vhd"
    with raw.open("wb") as file:
        file.truncate(min(size, 22 << 20) - 1)
    exchange.vhd(raw, out)
    footer = out.read_bytes()[-SECTOR:]
    (checksum,) = struct.unpack_from(">I", footer, 64)
    assert ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF == checksum
    assert struct.unpack_from(">QQ", footer, 40) == (min(size, 22 << 20),) * 2
    assert exchange.geometry(size // SECTOR) == geometry


def test_a_boot_map_leads_to_every_sector() -> None:
    program = bytes(8) + bytes.fromhex("0200001860000050") + bytes(0x20000)
    flat = ipl.flat(program, b"i" * 40_000_000, "a b")
    made = ipl.disk(flat)

    def pointer(at: int) -> tuple[int, int]:
        block, size, more = struct.unpack_from(">QHH", made, at)
        assert size == SECTOR
        return block * SECTOR, (more + 1) * SECTOR

    table = pointer(16)[0]
    components = pointer(table + 16)[0]
    assert made[:4] == made[table : table + 4] == made[components : components + 4] == b"zIPL"
    segments, at, data = pointer(components + 32)[0], 0, b""
    while any(made[segments + at : segments + at + 16]):
        start, length = pointer(segments + at)
        data, at = data + made[start : start + length], at + 16
    assert data[: len(flat) - 0x10000] == flat[0x10000:]
    assert flat[0x10480:0x10484] == b"a b\0" and struct.unpack_from(">Q", flat, 0x10410) == (40_000_000,)
    with pytest.raises(HostError, match="does not begin as one of s390x"):
        ipl.flat(bytes(0x20000), b"", "")


def test_what_a_boot_map_has_no_room_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipl, "_MOST_BLOCKS", 1)
    most = SECTOR // 16  # pointers in a sector
    ipl.disk(bytes(0x10000 + most * SECTOR))
    with pytest.raises(HostError, match="do not fit"):
        ipl.disk(bytes(0x10000 + most * SECTOR + 1))


def test_the_core_is_loaded_from_where_it_lies() -> None:
    placed = grub.on_disk(bytes(3 * SECTOR + 1))
    assert struct.unpack_from("<QHH", placed, SECTOR - 12) == (grub.CORE_START + 1, 3, 0x820)
    assert struct.unpack_from("<Q", grub.boot_sector(bytes(SECTOR)), 0x5C) == (grub.CORE_START,)
    assert grub.blocks(7, SECTOR + 1) == "($root)7+2"


@pytest.mark.parametrize("cid", ["0", "1234567", "89abcdef"])
def test_a_vmdks_identity_is_the_same_however_long_its_number_is(cid: str, tmp_path: Path) -> None:
    path = tmp_path / "d"
    text = f"# Disk DescriptorFile\nversion=1\nCID={cid}\nparentCID=ffffffff\n"
    path.write_bytes(b"KDMV".ljust(SECTOR, b"\0") + text.encode().ljust(2 * SECTOR, b"\0") + b"data")
    exchange.fix_cid(path)
    fixed = path.read_bytes()
    assert fixed[SECTOR:].rstrip(b"data").rstrip(b"\0").decode() == text.replace(f"\nCID={cid}\n", "\nCID=b007b007\n")
    assert len(fixed) == 3 * SECTOR + 4 and fixed.endswith(b"\0data")
    path.write_bytes(bytes(SECTOR))
    with pytest.raises(HostError, match="without a descriptor"):
        exchange.fix_cid(path)


def test_words_are_the_kernels_and_not_grubs() -> None:
    assert grub.config("/k", "/i", "a=$b;c {d}#e") == "linux /k 'a=$b;c' '{d}#e'\ninitrd /i\nboot\n"
    for sign in "'\"\\":
        with pytest.raises(UserError, match="GRUB does not hand"):
            grub.config("/k", "/i", f"dyndbg={sign}x")


@pytest.mark.parametrize(("length", "fits"), [(2047, False), (2047 - len(" console=ttyS0"), True)])
def test_a_line_must_have_room_for_the_console_too(length: int, fits: bool, tmp_path: Path) -> None:
    line = "x" * length
    if fits:
        assert _media.whole_line(line, ARCHES["x86_64"]) == f"{line} console=ttyS0"
    else:
        with pytest.raises(UserError, match="with the console that a medium needs"):
            _media.whole_line(line, ARCHES["x86_64"])
    assert _media.whole_line('a  "b  c" console=tty1', ARCHES["x86_64"]) == 'a  "b  c" console=tty1'


def test_each_format_of_an_image_is_known_by_itself() -> None:
    rows = [CellResult(id=name, image="a.yml", machine="m", format=name) for name in ("kernel+initrd", "raw", "iso")]
    assert [name for name, _ in pairs_of(rows)] == ["a.yml", "a.yml (raw)", "a.yml (iso)"]
    assert rows[1].label == "a.yml (raw)"


def test_a_vmdk_that_names_other_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_bytes(struct.pack("<4sIIQ", b"KDMV", 3, 0, 8) + bytes(600))
    assert disk_of(path).format == "vmdk"
    path.write_bytes(struct.pack("<4sIIQ", b"KDMV", 3, 0, 8) + bytes(10_000) + b'parentFileNameHint="/etc/shadow"')
    with pytest.raises(UserError, match="names other files"):
        disk_of(path)
    path.write_bytes(struct.pack("<4sIIQ", b"KDMV", 3, 0, 0) + bytes(600))
    with pytest.raises(UserError, match="names other files"):
        disk_of(path)
    path.write_bytes(bytes(1024) + b"conectix" + bytes(504))
    assert disk_of(path).format == "vpc"


def test_a_format_that_an_architecture_lacks_is_named(tmp_path: Path) -> None:
    assert outputs.exists("uki", ARCHES["arm64"]) and not outputs.exists("uki", ARCHES["s390x"])
    with pytest.raises(UserError, match="there is no uki for s390x") as caught:
        outputs.loader_packages("uki", ARCHES["s390x"])
    assert "x86_64, arm64" in caught.value.hint
    plan = tmp_path / "p.yml"
    plan.write_text("images: [{path: minimal}, {path: default, formats: [tar]}]\n"
                    "machines: [qemu-arm64, qemu-s390x]\nformats: [kernel+initrd, uki]\n")  # fmt: skip
    ids = [one.cell.id for one in planned(read(Wanted(plan)))]
    assert ids == ["minimal-qemu-arm64", "minimal-qemu-arm64-uki", "minimal-qemu-s390x",
                   "default-qemu-arm64-tar", "default-qemu-s390x-tar"]  # fmt: skip
    linuxkits = planned(read(Wanted(plan, formats=("raw-efi", "raw-bios"))))
    assert len(linuxkits) == 4 and {one.cell.format for one in linuxkits} == {"raw"}
    with pytest.raises(UserError, match="unknown format 'rwa'"):
        read(Wanted(plan, formats=("rwa",)))


def run(*argv: str | Path) -> str:
    return subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=True).stdout


def copied(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@pytest.fixture
def without_outputs(tmp_path: Path) -> Path:
    """A cache with all that outputs are made of, and none of them."""
    cache = tmp_path / "cache"
    for kind in ("debs", "resolved", "layers", "kernels", "kernel-index", "roots"):
        if (Settings().cache / kind).is_dir():
            shutil.copytree(Settings().cache / kind, cache / kind, copy_function=copied)
    return cache


@pytest.mark.builds
@pytest.mark.parametrize("arch", ARCHES)
def test_every_format_is_read_by_others_and_is_the_same_twice(arch: str, without_outputs: Path) -> None:
    names = [name for name in outputs.names() if outputs.exists(name, ARCHES[arch])]
    made, kernels = {}, list((without_outputs / "kernels").rglob("kernel"))
    times = [path.stat().st_mtime_ns for path in kernels]
    for name in names:
        image = Builder(Settings(format=name)).build(load_image([MINIMAL]), ARCHES[arch])
        again = Builder(Settings(format=name, cache=without_outputs)).build(load_image([MINIMAL]), ARCHES[arch])
        assert again.folder != image.folder and again.manifest == image.manifest, name
        made[name] = image
    assert times and times == [path.stat().st_mtime_ns for path in kernels], "the cache is not written to"
    loaders = {row["name"] for row in made["raw"].manifest["packages"] if row["files"]}
    assert loaders & {"systemd-boot-efi", "grub-pc-bin", "grub-efi-arm64-bin"} == set(
        _media.loaders(ARCHES[arch]) or ()
    )
    raw = made["raw"].parts.disk
    assert raw is not None
    for name, kind in (("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vhd", "vpc")):
        disk = made[name].parts.disk
        assert disk is not None and f"file format: {kind}" in run("qemu-img", "info", "-f", kind, disk)
        assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", kind, raw, disk)
    told = run("xorriso", "-indev", made["iso"].parts.iso or "", "-report_el_torito", "plain")
    platforms = set(re.findall(r"^El Torito boot img .*?:\s+\d+\s+(BIOS|UEFI)", told, re.MULTILINE))
    assert platforms == {"x86_64": {"BIOS", "UEFI"}, "arm64": {"UEFI"}, "s390x": {"BIOS"}}[arch]
    if arch != "s390x":
        assert "No errors detected" in run("sfdisk", "--verify", raw)
        assert [row["name"] for row in json.loads(run("sfdisk", "--json", raw))["partitiontable"]["partitions"]] == (
            ["bios", "esp"] if arch == "x86_64" else ["esp"]
        )
