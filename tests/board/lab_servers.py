"""Real servers on loopback: an sshd of this user's own, a ser2net, and a shell behind a pty for a board."""

from __future__ import annotations

import getpass
import os
import pty
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import tools
from harness.spec.models.board import SshTarget

PATIENCE_S = 20.0


def free_port() -> int:
    """Return a TCP port that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def await_port(port: int, child: subprocess.Popen[bytes]) -> None:
    """Wait until something listens on `port`, or `child` has died."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}: exit code {child.poll()}")


@contextmanager
def running(argv: list[str], port: int = 0, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as long as the block lasts, once it listens on `port`."""
    with (log or Path(os.devnull)).open("wb") as stream:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            if port:
                await_port(port, child)
            yield child
        finally:
            child.kill()
            child.wait()


@dataclass
class Sshd:
    """A running sshd: its port, and the folder with the user's ``id`` and ``known_hosts``."""

    port: int
    folder: Path

    def target(self, **changes: object) -> SshTarget:
        told = {"host": "127.0.0.1", "port": self.port, "user": getpass.getuser(), "key": "id", **changes}
        return SshTarget.model_validate({"known_hosts": "known_hosts", **told})


def _key(path: Path, password: str = "") -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", password, "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


@contextmanager
def sshd(folder: Path, more: str = "") -> Iterator[Sshd]:
    """Run sshd as this user, who may log in with the key ``id`` in `folder`; `more` are lines of its configuration."""
    port = free_port()
    host_key = _key(folder / "host")
    keys = _key(folder / "id") + _key(folder / "locked", "brisk-heron-7")
    (folder / "authorized_keys").write_text(keys)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"Subsystem sftp internal-sftp\n{more}"
    )
    program = tools.find("sshd")
    assert program
    with running([program, "-D", "-e", "-f", str(folder / "config")], port, folder / "sshd.log"):
        yield Sshd(port, folder)


@contextmanager
def shell_on_pty(program: str = "sh") -> Iterator[str]:
    """Give the path of a terminal behind which a shell waits, as a board's serial device is."""
    shell_end, shell_tty = pty.openpty()  # the shell's own terminal
    line_end, line_tty = pty.openpty()  # what the harness opens
    child = subprocess.Popen(
        [program, "-i"],
        stdin=shell_tty,
        stdout=shell_tty,
        stderr=shell_tty,
        start_new_session=True,
        env={"PATH": os.environ["PATH"]},
    )
    subprocess.run(["stty", "-F", os.ttyname(line_tty), "raw", "-echo"], check=True)
    pump = subprocess.Popen(["/usr/bin/env", "python3", "-c", PUMP, str(shell_end), str(line_end)],
                            pass_fds=(shell_end, line_end))  # fmt: skip
    try:
        yield os.ttyname(line_tty)
    finally:
        for one in (child, pump):
            one.kill()
            one.wait()
        for descriptor in (shell_end, shell_tty, line_end, line_tty):
            os.close(descriptor)


PUMP = """
import os, select, sys
a, b = map(int, sys.argv[1:])
while True:
    for one in select.select([a, b], [], [])[0]:
        data = os.read(one, 65536)
        while data:
            data = data[os.write(b if one == a else a, data):]
"""


@contextmanager
def ser2net(folder: Path, device: str) -> Iterator[dict[str, int]]:
    """Run ser2net for `device`; give the ports by kind: ``rfc2217`` and ``raw``."""
    ports = {"rfc2217": free_port(), "raw": free_port()}
    accepters = {
        "rfc2217": f"telnet(rfc2217),tcp,127.0.0.1,{ports['rfc2217']}",
        "raw": f"tcp,127.0.0.1,{ports['raw']}",
    }
    config = "%YAML 1.1\n---\n" + "".join(
        f"connection: &{kind}\n  accepter: {accepter}\n  connector: serialdev,{device},115200n81,local\n"
        "  options:\n    kickolduser: true\n"
        for kind, accepter in accepters.items()
    )
    (folder / "ser2net.yaml").write_text(config)
    program = tools.find("ser2net")
    assert program
    argv = [program, "-d", "-c", str(folder / "ser2net.yaml"), "-P", str(folder / "ser2net.pid")]
    with running(argv, 0, folder / "ser2net.log") as child:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not _listens(set(ports.values())):
            assert child.poll() is None, (folder / "ser2net.log").read_text()
            time.sleep(0.05)
        yield ports


def _listens(ports: set[int]) -> bool:
    """Say whether all of `ports` are listened on, without connecting: a connection would open the device."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return ports <= {int(row.split()[1].partition(":")[2], 16) for row in rows if row.split()[3] == "0A"}
