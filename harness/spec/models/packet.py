"""Packets of the network that are a milestone: ``udp 67``, ``arp``."""

from __future__ import annotations

import re
from dataclasses import dataclass

PROTOCOLS = ("arp", "icmp", "icmp6", "tcp", "udp")
WITH_PORT = ("tcp", "udp")
LAST_PORT = 65535


@dataclass(frozen=True)
class PacketPattern:
    """A protocol, and where it has ports the one that packets go to (None: any)."""

    protocol: str
    port: int | None = None

    def fits(self, protocol: str, port: int | None) -> bool:
        """Say whether a packet is one of these."""
        return protocol == self.protocol and self.port in (None, port)

    def __str__(self) -> str:
        return self.protocol if self.port is None else f"{self.protocol} {self.port}"


def packet_pattern(text: str) -> PacketPattern:
    """Return what a text such as ``udp 67`` or ``arp`` means; ValueError that says what is wrong with it."""
    protocol, *rest = text.split() or [""]
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is not a protocol")
    if len(rest) > 1 or (rest and protocol not in WITH_PORT):
        raise ValueError(f"{text!r} is more than a protocol{' and a port' if protocol in WITH_PORT else ''}")
    if rest and not (re.fullmatch(r"[0-9]{1,5}", rest[0]) and 0 < int(rest[0]) <= LAST_PORT):
        raise ValueError(f"{rest[0]!r} is not a port")
    return PacketPattern(protocol, int(rest[0]) if rest else None)
