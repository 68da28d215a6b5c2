"""One QEMU with the harness's ends of its channels."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.child import QemuProcess
from harness.emulator import argv as qemu
from harness.emulator.argv import Channels, Launch
from harness.emulator.qmp import Qmp
from harness.emulator.witness import FrameFile
from harness.errors import HostError
from harness.system.channels import ConsoleSource, FileSource, fifos
from harness.system.folder import BootFolder
from harness.text import of_error

FRAMES = "frames.pcap"


@dataclass
class Running:
    """A started QEMU: its process, and where its console, monitor and probe are to be had."""

    argv: list[str]
    process: QemuProcess
    source: ConsoleSource
    qmp: Qmp | None
    probe: socket.socket | None
    frames: FrameFile | None

    def close(self) -> None:
        """End QEMU and let go of monitor and probe; the console's source and the frames are their reader's to close."""
        self.process.kill()
        for part in (self.qmp, self.probe):
            if part:
                part.close()


def run_qemu(launch: Launch, out: Path) -> Running:
    """Start QEMU; its words go to ``qemu.log`` in the folder `out`. HostError: not installed, no console to be made.

    A wall boot's console is a pair of named pipes there; an exact boot's, which must not wait for a reader, a file.
    """
    exact = launch.mode == "exact"
    raw, pipe = BootFolder(out).console, out / "console"
    with ExitStack() as theirs, ExitStack() as failed:
        ends: dict[str, socket.socket] = {}
        specs, descriptors = {}, []
        for name in (*(() if exact else ("qmp",)), *(("probe",) if launch.probe else ())):
            ends[name], other = socket.socketpair()
            theirs.enter_context(other)  # closed here once QEMU has it, so that QEMU's end is seen
            failed.enter_context(ends[name])
            specs[name] = f"socket,fd={other.fileno()}"
            descriptors.append(other.fileno())
        if exact:
            raw.unlink(missing_ok=True)
            console = f"file,path={qemu.escape(raw)}"
        else:
            try:
                pipes = fifos(pipe)
            except OSError as error:
                raise HostError(f"cannot make the console's pipes: {of_error(error)}") from error
            failed.callback(pipes.close)
            console = f"pipe,path={qemu.escape(pipe)}"
        if launch.frames:
            launch.frames.unlink(missing_ok=True)
        argv = qemu.argv(launch, Channels(console=console, **specs))
        process = QemuProcess(argv, out / "qemu.log", descriptors)
        source: ConsoleSource
        if exact:
            source = FileSource(raw, lambda: process.poll() is None)
        else:
            pipes.alive = lambda: process.poll() is None
            source = pipes
        failed.pop_all()
    frames = FrameFile(launch.frames, counted=exact) if launch.frames else None
    return Running(argv, process, source, None if exact else Qmp(ends["qmp"]), ends.get("probe"), frames)


def sweep(out: Path) -> None:
    """Remove the named pipes and the frames of boots that have ended."""
    for name in ("console.in", "console.out", FRAMES):
        with suppress(OSError):  # a pipe that stays is not a reason to hide what went wrong before
            (out / name).unlink()
