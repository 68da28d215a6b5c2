"""The store: whole or not at all, one maker at a time, killed makers leave nothing that counts."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.store import Store, digest_of, file_digest, usage

MAKER = """
import os, sys
from pathlib import Path
from harness.store import Store
root, log = Path(sys.argv[1]), Path(sys.argv[2])
def maker(work):
    with log.open("a") as stream:
        stream.write("made\\n")
    (work / "result").write_text("whole")
print((Store(root).make("kind", "key", maker) / "result").read_text())
"""


def test_digest_does_not_depend_on_order() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_made_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calls: list[Path] = []
    for _ in range(2):
        store.make("kind", "key", calls.append)
    assert len(calls) == 1
    assert store.has("kind", "key")


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def maker(work: Path) -> None:
        (work / "half").touch()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Store(tmp_path).make("kind", "key", maker)
    assert not Store(tmp_path).has("kind", "key")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot write")])
def test_disk_troubles_are_explained(tmp_path: Path, code: int, words: str) -> None:
    def maker(work: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(HostError, match=words):
        Store(tmp_path).make("kind", "key", maker)


@pytest.mark.slow
def test_many_processes_make_once(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", MAKER, str(tmp_path / "store"), str(tmp_path / "log")]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in running] == ["whole\n"] * 4
    assert (tmp_path / "log").read_text() == "made\n"


@pytest.mark.slow
def test_killed_maker_is_swept_and_its_key_is_free(tmp_path: Path) -> None:
    code = MAKER.replace('(work / "result").write_text("whole")', "print('making', flush=True); sys.stdin.read()")
    argv = [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "log")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "making\n"
        assert Store(tmp_path).sweep() == 0, "a living maker keeps its folder"
        process.send_signal(signal.SIGKILL)
    assert not Store(tmp_path).has("kind", "key")
    assert Store(tmp_path).sweep() == 1
    Store(tmp_path).make("kind", "key", lambda work: None)
    assert Store(tmp_path).has("kind", "key")


def test_usage_counts_a_hardlink_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1_000_000)
    alone = usage(tmp_path)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert usage(tmp_path) == alone >= 1_000_000
