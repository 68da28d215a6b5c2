"""Files are written whole or not at all, and read within bounds."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trees import of_harness, sources

from harness import files
from harness.build.lock import PackageLock
from harness.commands.images import sbom
from harness.commands.runs import compare
from harness.errors import EvidenceError, HostError, UserError
from harness.image import Image
from harness.spec.rules.images import BOOTED, files_of


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
    "harness/commands/images/folders.py": "a folder",
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


# whose JSON is parsed without the bounds of `harness.files`
MAY_PARSE = {
    "harness/files.py": "this is it",
    "harness/board/guard.py": "what the harness tells its own child",
    "harness/build/kernel.py": "an entry of the store, whose digests have been compared",
    "harness/build/kernelimage.py": "an entry of the store",
    "harness/build/layer.py": "an entry of the store",
    "harness/build/media/loaders.py": "an entry of the store",
    "harness/certify/contents.py": "an archive's, with stricter bounds: its values are counted before they are made",
    "harness/cluster/task.py": "what was made in the same line",
    "harness/commands/images/boot.py": "what was made a line before",
    "harness/commands/images/lint.py": "what was made a line before",
    "harness/emulator/qmp.py": "a line of QEMU's, bounded as it comes",
    "harness/history/keys.py": "a cell of the history's tables",
    "harness/history/lines.py": "a cell of the history's tables",
    "harness/history/outcomes.py": "a cell of the history's tables",
    "harness/oci/credentials.py": "what a helper has said",
    "harness/oci/layers.py": "an entry of the store",
    "harness/run/events.py": "a line of events, of which a full disk may have left half",
    "harness/store.py": "the store's own notes; what is damaged is made again",
}

# who writes a file in place: into a folder that is kept or dropped as a whole, for a child, or what grows
MAY_WRITE = {
    *(
        f"harness/build/{name}.py"
        for name in ("artifact", "copyrights", "formats", "kernel", "kernelimage", "layer", "pipeline", "turned")
    ),
    *(f"harness/build/media/{name}.py" for name in ("cd", "disk", "esp", "exchange", "fat", "grub", "loaders")),
    *(f"harness/build/outputs/{name}.py" for name in ("tar", "uki")),
    *(f"harness/certify/{name}.py" for name in ("archive", "evidence", "rebuild", "sandbox", "verify")),
    *(f"harness/board/{name}.py" for name in ("guard", "kernelform", "power/snmp", "ssh")),
    *(f"harness/system/{name}.py" for name in ("consoleshell", "segments", "transcript")),
    *(f"harness/oci/{name}.py" for name in ("hostfiles", "layers")),
    *(f"harness/commands/runs/{name}.py" for name in ("bisect", "outdated")),
    "harness/child.py",
    "harness/cli/man.py",
    "harness/cluster/parcels.py",
    "harness/cluster/task.py",
    "harness/commands/images/bootable.py",  # a disk of the machine
    "harness/commands/images/compose.py",  # a new file, never in the place of another
    "harness/emulator/disk.py",
    "harness/launch/perturb.py",
    "harness/run/describe.py",  # the repository's own pages
    "harness/show/frame.py",
    "harness/spec/schema.py",
    "harness/store.py",
    "harness/suite/fixtures.py",
}


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _writes(name: str, call: ast.Call) -> bool:
    """Say whether a call opens a file to replace what is in it, by another way than `harness.files`."""
    first = call.args[0] if call.args else None
    mode = first.value if isinstance(first, ast.Constant) else ""
    return name.endswith((".write_text", ".write_bytes")) or (name.endswith(".open") and mode in ("w", "wb", "x", "xb"))


@sources
def test_nobody_else_parses_json_or_writes_files_in_place() -> None:
    parse, write = set(), set()
    for name, tree in of_harness():
        if name.startswith("harness/bench/"):
            continue  # it reads and writes its own scratch files alone
        for called, call in _calls(tree):
            if re.fullmatch(r"json_?\.loads?", called):
                parse.add(name)
            if _writes(called, call):
                write.add(name)
    assert parse == set(MAY_PARSE)
    assert write == MAY_WRITE


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


@pytest.mark.parametrize("content", ["{", "[" * 50_000, "\udc80"])
@pytest.mark.parametrize("place", ["image", "lock", "record", "sbom", "booted"])
def test_broken_json_ends_in_a_sentence_wherever_it_lies(tmp_path: Path, place: str, content: str) -> None:
    path = tmp_path / {"image": "manifest.json", "booted": BOOTED}.get(place, "a.json")
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    readers: dict[str, Callable[[], object]] = {
        "image": lambda: Image(tmp_path).manifest,
        "lock": lambda: PackageLock(path),
        "record": lambda: compare._read(path),
        "sbom": lambda: sbom.read(path),
        "booted": lambda: files_of(str(tmp_path)),
    }
    with pytest.raises(UserError, match="not JSON"):
        readers[place]()


def test_a_boots_folder_whose_note_is_too_large_or_none_is_told_of(tmp_path: Path) -> None:
    note = tmp_path / BOOTED
    note.write_text(json.dumps({"image": "x" * (64 << 10)}))
    with pytest.raises(UserError, match=r"does not say which image was booted: .* is larger than 64 KiB"):
        files_of(str(tmp_path))
    note.write_text("[]")
    with pytest.raises(UserError, match="does not say which image was booted"):
        files_of(str(tmp_path))
