"""A night measures the floors that are missing, within its minutes, and says which still are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs import KEY, cell, results

from harness import paths
from harness.build.settings import Settings
from harness.commands.nights import calibrating, watch
from harness.errors import ImageError
from harness.history import History
from harness.history.floors import floors_of, set_floor
from harness.launch import shakes
from harness.spec import load_image, load_machine

IMAGE = "images/minimal.yml"
CELLS = ("qemu-arm64", "qemu-s390x", "qemu-x86_64")
NAMED = [f"{IMAGE} on {name}" for name in CELLS]


@pytest.fixture
def where(tmp_path: Path) -> str:
    """A history with a run of three cells, the first of which has its floors."""
    file = str(tmp_path / "history.db")
    with History.open(file) as history:
        history.add(results(1, *map(cell, CELLS)))
        set_floor(history, IMAGE, CELLS[0], {"ready": 1}, key=KEY, how="by hand")
    return file


def notes(where: str, *, minutes: float = 9.0, until: watch.Deadline | None = None) -> list[str]:
    read: Any = SimpleNamespace(
        images=(load_image([paths.CASES / "images/minimal.yml"]),),
        cells=[SimpleNamespace(image=0, machine=load_machine(name)) for name in CELLS],
    )
    return list(calibrating.after_run(read, results(1, *map(cell, CELLS)), Settings(), where, minutes=minutes,
                                      until=until))  # fmt: skip


def boots(spec: object, target: object, settings: Settings, out: Path) -> Iterator[tuple[shakes.Shake, dict[str, int]]]:
    for number, shake in enumerate(shakes.SHAKES):
        yield shake, {"ready": 300_000 + 100 * number, "total": 400_000}


def test_what_has_no_floor_gets_one(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shakes, "boots", boots)
    monkeypatch.setattr(calibrating, "figures", dict)
    assert notes(where) == [f"calibrated: {name}" for name in NAMED[1:]]
    with History.open(where) as history:
        assert floors_of(history, IMAGE, CELLS[0], key=KEY).measured == {"ready": 1}
        assert floors_of(history, IMAGE, CELLS[1], key=KEY).measured == {"ready": round(1.25 * 1300 + 50), "total": 50}
    assert notes(where) == []


def test_what_the_minutes_do_not_allow_is_named_and_half_a_floor_is_none(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def slow(*words: Any) -> Iterator[tuple[shakes.Shake, dict[str, int]]]:
        for one in boots(*words):
            now[0] += 10.0
            yield one

    monkeypatch.setattr(calibrating.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(shakes, "boots", slow)
    monkeypatch.setattr(calibrating, "figures", dict)
    assert notes(where, minutes=3) == [
        f"calibrated: {NAMED[1]}", f"not calibrated, for 3 min were over: {NAMED[2]}"]  # fmt: skip
    with History.open(where) as history:
        assert not floors_of(history, IMAGE, CELLS[2], key=KEY).calibrated
    past = watch.Deadline("06:30", datetime.now() - timedelta(hours=1))
    assert notes(where, until=past) == [f"not calibrated, for 9 min were over: {NAMED[2]}"]


def test_an_image_that_does_not_boot_so_is_noted_and_breaks_no_night(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Iterator[tuple[shakes.Shake, dict[str, int]]]:
        raise ImageError("it never was ready")
        yield

    monkeypatch.setattr(shakes, "boots", broken)
    assert notes(where) == ["no floor was measured: it never was ready"]
