"""Console bytes: marks, failures, transcript, terminal codes; pure."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.system import failures, milestones
from harness.system.listener import LONGEST_LINE, Listener
from harness.system.text import Stripper, clean
from harness.system.transcript import Transcript


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(Transcript(tmp_path / "transcript.txt", {"host": "cores 2"}))


@pytest.mark.parametrize(
    ("line", "name", "us", "values"),
    [
        (b"[    0.712345] harness: init\n", "init", 712345, {}),
        (b"[   12.000001] harness: onboot/dhcp done\r\n", "onboot/dhcp done", 12000001, {}),
        (b"[    1.000000][    T1] harness: root\n", "root", 1000000, {}),
        (b"login: [    1.000000] harness: ready counter=ff\n", "ready", 1000000, {"counter": "ff"}),
        (b"[    1.0] x\n[    1.000002] harness: services/a.b exited code=137\n", "services/a.b exited", 1000002,
         {"code": "137"}),
    ],
)  # fmt: skip
def test_marks_are_found(line: bytes, name: str, us: int, values: dict[str, str]) -> None:
    (mark,) = milestones.parse(line, 1.5)
    assert (mark.name, mark.guest_us, mark.values, mark.host_s) == (name, us, values, 1.5)


@pytest.mark.parametrize(
    "line",
    [
        b"harness: ready\n",
        b"[    1.00001] harness: ready\n",
        b"[    1.000001] not harness: ready\n",
        b"[    1.000001] harness: ready steady go now\n",
        b"[    1.000001] harness: re\x00ady\n",
    ],
)
def test_what_only_looks_like_a_mark_is_none(line: bytes) -> None:
    assert milestones.parse(line, 0.0) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"[    1.000000] Kernel panic - not syncing: VFS\n", "the kernel panicked"),
        (b"Kernel panic - not syncing: no stamps\n", "the kernel panicked"),
        (b"[    1.000000] BUG: kernel NULL pointer dereference, address: 0\n", "the kernel hit a bug"),
        (b"[   26.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n", "the kernel is stuck"),
        (b"[    1.000000] Oops: 0002 [#1] PREEMPT SMP\n", "the kernel hit an oops"),
        (b"[    1.000000] Internal error: Oops: 96000004 [#1] SMP\n", "the kernel hit an oops"),
        (b"[    1.000000] illegal operation: 0001 ilc:1 [#1] SMP\n", "the kernel hit an oops"),
        (b"[    1.000000] Out of memory: Killed process 7 (x)\n", "the guest ran out of memory"),
        (b"[    1.252098] Initramfs unpacking failed: write error\n", "the initrd does not fit into the memory"),
    ],
)
def test_a_lost_guest_is_recognised(line: bytes, what: str) -> None:
    found = failures.find(b"[    0.9] fine\n" + line)
    assert found is not None
    assert (found.what, found.words) == (what, line.decode().strip())


@pytest.mark.parametrize(
    "line",
    [
        b"BUG: a program's own word\n",
        b"my test says Oops: nothing\n",
        b"[    1.000000] Memory cgroup out of memory: Killed process 7\n",
        b"java.lang: Out of memory\n",
        b"debugging Kernel panics\n",
        b"I grepped for Kernel panic - not syncing\n",
    ],
)
def test_programs_may_say_such_words(line: bytes) -> None:
    assert failures.find(line) is None


def test_where_lines_bear_stamps_one_without_is_a_programs(listener: Listener) -> None:
    listener.feed(b"[    0.000001] harness: init\r\nKernel panic - not syncing: fake\r\n", 1.0)
    assert listener.failure is None
    listener.feed(b"login: [    0.000002] Kernel panic - not syncing: real\r\n", 1.0)
    assert listener.failure is not None and "real" in listener.failure.words


def test_a_kernel_without_stamps_may_panic(listener: Listener) -> None:
    listener.feed(b"Linux version 6.1\r\nKernel panic - not syncing: VFS\r\n", 1.0)
    assert listener.failure is not None


def test_marks_and_failures_survive_any_cutting(listener: Listener) -> None:
    text = b"[    0.000001] harness: init\r\n\x1b[31m[    0.000002] harness: ready\x1b[0m\r\n"
    for byte in text + b"[    0.000003] Kernel panic - not syncing: x\n":
        listener.feed(bytes([byte]), 1.0)
    assert [mark.name for mark in listener.milestones] == ["init", "ready"]
    assert listener.failure is not None
    assert "\x1b" not in listener.last_lines()


def test_digests_end_at_the_ready_line_and_at_the_end(listener: Listener) -> None:
    head, tail = b"a\r\n[    0.000002] harness: ready counter=1\r\n", b"b\nunfinished"
    for piece in (head[:7], head[7:] + tail[:1], tail[1:]):
        listener.feed(piece, 1.0)
    listener.flush(2.0)
    assert listener.sha256_ready == hashlib.sha256(head).hexdigest()
    assert listener.sha256 == hashlib.sha256(head + tail).hexdigest()


def test_the_transcript_has_a_time_on_every_line(listener: Listener) -> None:
    listener.feed(b"one\ntwo\nthr", 1.25)
    listener.feed(b"ee\n", 2.5)
    lines = listener.transcript.path.read_text().splitlines()
    assert "# host: cores 2" in lines
    assert lines[-3:] == ["    1.250000 | one", "    1.250000 | two", "    2.500000 | three"]


def test_the_transcript_is_cut_once_and_says_so(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "t", {}, limit=1000)
    for _ in range(1000):
        transcript.write(b"x" * 60 + b"\n", 1.0)
    transcript.close()
    text = (tmp_path / "t").read_text()
    assert len(text) < 1200
    assert text.count("was not written") == 1


def test_an_endless_line_is_cut(listener: Listener) -> None:
    for _ in range(100):
        listener.feed(b"x" * 1000, 1.0)
    assert len(listener._pending) <= LONGEST_LINE + 1000
    assert listener.transcript.path.stat().st_size > 50_000


@given(st.binary(max_size=4000), st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_garbage_never_breaks_and_never_stays(data: bytes, cuts: list[int]) -> None:
    assert not set(clean(data)) & {0, 13, 27, 127}
    stripper, at = Stripper(), 0
    for cut in cuts:
        stripper.feed(data[at : at + cut])
        at += cut
    failures.find(data)
    milestones.parse(data, 0.0)


def test_codes_cut_in_two_are_stripped() -> None:
    stripper = Stripper()
    assert b"".join(stripper.feed(piece) for piece in (b"a\x1b", b"[3", b"1mb\x1b[0", b"mc")) == b"abc"


FLOOD = """
import os, resource, sys, threading, time
from pathlib import Path
from harness.system.channels import PipeSource
from harness.system.console import Console
from harness.system.listener import Listener
from harness.system.transcript import Transcript
out, into = os.pipe()
listener = Listener(Transcript(Path(sys.argv[1]), {}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
console = Console(PipeSource(out, os.open('/dev/null', os.O_WRONLY)), listener, time.monotonic)
def flood():
    piece = eval(sys.argv[2]) * 4096
    sent = 0
    while sent < 100 << 20:
        sent += os.write(into, piece)
    os.write(into, b"\\n[    9.000000] harness: ready\\nthe end is here")
    os.close(into)
threading.Thread(target=flood).start()
if sys.argv[3] == "unread":
    with console.changed:
        console.changed.wait_for(lambda: console.ended)
console.expect(b"the end is here", timeout=100)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print([mark.name for mark in listener.milestones], grown // 1024, Path(sys.argv[1]).stat().st_size >> 20)
console.close()
"""


@pytest.mark.parametrize(
    ("piece", "how"),
    [
        (b"y\n", "awaited"),
        (b"\x00\xff\x1b[", "awaited"),
        (b"a line of text of a usual length, as kernels write\r\n", "unread"),
    ],
)
@pytest.mark.slow
def test_a_flood_of_100_mb_leaves_memory_and_disk_alone(piece: bytes, how: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLOOD, tmp_path / "t", repr(piece), how], capture_output=True, text=True, check=True
    )
    marks, grown, disk = done.stdout.rsplit(" ", 2)
    assert marks == "['ready']"
    assert int(grown) < 100
    assert int(disk) <= 65
