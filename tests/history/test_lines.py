"""The history as JSON Lines: out of one database and into another, and what is wrong with a line."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import KEY, cell, results

from harness.errors import UserError
from harness.history import History, baselines, lines
from harness.history.floors import floors_of, set_floor
from harness.history.lines import Taken
from harness.history.record import CellRecord, CommitRecord, Measured, RunLine, of_results

CELL = ("images/minimal.yml", "qemu-arm64")


def exported(history: History) -> str:
    stream = io.StringIO()
    lines.export(history, stream)
    return stream.getvalue()


def taken(history: History, text: str) -> Taken:
    return lines.import_(history, io.BytesIO(text.encode()), "all.jsonl")


def filled(history: History) -> str:
    """Fill a history with some of everything, and return its export."""
    for number in (2, 1, 3):
        history.add(results(number, cell(exact={"ready": 300_000 + number}), cell("qemu-s390x", wall=None)))
    baselines.accept(history, history.run("latest"), "release", who="me", machine="qemu-arm64")
    set_floor(history, *CELL, {"ready": 640}, key=KEY, how="12 seeds")
    return exported(history)


def test_a_history_moves_to_another_database(new_place: Callable[[], str], tmp_path: Path) -> None:
    with History.open(new_place()) as old, History.open(new_place()) as new:
        with History.open(str(tmp_path / "third.db")) as third:
            text = filled(old)
            assert [json.loads(line)["kind"] for line in text.splitlines()] == ["run", "run", "run", "floor"]
            assert taken(new, text) == Taken(runs=3, known=0, floors=1)
            assert taken(third, exported(new)) == Taken(runs=3, known=0, floors=1)
            for one in (new, third):
                assert list(map(json.loads, exported(one).splitlines())) == list(map(json.loads, text.splitlines()))
                assert [head.subject for head in one.runs()] == ["Change 1", "Change 2", "Change 3"]
                assert [accepted.reason for accepted in baselines.accepted(one)] == ["release"]
                assert floors_of(one, *CELL, key=KEY).measured == {"ready": 640}
                (head,) = one.series(*CELL, "exact", "ready")
                assert one.values(head) == old.values(head)


def test_what_is_there_already_is_passed_over(history: History) -> None:
    text = filled(history)
    assert taken(history, text + "\n" + text) == Taken(runs=0, known=6, floors=2)
    assert exported(history) == text


def test_a_baseline_made_since_is_taken_in(history: History) -> None:
    text = filled(history).splitlines()
    run = json.loads(text[0])
    run["baselines"].append({"image": "", "machine": "", "reason": "since", "who": "me", "when": run["when"]})
    for _ in range(2):
        taken(history, json.dumps(run))
        assert [one.reason for one in baselines.accepted(history)] == ["release", "since"]


def test_an_older_floor_does_not_come_back(history: History) -> None:
    text = filled(history)
    set_floor(history, *CELL, {"ready": 700}, key=KEY, how="24 seeds")
    old = json.loads(text.splitlines()[-1]) | {"when": "2020-01-01T00:00:00Z"}
    assert taken(history, json.dumps(old)).floors == 0
    assert floors_of(history, *CELL, key=KEY).measured == {"ready": 700}


def line(**changes: object) -> dict[str, object]:
    measured = {"mode": "exact", "key": {}, "figures": {"ready": 1}}
    whole = {"kind": "run", "run": "12345678", "when": "2026-01-01T00:00:00Z", "cells": [
        {"image": "a", "machine": "b", "arch": "c", "measured": [measured]}]}  # fmt: skip
    return whole | changes


def cells(**changes: object) -> dict[str, object]:
    measured = {"mode": "exact", "key": {}, "figures": {"ready": 1}} | changes
    return line(cells=[{"image": "a", "machine": "b", "arch": "c", "measured": [measured]}])


TWICE = {"image": "a", "machine": "b", "arch": "c", "measured": [{"mode": "size", "figures": {"total": 1}}]}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("{", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        ("7", "valid dictionary|object"),
        (line(kind="boot"), "kind"),
        (line(run="../x"), "run"),
        (line(when="2026-13-01T00:00:00Z"), "when"),
        (line(who="me"), "who"),
        (line(source={"commit": "\0"}), "source.commit"),
        (line(cells=[TWICE, TWICE]), "twice"),
        (line(cells=[{**TWICE, "measured": TWICE["measured"] * 2}]), "twice"),  # type: ignore[operator]
        (line(cells=[{**TWICE, "measured": []}]), "measured"),
        (cells(mode="long"), "mode"),
        (cells(figures={"ready": 1.5}), "ready"),
        (cells(figures={"ready": "1"}), "ready"),
        (cells(figures={"ready": 2**63}), "ready"),
        (cells(figures={"ready": True}), "ready"),
        (cells(figures={}), "figures"),
        (cells(figures={"x" * 2000: 1}), "figures"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_taken(history: History, wrong: object, why: str) -> None:
    text = wrong if isinstance(wrong, str) else json.dumps(wrong)
    with pytest.raises(UserError, match=rf"^all.jsonl:3: .*({why})"):
        taken(history, f"{json.dumps(line())}\n\n{text}\n")
    assert history.runs() == []


def test_a_line_without_an_end_is_not_read_whole(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    monkeypatch.setattr(lines, "LONGEST", 1 << 20)
    with pytest.raises(UserError, match=r"all.jsonl:1: a line of more than 1 MiB"):
        lines.import_(history, io.BufferedReader(Endless()), "all.jsonl")


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
GROUPS = st.dictionaries(
    st.sampled_from(["exact", "wall", "size"]),
    st.tuples(st.dictionaries(NAMES, NAMES, max_size=2),
              st.dictionaries(NAMES, st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4)),
    min_size=1,
)  # fmt: skip
MOMENTS = st.datetimes().filter(lambda when: when.year >= 1000)
RUNS = st.tuples(MOMENTS, st.dictionaries(st.tuples(NAMES, NAMES), GROUPS, min_size=1, max_size=3))
NUMBERS = count(1)


def run_line(when: datetime, found: dict[tuple[str, str], dict[str, tuple[dict[str, str], dict[str, int]]]]) -> RunLine:
    return RunLine(
        run=f"{next(NUMBERS):08}", when=when.strftime("%Y-%m-%dT%H:%M:%SZ"), source=CommitRecord(subject="x"),
        cells=[CellRecord(image=image, machine=machine, arch="a",
                    measured=[Measured.model_validate({"mode": mode, "key": key, "figures": figures})
                              for mode, (key, figures) in sorted(groups.items())])
               for (image, machine), groups in found.items()],
    )  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RUNS, max_size=4))
@pytest.mark.slow
def test_what_goes_in_comes_out(history: History, rows: list[Any]) -> None:
    found = {one.run: one for one in itertools.starmap(run_line, rows)}
    text = "".join(one.model_dump_json() + "\n" for one in found.values())
    assert taken(history, text).runs == len(found)
    out = lines.read(io.BytesIO(exported(history).encode()), "out")
    assert {one.run: one for one in out if isinstance(one, RunLine) and one.run in found} == found


def test_of_the_kernel_s_steps_those_that_could_matter_are_kept() -> None:
    steps = {"cpu/initcall/long": 100, "cpu/initcall/short": 99, "cpu/module/m": 5000, "init": 3}
    (kept,) = of_results(results(1, exact=steps)).cells
    figures = kept.measured[0].figures
    assert {name for name in steps if name in figures} == set(steps) - {"cpu/initcall/short"}
