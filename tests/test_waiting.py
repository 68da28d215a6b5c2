"""Nobody waits longer than two seconds without a word, whatever the command is waiting for."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.show import frame, waiting
from harness.show.waiting import AGAIN_S, SILENT_S, Wait


def test_a_word_comes_after_two_seconds_and_then_every_ten() -> None:
    wait = Wait("harness build", 0.0, 0.0)
    said = {now: word for now in (1.9, 2.0, 2.1, 11.9, 12.0, 13.0) if (word := wait.word(now))}
    assert said == {2.0: "harness build: 2 s so far", 12.0: "harness build: 12 s so far"}
    wait.heard("os arm64: kernel", 13.0)
    assert (wait.word(14.9), wait.word(15.0)) == ("", "os arm64: kernel: 2 s so far")
    assert SILENT_S == 2 and AGAIN_S == 10


class Heard(io.StringIO):
    """A stream that tells when it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        size = super().write(text)
        self.written.set()
        return size


@pytest.mark.timeout(60)
def test_what_is_said_is_what_was_begun_last(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Heard()
    monkeypatch.delenv(frame.QUIET)
    monkeypatch.setattr(sys, "stderr", stream)

    def action() -> int:
        frame.progress("os on qemu-arm64: booting")
        stream.written.clear()
        assert stream.written.wait(50)
        return 0

    assert frame.guarded(action, "harness boot") == 0
    assert stream.getvalue().splitlines()[:2] == ["os on qemu-arm64: booting", "os on qemu-arm64: booting: 2 s so far"]
    assert not [one for one in threading.enumerate() if one.name == "waiting"]


def test_nothing_is_said_while_the_terminal_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(waiting, "SILENT_S", 0.0)
    ticked = threading.Event()
    monkeypatch.setattr(Wait, "word", lambda *_: ticked.set() or "word")
    # quiet to the end: what is said once the terminal is free again is another matter
    with waiting.quiet(), waiting.watched("harness boot", said.append):
        assert not ticked.wait(3 * waiting.TICK_S)
    assert said == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("words", [("build",), ("outdated",), ("boot", "-m", "qemu-arm64"), ("sbom",)])
def test_a_server_that_says_nothing_is_told_of(words: tuple[str, ...], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = f"127.0.0.1:{server.getsockname()[1]}/team"
        (tmp_path / "os.yml").write_text(f"kernel: {{image: '{name}/kernel:1'}}\ninit: ['{name}/init:1']\n")
        argv = [sys.executable, "-c", "from harness.cli import main; main()", words[0], "os.yml", *words[1:]]
        env = {**os.environ, "HARNESS_CACHE": str(tmp_path / "cache"), frame.QUIET: ""}
        with subprocess.Popen(argv, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            lines: list[str] = []
            for line in process.stderr:
                lines.append(line)
                if line.endswith("s so far\n"):
                    break
            process.kill()
    assert lines[-1].endswith(": 2 s so far\n"), lines
