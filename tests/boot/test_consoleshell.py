"""The shell over a console whose line loses and spoils characters: right bytes or an error, never wrong ones."""

from __future__ import annotations

import hashlib
import os
import pty
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import MachineError
from harness.system.channels import PipeSource
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.listener import Listener
from harness.system.shell import CommandTimeoutError, ShellDeadError
from harness.system.transcript import Transcript

from .conftest import Toy

pytestmark = pytest.mark.slow


class BadLine(PipeSource):
    """A line that loses, spoils and inserts: one event in about `mean` characters, either way."""

    def __init__(self, descriptor: int, seed: int, mean: int) -> None:
        super().__init__(descriptor, descriptor)
        self.random, self.mean, self.spoilt = random.Random(seed), mean, 0

    def spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self.mean and self.random.random() < 1 / self.mean:
                self.spoilt += 1
                out += self.random.choice((b"", b"#", bytes([byte]) * 2, b"\r\n[    1.000000] the kernel says\r\n"))
            else:
                out.append(byte)
        return bytes(out)

    def read(self, timeout: float) -> bytes | None:
        data = super().read(timeout)
        return self.spoil(data) if data else data

    def write(self, data: bytes) -> None:
        super().write(self.spoil(data))


@contextmanager
def shell(
    tmp_path: Path, seed: int = 0, mean: int = 0, program: str = "sh", path: str = os.environ["PATH"]
) -> Iterator[tuple[ConsoleShell, BadLine]]:
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [program, "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={"PATH": path},
    )
    os.close(slave)
    line = BadLine(master, seed, mean)
    began = time.monotonic()
    console = Console(line, Listener(Transcript(tmp_path / "t", {})), lambda: time.monotonic() - began)
    try:
        yield ConsoleShell(console, lambda: None), line
    finally:
        child.kill()
        child.wait()
        console.close()


@pytest.mark.parametrize("program", ["sh", "bash"])
def test_a_good_line_gives_exact_bytes(program: str, tmp_path: Path) -> None:
    with shell(tmp_path, program=program) as (on, _):
        assert on.run("printf 'a\\0b\\377\\r\\n~R 1 x'; exit 3").stdout == b"a\0b\xff\r\n~R 1 x"
        assert on.run("exit 3").code == 3
        assert on.run("echo " + "long " * 1000).text == " ".join(["long"] * 1000) + "\n"
        data = random.Random(1).randbytes(50_000)
        (tmp_path / "data").write_bytes(data)
        assert on.run(f"cat {tmp_path}/data").stdout == data
        with pytest.raises(CommandTimeoutError):
            on.run("sleep 100", timeout=1)
        assert on.run("echo still").text == "still\n"
        on.close()


def test_commands_run_where_there_is_no_timeout(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name != "timeout" and not (tmp_path / "bin" / program.name).is_symlink():
                (tmp_path / "bin" / program.name).symlink_to(program)
    with shell(tmp_path, path=str(tmp_path / "bin")) as (on, _):
        assert on.run("command -v timeout").code == 127
        assert (on.run("echo one; exit 3").text, on.run("exit 3").code) == ("one\n", 3)


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_line_never_gives_wrong_bytes(seed: int, tmp_path: Path) -> None:
    wanted = bytes(random.Random(seed).randbytes(6000))
    (tmp_path / "data").write_bytes(wanted)
    with shell(tmp_path, seed, mean=4000) as (on, line):
        result = on.run(f"cat {tmp_path}/data; exit 7")
        assert line.spoilt
    assert (result.stdout, result.code) == (wanted, 7)


def test_a_hopeless_line_is_an_error(tmp_path: Path) -> None:
    with shell(tmp_path, 1, mean=20) as (on, _), pytest.raises(ShellDeadError, match="no shell answers"):
        on.start(timeout=3)


def test_no_shell_at_the_other_end_is_an_error(tmp_path: Path) -> None:
    with shell(tmp_path, program="cat") as (on, _), pytest.raises(MachineError):
        on.start(timeout=3)


def test_a_real_guests_kernel_may_print_in_between(toy: Toy) -> None:
    script = "say ready\nwhile :; do $b setsid $b sh -c 'exec $0 sh -i </dev/console >/dev/console 2>&1' $b; done\n"
    noise = "i=0; while [ $i -lt 30 ]; do echo '<2>noise' >/dev/kmsg; usleep 20000; i=$((i+1)); done & "
    with toy(script) as system:
        system.wait_ready()
        on = system.console_shell()
        result = on.run(noise + "/probe/busybox head -c 9000 /probe/busybox; exit 5", timeout=60)
        digest = on.run("/probe/busybox head -c 9000 /probe/busybox | md5sum").text
    assert (hashlib.md5(result.stdout).hexdigest(), result.code) == (digest.split()[0], 5)
    assert "noise" in system.transcript.read_text()
