"""One QEMU with the harness's ends of its channels."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.boot import qemu
from harness.boot.channels import FileSource, SocketSource, Source
from harness.boot.process import QemuProcess
from harness.boot.qemu import Channels, Launch
from harness.boot.qmp import Qmp


@dataclass
class Running:
    """A started QEMU: its process, and where its console, monitor and probe are to be had."""

    argv: list[str]
    process: QemuProcess
    source: Source
    qmp: Qmp | None
    probe: socket.socket | None

    def close(self) -> None:
        """End QEMU and let go of monitor and probe; the console's source is its reader's to close."""
        self.process.kill()
        for part in (self.qmp, self.probe):
            if part:
                part.close()


def run_qemu(launch: Launch, out: Path) -> Running:
    """Start QEMU; HostError when it is not installed. Its words go to ``qemu.log`` in the folder `out`.

    Sockets have no path, so nothing can be too long or be left behind; an exact boot's console is ``console.raw``.
    """
    exact = launch.mode == "exact"
    raw = out / "console.raw"
    raw.unlink(missing_ok=True)
    wanted = {"console": not exact, "qmp": not exact, "probe": launch.probe}
    with ExitStack() as theirs, ExitStack() as failed:
        ends: dict[str, socket.socket] = {}
        specs, descriptors = {"console": f"file,path={qemu.escape(raw)}"}, []
        for name in (name for name, there in wanted.items() if there):
            ends[name], other = socket.socketpair()
            theirs.enter_context(other)  # closed here once QEMU has it, so that QEMU's end is seen
            failed.enter_context(ends[name])
            specs[name] = f"socket,fd={other.fileno()}"
            descriptors.append(other.fileno())
        argv = qemu.argv(launch, Channels(**specs))
        process = QemuProcess(argv, out / "qemu.log", descriptors)
        source: Source = FileSource(raw, lambda: process.poll() is None) if exact else SocketSource(ends["console"])
        failed.pop_all()
    return Running(argv, process, source, None if exact else Qmp(ends["qmp"]), ends.get("probe"))
