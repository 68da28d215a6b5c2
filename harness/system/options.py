"""How to boot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.system.record import Mode

PublishedPort = tuple[int, int, str]  # of this host, of the guest, and `tcp` or `udp`


@dataclass(frozen=True)
class BootOptions:
    """One boot's settings. Times in seconds, all scaled by ``timeout_multiplier``."""

    mode: Mode
    out: Path  # folder for transcript, record and QEMU's words
    probe: bool = False
    append: tuple[str, ...] = ()  # more words for the kernel's command line
    forwards: tuple[int, ...] = ()  # the guest's TCP ports to reach through free ports of 127.0.0.1; wall mode only
    published: tuple[PublishedPort, ...] = ()  # ports of 127.0.0.1 and the guest's behind them; wall mode only
    timeout: float = 120.0  # until ready
    timeout_multiplier: float = 1.0
    seed: int = 1  # of QEMU's random numbers in exact mode
    disks: Path | None = None  # folder of the machine's disks, which then outlive the boot; None: empty ones of its own
    reboot: bool = False  # a reset or reboot starts the machine again instead of ending QEMU
