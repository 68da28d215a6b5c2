"""After an update of QEMU the series goes on with last night's image under the new one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs import FIGURES, KEY, cell, results

from harness.commands.nights import bridging
from harness.history import History
from harness.history.trends import trend
from harness.image import SCHEMA
from harness.measure.floor import Floors
from harness.spec import load_machine
from harness.store import digest_of

NEW = {**KEY, "qemu": "8.2.0"}
BYTES = digest_of({"kernel": "6" * 64})
CELL = "images/minimal.yml on qemu-arm64"


def night(number: int, qemu: str, ready: int = 300_000, **more: Any) -> Any:
    row = cell(key={"qemu": qemu, **more}, exact={"ready": ready})
    return results(number, {**row, "inputs": {"bytes": BYTES, "YAML": "5" * 64}})


@pytest.fixture
def where(tmp_path: Path) -> str:
    """A history of two nights under an older QEMU, whose image the cache has."""
    folder = tmp_path / "cache/images/x"
    folder.mkdir(parents=True)
    files = [{"name": "kernel", "size": 7, "sha256": "6" * 64, "shipped": True}]
    (folder / "manifest.json").write_text(
        json.dumps({"schema": SCHEMA, "files": files, "cmdline": KEY["cmdline"].split()[0]})
    )
    (tmp_path / "cache/images/y").mkdir()
    (tmp_path / "cache/images/y/manifest.json").write_text("[]")
    with History.open(str(tmp_path / "history.db")) as history:
        for number in (1, 2):
            history.add(night(number, "7.2.22"), again=True)
    return str(tmp_path / "history.db")


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The images that were booted: each is 100 ms slower under the new QEMU."""
    found: list[Path] = []

    def boot(image: Any, machine: object, out: Path) -> object:
        found.append(image.folder)
        return SimpleNamespace(key=NEW)

    monkeypatch.setattr(bridging, "exact_boot", boot)
    monkeypatch.setattr(bridging, "figures", lambda _: {**FIGURES, "ready": 400_000})
    yield found


def notes(where: str, found: Any) -> list[str]:
    read: Any = SimpleNamespace(cells=[SimpleNamespace(image=0, machine=load_machine("qemu-arm64"))])
    return list(bridging.before_adding(where, Path(where).parent / "cache", read, found))


def test_a_change_in_the_night_of_the_update_is_not_lost(where: str, booted: list[Path], tmp_path: Path) -> None:
    tonight = night(3, "8.2.0", 420_000)
    said = "the image of run 00000000 under another QEMU: qemu: 7.2.22 → 8.2.0"
    assert notes(where, tonight) == [f"{CELL}: bridged, {said}"]
    assert booted == [tmp_path / "cache/images/x"]
    with History.open(where) as history:
        history.add(tonight, again=True)
        head = history.series("minimal", "qemu-arm64", "exact", "ready")[0]
        found = trend(history.values(head), Floors())
        assert [point.value for point in found.series.points] == [400_000, 420_000]
        (change,) = found.changes
        good = found.last_good(change)
        assert good is not None and (good.subject, found.at(change).subject) == ("Change 2", "Change 3")
        assert [one.note for one in history.runs()] == ["", "", said, ""]
    assert notes(where, night(4, "8.2.0")) == []
    assert len(booted) == 1


def test_nothing_is_booted_where_nothing_was_updated(where: str, booted: list[Path], tmp_path: Path) -> None:
    assert notes(where, night(3, "7.2.22")) == []
    assert notes(where, night(3, "8.2.0", cmdline="another")) == []  # the image's own doing
    assert notes(where, results(3, cell(image="images/new.yml"))) == []
    assert notes(str(tmp_path / "none.db"), night(3, "8.2.0")) == []
    assert booted == []


def test_a_series_that_cannot_be_bridged_is_noted(where: str, booted: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache/images/x/manifest.json").unlink()
    (note,) = notes(where, night(3, "8.2.0"))
    assert note == f"{CELL}: qemu: 7.2.22 → 8.2.0; the image of run 00000000 is no longer in the cache: " \
                   "its series begin anew"  # fmt: skip
    assert booted == []
