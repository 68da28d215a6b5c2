"""The emulator's own clock: frames, what is read of them, and images that lie about their time."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES, by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.emulator.witness import FrameFile
from harness.errors import ImageError, MachineError
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


READY = "harness: ready counter=1ffb03bb"
HEALTH = "harness: services/liar ready cpu=1"


def console(*lines: tuple[str, str], before: str = "", after: str = "") -> str:
    """Return a command that prints what looks like the kernel's lines: their stamps and words."""
    text = "".join(f"{before}[ {stamp:>11}] {words}{after}\\r\\n" for stamp, words in lines)
    return f"printf '{text}' >/dev/console"


def kmsg(words: str) -> str:
    return f"echo '<10>{words}' >/dev/kmsg"


NETWORK = "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0"
SEND = f"echo '{READY}' | nc -u -w 1 10.0.2.2 9"
# Ways in which a container, of which section, tells another time than the true one. A slow onboot comes first.
LIES = {
    "console, earlier": ("services", console(("0.300002", READY))),
    "console, all that is missing": ("services", console(("0.300001", HEALTH), ("0.300002", READY))),
    "console, later": ("services", console(("99.300002", READY))),
    "console, behind other words": ("services", console(("0.300002", READY), before="login: ")),
    "console, in colours": ("services", console(("0.300002", READY), before="\\033[1m", after="\\033[0m")),
    "console, with a caller": ("services", console(("0.300002", READY)).replace("] ", "][    T1] ")),
    "console, twice": ("services", console(("5.300002", READY), ("5.300003", READY))),
    "console, of an onboot": ("onboot", console(("0.300002", READY))),
    "console, an onboot's own end": ("onboot", console(("0.300002", "harness: onboot/liar done")) + "; sleep 1"),
    "console, a service's start": ("onboot", console(("0.300002", "harness: services/hello start")) + "; sleep 1"),
    "console, the first mark": ("services", console(("0.300002", "harness: init counter=1"))),
    "console, another name": ("services", console(("9.300002", "harness: fast"))),
    "console, another service": ("services", console(("9.300002", "harness: services/x ready"))),
    "console, the end": ("services", console(("9.300002", "harness: off"))),
    "kmsg, ready": ("services", kmsg(READY)),
    "kmsg, of an onboot": ("onboot", kmsg(READY)),
    "kmsg, a service's health": ("services", kmsg(HEALTH)),
    "kmsg, an onboot's end": ("onboot", kmsg("harness: onboot/liar done") + "; sleep 1"),
    "a frame as well": ("services", f"{NETWORK}; {console(('9.300002', READY))}; {SEND}"),
    "the kernel silenced": ("services", "dmesg -n 1; " + console(("0.900001", HEALTH), ("0.900002", READY))),
}
FOREVER = "echo it is up; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"
LIAR = """\
kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests"}}
init: [init]
onboot:
  - {{name: slow, image: busybox, command: ["/bin/sleep", "0.3"]}}
{onboot}
services:
  - {{name: hello, image: busybox, command: ["/bin/sleep", "3600"]}}
{services}
"""


def liar(section: str, lie: str) -> str:
    """Return the YAML of an image of which one container has all that it needs to lie."""
    command = lie if section == "onboot" else f"sleep 0.2; {lie}; {FOREVER}"
    entry = {
        "name": "liar", "image": "busybox", "command": ["/bin/sh", "-c", command], "binds": ["/dev:/dev"],
        "capabilities": ["all"], "net": "host",
    }  # fmt: skip
    if section == "services":
        entry["annotations"] = {"harness.health": "log:it is up"}
    return LIAR.format(**{"onboot": "", "services": "", section: f"  - {json.dumps(entry)}"})


@pytest.mark.boots
@pytest.mark.builds
@pytest.mark.parametrize("how", list(LIES))
def test_no_image_is_believed_another_time_than_the_true_one(how: str, tmp_path: Path) -> None:
    (tmp_path / "liar.yml").write_text(liar(*LIES[how]))
    image = Builder(Settings()).build(load_image([tmp_path / "liar.yml"]), by_name("arm64"))
    with pytest.raises(ImageError) as caught:
        exact_boot(image, load_machine("qemu-arm64"), tmp_path / "out", timeout=60)
    assert "its marks cannot be true" in str(caught.value), str(caught.value)
