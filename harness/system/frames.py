"""Ethernet frames that a guest has sent, each with the emulator's own time: a clock that no guest can write to."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from harness.spec.models.packet import WITH_PORT

# `mark` sends the words of a mark to everybody in frames of this kind (IEEE 802: for local experiments). It is not IP,
# so nobody on the way opens a socket for it or answers, and who sends one needs CAP_NET_RAW (docs/architecture.md).
WITNESS = "mark"
_WORDS = re.compile(rb"harness: (?P<name>[a-z]{1,20})(?P<values>(?: [a-z_]+=[0-9a-f]{1,16}){0,4})\n")
_ARP, _IPV4, _IPV6, _MARK = 0x0806, 0x0800, 0x86DD, 0x88B5
_IP_PROTOCOLS = {(_IPV4, 1): "icmp", (_IPV4, 6): "tcp", (_IPV4, 17): "udp",
                 (_IPV6, 58): "icmp6", (_IPV6, 6): "tcp", (_IPV6, 17): "udp"}  # fmt: skip
MOST_WITNESSED = 100  # frames kept: one is right, a hundred are a lie as well as a thousand


@dataclass(frozen=True)
class Frame:
    """A frame as it left: µs of the emulator's clock since power-on (None where that is not counted), and its bytes
    from the Ethernet header on."""

    at_us: int | None
    data: bytes


@dataclass(frozen=True)
class Packet:
    """What a frame carries: protocol, destination port (of TCP and UDP), and what is in it."""

    protocol: str
    port: int | None
    payload: bytes = b""


@dataclass(frozen=True)
class WitnessFrame:
    """A mark that left as a frame: its name and values, and when, in µs of the emulator's clock since power-on."""

    name: str
    emulator_us: int
    values: dict[str, str] = field(default_factory=dict)


def packet_of(frame: bytes) -> Packet | None:
    """Return what an Ethernet frame carries; None when it is none of the protocols known here, or is cut off."""
    try:
        (kind,) = struct.unpack_from(">H", frame, 12)
        if kind == _ARP:
            return Packet("arp", None)
        if kind == _MARK:
            return Packet(WITNESS, None, frame[14:])
        if kind == _IPV4:
            size, number = (frame[14] & 15) * 4, frame[23]
            fragment = struct.unpack_from(">H", frame, 20)[0] & 0x1FFF
            if size < 20 or fragment:
                return None
            return _transport(_IP_PROTOCOLS.get((kind, number)), frame, 14 + size)
        if kind == _IPV6:
            return _transport(_IP_PROTOCOLS.get((kind, frame[20])), frame, 54)
    except (struct.error, IndexError):
        pass
    return None


def _transport(protocol: str | None, frame: bytes, at: int) -> Packet | None:
    if protocol is None:
        return None
    if protocol not in WITH_PORT:
        return Packet(protocol, None)
    port = struct.unpack_from(">H", frame, at + 2)[0]
    return Packet(protocol, port, frame[at + 8 :] if protocol == "udp" else b"")


def witness_of(frame: Frame) -> WitnessFrame | None:
    """Return the mark that a frame carries; None when it carries none."""
    packet = packet_of(frame.data)
    if packet is None or packet.protocol != WITNESS:
        return None
    words = _WORDS.match(packet.payload)
    if words is None or frame.at_us is None:
        return None
    values = dict(pair.split("=", 1) for pair in words["values"].decode().split())
    return WitnessFrame(words["name"].decode(), frame.at_us, values)
