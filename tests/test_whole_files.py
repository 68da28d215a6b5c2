"""Files are written whole or not at all, and read within bounds."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import of_harness, sources

from harness import files
from harness.build.lock import PackageLock
from harness.commands.images import sbom
from harness.commands.runs import compare
from harness.errors import EvidenceError, HostError, UserError
from harness.image import Image


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_text("old")
    path.chmod(0o640)
    assert files.write(path, "nëw") == path
    assert path.read_text(encoding="utf-8") == "nëw"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["one"]


def test_a_new_file_has_the_mode_that_the_umask_leaves_or_the_one_asked_for(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert files.write(tmp_path / "one", b"").stat().st_mode & 0o7777 == 0o640
        assert files.write(tmp_path / "two", b"", mode=0o600).stat().st_mode & 0o7777 == 0o600
    finally:
        os.umask(old)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/real")
    files.write(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder/real").read_text() == "text"


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match=f"the disk is full: could not write one into {tmp_path}"):
        files.write(tmp_path / "one", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_read_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"x" * 1024)
    assert files.read(path, 1024) == b"x" * 1024
    path.write_bytes(b"x" * 1025)
    with pytest.raises(EvidenceError, match="one is larger than 1 KiB"):
        files.read(path, 1024, EvidenceError)
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        files.read(tmp_path / "none", 1)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        files.read(tmp_path / "pipe", 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not JSON"), ("\udc80", "not JSON"), ("[" * 100_000, "nested too deeply"),
     ("[" * (files.DEEPEST_JSON + 1) + "]" * (files.DEEPEST_JSON + 1), "nested too deeply")],
    ids=["cut", "no UTF-8", "deeper than Python goes", "deeper than allowed"],
)  # fmt: skip
def test_what_is_no_json_is_explained(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EvidenceError, match=f"x.json: .*{words}"):
        files.read_json(tmp_path / "x.json", EvidenceError)


def test_json_as_deep_as_allowed_comes_back(tmp_path: Path) -> None:
    deep: list[object] = []
    for _ in range(files.DEEPEST_JSON - 1):
        deep = [deep]
    assert files.read_json(files.write_json(tmp_path / "x.json", deep)) == deep


# who renames a folder, a download that arrived, or what a program has written
MAY_RENAME = {
    "harness/files.py": "this is it",
    "harness/store.py": "folders",
    "harness/build/debian.py": "a download into the store's folder",
    "harness/certify/archive.py": "an archive whose parts are streamed by zstd",
    "harness/commands/images/build.py": "a folder",
    "harness/commands/nights/matrix.py": "a symbolic link",
    "harness/exports.py": "a hard link of the store's, or a copy of it",
    "harness/oci/blobs.py": "a download, checked while it came",
    "harness/run/folder.py": "the results of the run before, out of the way",
    "harness/bench/stacks.py": "files of a scratch folder that get other names",
}


@sources
def test_nobody_else_renames_a_file_over_another() -> None:
    found = set()
    for name, tree in of_harness():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            # str.replace takes two, Path.replace one
            if node.func.attr in ("replace", "rename") and len(node.args) == 1 and not node.keywords:
                found.add(name)
    assert found == set(MAY_RENAME)


@sources
def test_nobody_else_spells_out_what_cannot_be_printed() -> None:
    """A character is judged by ``isprintable`` inside a join in `harness.text` alone."""
    found = set()
    for name, tree in of_harness():
        for node in ast.walk(tree):
            chosen = node.elt.test if isinstance(node, ast.GeneratorExp) and isinstance(node.elt, ast.IfExp) else node
            if chosen is not node and "isprintable" in ast.unparse(chosen):
                found.add(name)
    assert found <= {"harness/text.py"}


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\udc80"])
@pytest.mark.parametrize("place", ["image", "lock", "record", "sbom"])
def test_broken_json_ends_in_a_sentence_wherever_it_lies(tmp_path: Path, place: str, content: str) -> None:
    path = tmp_path / ("manifest.json" if place == "image" else "a.json")
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    readers: dict[str, Callable[[], object]] = {
        "image": lambda: Image(tmp_path).manifest,
        "lock": lambda: PackageLock(path),
        "record": lambda: compare._read(path),
        "sbom": lambda: sbom.read(path),
    }
    with pytest.raises(UserError, match="not JSON"):
        readers[place]()
