"""A board that stands in for one on a desk: a program of its own, which knows nothing of the harness.

``standin.py FOLDER run`` is the board: its serial line is the terminal FOLDER/tty, its boot medium FOLDER/boot
(``kernel``, ``initrd``, ``cmdline``). ``standin.py FOLDER on|off|status`` is its switch, ``standin.py FOLDER kexec``
what a Linux on it would do. FOLDER/board.json says what it is: {"qemu": [program, arguments…], "firmware": what comes
first: "" for the medium at once, "loader" for a boot loader that is talked to, "linux" for a system of its own,
"network" for the machine's own firmware; "baud": the line's speed, 0 for none}. With a speed FOLDER/said has what the
machine has said and when: a line for each piece, seconds of the monotonic clock and the bytes in hexadecimal.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import socket
import subprocess
import sys
import time
import tty
from pathlib import Path

WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"]
BITS = 10  # of a character on the line
TICK_S = 0.002  # how often a line with a speed lets characters go
BANNER = b"\r\nBootRom 1.2\r\nHit any key to stop autoboot:  2 "


class Board:
    """Power, serial line, firmware and boot medium."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "board.json").read_text())
        self.folder, self.qemu, self.firmware = folder, about["qemu"], about["firmware"]
        self.baud = about.get("baud", 0)
        self.waiting = b""  # for the line
        self.free_s = 0.0  # when it has let go of all before them
        self.line, self.end = pty.openpty()
        tty.setraw(self.end)
        os.set_blocking(self.line, False)
        (folder / "tty").unlink(missing_ok=True)
        (folder / "tty").symlink_to(os.ttyname(self.end))
        self.switch = socket.socket(socket.AF_UNIX)
        (folder / "switch").unlink(missing_ok=True)
        self.switch.bind(str(folder / "switch"))
        self.switch.listen()
        self.is_on = False
        self.machine: subprocess.Popen[bytes] | None = None
        self.typed = b""  # at the boot loader
        self.stopped = False  # its countdown
        self.said = b""  # by the machine, lately
        self.words = ""  # for the kernel, where the boot loader was told any

    def run(self) -> None:
        while True:
            ends = [self.line, self.switch]
            ends += [self.machine.stdout] if self.machine and self.machine.stdout else []
            for end in select.select(ends, [], [], TICK_S if self.waiting else 1.0)[0]:
                if end is self.switch:
                    self.order()
                elif end == self.line:
                    self.hear(os.read(self.line, 4096))
                else:
                    self.relay()
            self.let_go()

    def order(self) -> None:
        client, _ = self.switch.accept()
        with client:
            word = client.recv(64).decode()
            if word == "on" and not self.is_on:
                self.is_on = True
                self.power_on()
            elif word == "off":
                self.is_on, self.waiting = False, b""
                self.stop()
            elif word == "kexec" and self.is_on and not self.machine:
                self.boot()
            client.sendall(b"on" if self.is_on else b"off")

    def power_on(self) -> None:
        self.typed, self.stopped, self.words = b"", False, ""
        if self.firmware == "loader":
            self.say(BANNER)
        elif self.firmware == "linux":
            self.say(b"[    0.000001] Linux of the board's own\r\nboard login: ")
        elif self.firmware == "network":
            self.start([])
        else:
            self.boot()

    def say(self, data: bytes) -> None:
        if not self.baud:
            self.put(data)
            return
        now = time.monotonic()
        with (self.folder / "said").open("a") as log:
            print(f"{now:.6f}", data.hex(), file=log)
        self.free_s = self.free_s if self.waiting else now
        self.waiting += data

    def let_go(self) -> None:
        count = int((time.monotonic() - self.free_s) * self.baud / BITS) if self.waiting else 0
        data, self.waiting = self.waiting[:count], self.waiting[count:]
        self.free_s += len(data) * BITS / self.baud if self.baud else 0
        self.put(data)

    def put(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self.line, data) :]
            except BlockingIOError:
                # nobody reads: as on a real line, it is lost
                return

    def hear(self, data: bytes) -> None:
        if not self.is_on:
            return
        if self.machine and self.machine.stdin:
            with contextlib.suppress(OSError):
                self.machine.stdin.write(data)
                self.machine.stdin.flush()
        elif self.firmware == "loader" and not self.stopped:
            self.stopped = True
            self.say(b"\r\n=> ")
        elif self.firmware == "loader":
            self.say(data)
            *lines, self.typed = (self.typed + data).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self.command(line.decode())

    def command(self, line: str) -> None:
        verb, _, rest = line.strip().partition(" ")
        if verb == "setenv":
            self.words = rest.partition(" ")[2].strip("'")
        if verb == "boot":
            self.boot()
        else:
            self.say(b"\r\n=> ")

    def boot(self) -> None:
        medium = self.folder / "boot"
        if not (medium / "kernel").exists():
            return  # as a board without its card
        words = self.words or (medium / "cmdline").read_text().strip()
        self.start(["-kernel", str(medium / "kernel"), "-initrd", str(medium / "initrd"), "-append", words])

    def start(self, boot: list[str]) -> None:
        bare = ["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]
        argv = [*WITH_PARENT, *self.qemu, *boot, *bare]
        self.machine = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def relay(self) -> None:
        if not self.machine or not self.machine.stdout:
            return  # it was switched off a moment ago
        data = os.read(self.machine.stdout.fileno(), 65536)
        self.say(data)
        self.said = (self.said + data)[-4096:]
        if not data:
            restarts = b"reboot: Restarting system" in self.said
            self.stop()
            if restarts and self.is_on:
                self.power_on()

    def stop(self) -> None:
        if self.machine:
            self.machine.kill()
            self.machine.wait()
        self.machine, self.said = None, b""


def main() -> None:
    folder, word = Path(sys.argv[1]), sys.argv[2]
    if word == "run":
        Board(folder).run()
        return
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "switch"))
        client.sendall(word.encode())
        print(client.recv(64).decode())


if __name__ == "__main__":
    main()
