"""The emulator's own clock: frames, what is read of them, and images that lie about their time."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES, by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.emulator.witness import FrameFile
from harness.errors import MachineError
from harness.image import ForeignImage, Image
from harness.launch import exact_pair
from harness.launch.exact import exact_boot
from harness.spec import load_image, load_machine, load_os
from harness.spec.models.machine import MachineSpec
from harness.spec.models.packet import packet_pattern
from harness.system.frames import Frame, packet_of, witness_of
from harness.system.marks import DRIFT_US, WITNESS_US, complaints
from harness.system.milestones import Patterns

EVERYBODY = bytes(12)


def udp(payload: bytes, port: int = 9) -> bytes:
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    return EVERYBODY + b"\x08\x00" + header + struct.pack(">HHHH", 1, port, 8 + len(payload), 0) + payload


def mark(words: bytes, kind: bytes = b"\x88\xb5") -> bytes:
    return EVERYBODY + kind + words


def test_a_mark_is_read_of_its_frame_alone() -> None:
    found = witness_of(Frame(7, mark(b"harness: ready counter=1f\n")))
    assert found is not None
    assert (found.name, found.emulator_us, found.values) == ("ready", 7, {"counter": "1f"})
    assert witness_of(Frame(7, mark(b"harness: ready counter=1f\n" + bytes(8)))) == found, "a card may fill it up"
    for other in (
        mark(b"harness: ready counter=1f\n", kind=b"\x88\xb6"),
        # what any process may send, without the right to raw frames
        udp(b"harness: ready counter=1f\n"),
        mark(b"harness: ready counter=1f"),
        mark(b"harness: READY\n"),
        mark(b"harness: ready counter=1f\n")[:30],
        b"",
        bytes(60),
    ):
        assert witness_of(Frame(7, other)) is None


@pytest.mark.parametrize("size", range(46))
def test_frames_that_are_cut_off_are_none(size: int) -> None:
    packet_of(udp(b"harness")[:size])
    packet_of(b"\0" * 12 + b"\x86\xdd" + b"\xff" * size)


def test_packets_are_told_apart() -> None:
    arp, ping = EVERYBODY + b"\x08\x06" + bytes(28), bytearray(udp(b""))
    ping[23] = 1
    six = EVERYBODY + b"\x86\xdd" + bytes(6) + b"\x06\xff" + bytes(32) + struct.pack(">HH", 1, 443) + bytes(16)
    kinds = [(found.protocol, found.port) for one in (arp, bytes(ping), six, udp(b"", 67)) if (found := packet_of(one))]
    assert kinds == [("arp", None), ("icmp", None), ("tcp", 443), ("udp", 67)]
    fragment = bytearray(udp(b"", 67))
    fragment[21] = 1
    assert packet_of(bytes(fragment)) is None


HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1)


def row(data: bytes, seconds: int = 1767225600, us: int = 5) -> bytes:
    return struct.pack("<IIII", seconds, us, len(data), len(data)) + data


def test_frames_are_read_as_their_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    frames = FrameFile(path, counted=True)
    assert frames.read() == []
    text, found = HEADER + row(b"one") + row(b"", us=6) + row(b"three", seconds=1767225601), []
    for at in range(len(text)):
        with path.open("ab") as out:
            out.write(text[at : at + 1])
        found += frames.read()
    assert found == [Frame(5, b"one"), Frame(6, b""), Frame(1_000_005, b"three")]
    frames.close()
    assert FrameFile(path, counted=False).read()[0].at_us is None  # by the host's clock: no witness


@pytest.mark.parametrize("text", [bytes(24), HEADER[:-4] + bytes(4), HEADER + struct.pack("<IIII", 0, 0, 1 << 30, 9)])
def test_what_is_no_file_of_frames_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "frames").write_bytes(text)
    with pytest.raises(MachineError):
        FrameFile(tmp_path / "frames", counted=True).read()


def test_milestones_of_lines_and_packets_keep_the_order_of_their_rows() -> None:
    asked = Frame(750_000, udp(b"", 67))
    for early in (True, False):
        rows = Patterns([("kernel", "Linux"), ("asked", packet_pattern("udp 67")), ("ready", "up")])
        found = rows.sent([asked], 0.1) if early else []
        found += rows.find(b"[    0.000000] Linux\nup\n", b"[    0.000000] Linux\nup\n", 0.2)[0]
        assert early or rows.awaited == "no packet udp 67 left, which is the milestone 'asked'"
        found += rows.sent([] if early else [asked], 0.3)
        assert [one.name for one in found] == ["kernel", "asked", "ready"]
        assert [one.clock for one in found] == ["guest", "emulator", "host"]
        assert rows.awaited == ""


@pytest.mark.parametrize("text", ["", "udp 0", "udp 67 68", "arp 1", "tcp x", "sctp 1", "udp 65536"])
def test_what_is_no_packet_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is"):
        packet_pattern(text)


@pytest.mark.parametrize("arch", list(ARCHES))
def test_the_emulator_tells_when_ready_was(
    arch: str,
    images: Callable[[str], Image],
    machine: Callable[[str], MachineSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "NPT-5:45")  # QEMU writes frames down in the host's time zone
    record = exact_boot(images(arch), machine(arch), tmp_path)
    assert record.ready_clock == "emulator" and complaints(record) == ()
    stamp = (record.ready_us or 0) + (record.power_on_us or 0)
    assert all(0 <= mark.waited_s <= mark.host_s for mark in record.milestones if mark.waited_s is not None)
    late = (record.ready_emulator_us or 0) - stamp
    assert 0 < late < WITNESS_US + DRIFT_US
    assert [frame.name for frame in record.witness] == ["ready"]
    assert not (tmp_path / "frames.pcap").exists()


def test_a_machine_without_a_network_has_no_witness(
    images: Callable[[str], Image], machine: Callable[[str], MachineSpec], tmp_path: Path
) -> None:
    spec = machine("arm64")
    record = exact_boot(images("arm64"), spec.driven(network=False), tmp_path)
    assert (record.ready_clock, record.ready_emulator_us, record.witness) == ("guest", None, ())


# our own image as somebody else's OS: a DHCP client's question is its ready, and no stamp of its own is asked for
PACKETS = """\
os: {{name: asks, arch: arm64}}
kernel: {kernel}
initrd: {initrd}
cmdline: quiet cryptomgr.notests
milestones:
  - {{name: first, pattern: 'harness: init'}}
  - {{name: ready, packet: {packet}}}
"""


def test_a_packet_is_a_foreign_oss_ready(images: Callable[[str], Image], tmp_path: Path) -> None:
    default = Builder(Settings()).build(load_image([paths.CASES / "images/default.yml"]), by_name("arm64"))
    for part in ("kernel", "initrd"):
        (tmp_path / part).symlink_to(getattr(default, part))
    (tmp_path / "os.yml").write_text(PACKETS.format(kernel="kernel", initrd="initrd", packet="udp 67"))
    pair = exact_pair(ForeignImage(load_os(tmp_path / "os.yml")), load_machine("qemu-arm64"), tmp_path / "out")
    assert pair.repeats, pair.verdict
    record = pair.first
    assert (record.ready_clock, record.power_on_us) == ("emulator", 0)
    assert 100_000 < (record.ready_us or 0) == record.ready_emulator_us < 5_000_000
    assert [mark.name for mark in record.milestones] == ["first", "ready"]
