"""Stand-in boards for tests, and the machine's YAML that leads to one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.arch import ARCHES
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec

from .standin import WITH_PARENT

PROGRAM = Path(__file__).with_name("standin.py")
ARCH = ARCHES["arm64"]
VIRT = [ARCH.qemu, "-machine", "virt", "-cpu", "cortex-a57", "-m", "256M", "-accel", "tcg",
        "-device", "virtio-rng-pci"]  # fmt: skip
DIALOGUE = [
    {"wait": "stop autoboot", "send": "x", "enter": False},
    {"wait": "=> $", "send": "setenv bootargs '{cmdline}'"},
    {"wait": "=> $", "send": "boot"},
]


@dataclass(frozen=True)
class Standin:
    """A running stand-in: its folder, and the ports of this host that lead into it."""

    folder: Path
    ports: dict[int, int]

    def switch(self, word: str) -> list[str]:
        """The argv that switches it."""
        return [sys.executable, str(PROGRAM), str(self.folder), word]

    @property
    def is_on(self) -> bool:
        done = subprocess.run(self.switch("status"), capture_output=True, text=True, check=True)
        return done.stdout.strip() == "on"

    def machine(self, *, arch: str = "arm64", **more: object) -> MachineSpec:
        """The machine that a person would write for it; `more` are keys of its `board`."""
        boot = self.folder / "boot"
        copy = f"cp {{kernel}} {{initrd}} {{folder}}/cmdline {boot}"
        board = {
            "console": {"serial": str(self.folder / "tty")},
            "power": {"command": {word: self.switch(word) for word in ("on", "off", "status")}, "pause": 0.1},
            "deploy": {"command": copy.split()},
            **more,
        }
        path = self.folder / "standin.yml"
        path.write_text(yaml.safe_dump({"arch": arch, "console": ARCHES[arch].console, "board": board}))
        return load_machine(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def standin(
    folder: Path, qemu: list[str] = VIRT, *, firmware: str = "", forwarded: tuple[int, ...] = (), baud: int = 0
) -> Iterator[Standin]:
    """Run a stand-in; it and its QEMU end with the block, or with this process."""
    ports = {inside: free_port() for inside in forwarded}
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{outside}-:{inside}" for inside, outside in ports.items())
    network = ["-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net,romfile="]
    (folder / "boot").mkdir(parents=True)
    about = {"qemu": [*qemu, *(network if qemu is VIRT else [])], "firmware": firmware, "baud": baud}
    (folder / "board.json").write_text(json.dumps(about))
    argv = [*WITH_PARENT, sys.executable, str(PROGRAM), str(folder), "run"]
    with subprocess.Popen(argv) as board:
        try:
            end = time.monotonic() + 30
            while not (folder / "switch").exists():
                assert board.poll() is None and time.monotonic() < end
                time.sleep(0.02)
            yield Standin(folder, ports)
        finally:
            board.kill()
