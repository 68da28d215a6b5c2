"""A picture of an OS's screen, for whoever waited in vain at a serial console: it may speak there alone."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.arch import ARCHES
from harness.child import QemuProcess
from harness.emulator import argv as qemu
from harness.emulator.argv import Channels, Launch
from harness.emulator.qmp import Qmp
from harness.errors import MachineError

FILE, LOG = "screen.png", "screen.log"
LONGEST_S = 30.0  # that an OS may draw
STILL_S = 5.0  # a screen that has shown nothing new for so long has come to something: a cursor may blink
PERIOD_S = 1.0


def take(monitor: Qmp, path: Path) -> Path | None:
    """Have a running QEMU write its screen to `path` as PNG; None where it has none, or cannot."""
    with suppress(MachineError):
        monitor.execute("screendump", filename=str(path.absolute()), format="png")
        return path if path.is_file() else None
    return None


def with_screen(launch: Launch) -> Launch | None:
    """Return the same boot on a machine that has a screen, writing to nothing; None: such a machine can have none."""
    kinds = ARCHES[launch.machine.arch].machine_types
    device = next((one.screen for one in kinds if one.screen and qemu.is_type(launch.machine, one.name)), "")
    if not device:
        return None
    disk = replace(launch.disk, overlay=None) if launch.disk else None
    chips = replace(launch.firmware, kept=None) if launch.firmware else None
    return replace(
        launch, mode="wall", accel="tcg" if launch.mode == "exact" else launch.accel, disk=disk, disks=(),
        firmware=chips, probe=False, forwards=(), frames=None, screen=device,
    )  # fmt: skip


def boot(launch: Launch, out: Path, *, patience: float = 1.0) -> Path | None:
    """Boot once more with a screen, until it stands still; return the picture in the folder `out`, or None."""
    shown = with_screen(launch)
    if shown is None:
        return None
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            channels = Channels(console="null", qmp=f"socket,fd={theirs.fileno()}")
            process = QemuProcess(qemu.argv(shown, channels), out / LOG, [theirs.fileno()])
        try:
            return _watched(process, Qmp(ours), out / FILE, LONGEST_S * patience)
        finally:
            process.kill()


def _watched(process: QemuProcess, monitor: Qmp, path: Path, longest: float) -> Path | None:
    began = since = time.monotonic()
    found, seen = None, set[bytes]()
    while (now := time.monotonic()) < began + longest and now < since + STILL_S:
        if process.wait(PERIOD_S) is not None:
            break
        found = take(monitor, path) or found
        picture = path.read_bytes() if found else b""
        if picture not in seen:
            seen.add(picture)
            since = time.monotonic()
    return found
