"""`harness cache`: what it exports it takes back, and what is damaged it refuses."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from harness.commands.host.cache import cache
from harness.errors import EXIT_DAMAGED, HostError, UserError
from harness.store import Store


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cache with one package in it; its digest."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(b"a package").hexdigest()
    folder = tmp_path / "cache" / "debs" / digest
    folder.mkdir(parents=True)
    (folder / "package.deb").write_bytes(b"a package")
    return digest


def test_export_and_import(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache("export", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{filled}.deb"]
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    assert cache("import", tmp_path / "out") == 0
    assert (tmp_path / "other" / "debs" / filled / "package.deb").read_bytes() == b"a package"


def test_blobs_too(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [hashlib.new(algorithm, b"a blob").hexdigest() for algorithm in ("sha256", "sha512")]
    for digest in digests:
        (tmp_path / "cache/blobs" / digest).mkdir(parents=True)
        (tmp_path / "cache/blobs" / digest / "blob").write_bytes(b"a blob")
    cache("export", tmp_path / "out")
    modes = {path.suffix: path.stat().st_mode & 0o077 for path in (tmp_path / "out").iterdir()}
    assert modes[".blob"] == 0 and modes[".deb"] != 0, "a private registry's blobs are its user's alone"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    assert cache("import", tmp_path / "out") == 0
    for digest in digests:
        assert (tmp_path / "other/blobs" / digest / "blob").read_bytes() == b"a blob"
    (tmp_path / "out" / f"{digests[1]}.blob").write_bytes(b"another")
    with pytest.raises(UserError, match="damaged"):
        cache("import", tmp_path / "out")


def test_json(filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("export", "import"):
        assert cache(action, tmp_path / "out", as_json=True) == 0
        said = capsys.readouterr()
        assert json.loads(said.out) == {"action": action, "packages": 1, "blobs": 0, "folder": str(tmp_path / "out")}
        assert said.err == ""


def test_verify_names_what_is_damaged_and_throws_it_away(
    filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "cache")
    layer = store.make("layers", "0b", lambda work: (work / "layer.tar").write_text("x"))
    store.remember("0c", ["an answer"])
    assert cache("verify") == 0
    assert "3 entries" in capsys.readouterr().out
    (layer / "layer.tar").write_text("y")
    (tmp_path / "cache/resolved/0c.json").write_text('{"sha256": "", "value": []}')
    (tmp_path / "cache/debs" / filled / "package.deb").write_bytes(b"a pack-ge")
    assert cache("verify", as_json=True) == EXIT_DAMAGED
    found = json.loads(capsys.readouterr().out)
    assert {row["entry"]: row["damaged"] for row in found["thrown_away"]} == {
        "layers/0b": "layer.tar", "resolved/0c.json": "the answer", f"debs/{filled}": "package.deb"}  # fmt: skip
    assert not layer.exists() and cache("verify") == 0
    with pytest.raises(UserError, match="takes a folder"):
        cache("export")


def test_what_is_damaged_is_not_exported(filled: str, tmp_path: Path) -> None:
    (tmp_path / "cache/debs" / filled / "package.deb").write_bytes(b"another")
    cache("export", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_export_is_refused(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache("export", tmp_path / "out")
    (tmp_path / "out" / f"{filled}.deb").write_bytes(b"another")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    with pytest.raises(UserError, match="damaged"):
        cache("import", tmp_path / "out")
    assert not (tmp_path / "other" / "debs").exists()


def test_an_unknown_action_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        cache("expotr", tmp_path)
    assert "export" in error.value.hint


def test_what_an_export_could_not_finish_does_not_stay(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(HostError, match=rf"the disk of {tmp_path}/out is full"):
        cache("export", tmp_path / "out", as_json=False)
    assert list((tmp_path / "out").iterdir()) == []
