"""The store: whole or not at all, one maker at a time, killed makers leave nothing that counts."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.store import SUMS, Store, digest_of, file_digest, usage

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


def entry(store: Store, kind: str = "layers") -> Path:
    """Return a made entry; each time it is made it says so in `made`."""

    def maker(work: Path) -> None:
        (work / "below").mkdir()
        (work / "data").write_bytes(bytes(range(256)) * 8)
        (work / "below/more").write_text("more")

    return store.make(kind, digest_of(kind), maker)


@pytest.mark.parametrize("name", ["data", "below/more", SUMS])
@pytest.mark.parametrize("at", [0, 0.3, 0.999])
def test_a_byte_that_is_another_is_named_and_the_entry_made_again(tmp_path: Path, name: str, at: float) -> None:
    said: list[str] = []
    path = entry(Store(tmp_path))
    good = {file: (path / file).read_bytes() for file in ("data", "below/more", SUMS)}
    file = path / name
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert entry(Store(tmp_path, said.append)) == path
    assert {one: (path / one).read_bytes() for one in good} == good
    (line,) = said
    assert line.startswith("layers/") and "damaged in the cache (" in line
    assert name in line or name == SUMS, "when the digests are damaged, who knows which of them"
    assert entry(Store(tmp_path, said.append)) == path and len(said) == 1


@pytest.mark.parametrize("change", ["gone", "more", "unsealed"])
def test_an_entry_with_other_files_is_made_again(tmp_path: Path, change: str) -> None:
    path, said = entry(Store(tmp_path)), []
    {"gone": (path / "data").unlink, "more": (path / "new").touch,
     "unsealed": (path / SUMS).unlink}[change]()  # fmt: skip
    assert Store(tmp_path, said.append).find("layers", path.name) is None
    assert len(said) == 1 and not path.exists()


def test_what_nobody_reads_is_judged_by_its_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> Path:
        return Store(tmp_path, said.append).make("images", "0a", lambda work: (work / "f").write_text("x"), unread=True)

    said: list[str] = []
    path = make()
    with monkeypatch.context() as patched:
        patched.setattr("harness.store.file_digest", lambda path: pytest.fail("read"))
        assert make() == path and Store(tmp_path).looks_sound("images", "0a")
    before = (path / "f").stat()
    (path / "f").write_text("y")
    os.utime(path / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not Store(tmp_path).looks_sound("images", "0a")
    assert make() == path and (path / "f").read_text() == "x" and len(said) == 1


def test_a_remembered_answer_is_itself_or_none(tmp_path: Path) -> None:
    store, said = Store(tmp_path), []
    store.remember("k", {"packages": ["a"]})
    (path,) = (tmp_path / "resolved").iterdir()
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert Store(tmp_path, said.append).recall("k") in (None, {"packages": ["a"]})
    assert len(said) > len(good) - 5
    path.write_bytes(good)
    assert store.recall("k") == {"packages": ["a"]} and store.recall("none") is None


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


def test_usage_passes_over_what_goes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    scan = os.scandir

    def scandir(path: str | Path | int) -> object:
        if not isinstance(path, int) and Path(path).name == "b":  # its maker is done with it just now
            monkeypatch.undo()
            shutil.rmtree(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert usage(tmp_path) >= 0
    assert list(tmp_path.iterdir()) == []


def test_a_new_store_is_its_users_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "cache")
    store.make("images", "0" * 64, lambda folder: (folder / "file").write_text("private"))
    assert (tmp_path / "new" / "cache").stat().st_mode & 0o777 == 0o700


def test_what_lies_in_a_store_that_others_may_enter_is_its_users_alone(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    store = Store(tmp_path / "open")
    made = store.make("blobs", "0" * 64, lambda folder: (folder / "blob").write_text("private"))
    store.remember("key", ["a registry's answer"])
    assert [path.stat().st_mode & 0o077 for path in (made, store.root / "resolved/key.json")] == [0, 0]
