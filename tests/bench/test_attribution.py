"""The bench of attribution: what it injects, and answers that are kept until it is whole. Nothing is booted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.bench import attribution, journal
from harness.bench.context import Context
from harness.bench.figures import BenchFigure, Table
from harness.bench.injections import BASE, WORDS, causes, edits, in_slack, write_ballast
from harness.bench.journal import Journal
from harness.spec import load_image

TURN_US = {"web": 14.5, "prep": 14.4}


@pytest.mark.parametrize("arch", list(attribution.MACHINES))
def test_forty_causes_are_injected_and_each_says_who_it_is(arch: str) -> None:
    found = causes(arch, TURN_US)
    assert len(found) == len({one.what for one in found}) == 40
    assert all((one.after.yaml(), one.after.machine, one.after.compression)
               != (one.before.yaml(), one.before.machine, one.before.compression) for one in found)  # fmt: skip
    assert all(one.owner or one.differ or one.answer == "same" or one.renamed for one in found)
    tenth = [one for one in found if "0.1 ms" in one.what]
    assert [(one.owner, one.answer) for one in tenth] == [
        ("services/web", "worse"), ("services/web", "better"), ("onboot/prep", "worse"),
    ]  # fmt: skip
    assert all(85 < abs(us) < 115 for one in tenth for us in one.us.values())


def test_it_asks_what_its_table_of_figures_asks() -> None:
    machines = len(attribution.MACHINES)
    assert 67 * machines >= 200 and len(in_slack()) * machines >= 20 and len(WORDS) * machines >= 20
    made = list(edits(67, 0))
    assert len({side.yaml() for _, side in made} - {BASE.yaml()}) > 60
    assert all(side.after == BASE.after and side.prep == BASE.prep for _, side in made)


@pytest.mark.slow
def test_what_is_injected_is_an_image(tmp_path: Path) -> None:
    write_ballast(tmp_path)
    sides = [one.after for one in causes("arm64", TURN_US)] + [side for _, side in [*edits(5, 1), *in_slack()]]
    for number, side in enumerate(sides):
        path = tmp_path / f"{number}.yml"
        path.write_text(side.yaml())
        assert [one.name for one in load_image([path]).onboot] == ["prep"]


def test_scripts_have_one_length_whatever_they_do() -> None:
    lengths = {len(one.after.yaml()) for one in causes("arm64", TURN_US) if one.us or "idles" in one.what}
    assert lengths == {len(BASE.yaml())}


def test_an_answer_is_asked_for_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask() -> dict[str, Any]:
        asked.append(1)
        return {"answer": "same", "count": len(asked)}

    file = tmp_path / "journal"
    for _ in range(2):
        mine = Journal(file)
        assert mine.answer(ask, "edit", BASE) == {"answer": "same", "count": 1}
        assert mine.known("edit", BASE) == {"answer": "same", "count": 1}
    assert Journal(file).answer(ask, "edit", "another")["count"] == 2
    assert Journal(file).known("edit", "a third") is None
    assert Journal(None).answer(ask, "edit", BASE)["count"] == 3, "without a file nothing is kept"


def test_a_line_that_is_not_whole_is_no_answer_and_the_next_stands_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    Journal(file).answer(lambda: {"us": 1}, "a")
    whole = file.read_text()
    for damage in ("", "[]\n", '{"question": 1}\n', "\0\n", '{"question": "x", "answer": 3}\n'):
        file.write_text(whole + damage)
        assert Journal(file).known("a") == {"us": 1}
    file.write_text(whole[:-9])  # killed while it wrote
    assert Journal(file).known("a") is None
    Journal(file).answer(lambda: {"us": 2}, "a")
    assert Journal(file).known("a") == {"us": 2}


def test_an_answer_of_other_sources_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "journal"
    Journal(file).answer(lambda: {"us": 1}, "a")
    monkeypatch.setattr(journal, "sources", lambda: "others")
    assert Journal(file).known("a") is None


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the bench ask somebody who answers at once, and is interrupted at the question of that number."""

    def run(ends: int | None) -> tuple[list[BenchFigure | Table], bool]:
        count = 0

        def judged(*_: Any) -> dict[str, Any]:
            nonlocal count
            count += 1
            if count == ends:
                raise KeyboardInterrupt
            return {"answer": "same", "moved": 1.0, "pairs": 4}

        monkeypatch.setattr(attribution, "_judged", judged)
        monkeypatch.setattr(attribution, "PARTS", (attribution._slack, attribution._uncaused))
        found: list[BenchFigure | Table] = []
        try:
            for one in attribution.attribution(Context(tmp_path, lambda _: None, journal=tmp_path / "journal")):
                found.append(one)
        except KeyboardInterrupt:
            return found, True
        return found, False

    return run


@pytest.mark.slow
def test_an_interrupted_bench_tells_what_it_has_and_goes_on_there(bench: Any) -> None:
    told, ended = bench(12)
    assert ended
    slack, edited = told[:2]
    assert (slack.note, slack.verdict) == ("of 7", "reached")
    assert (edited.note, edited.verdict, edited.values) == ("4 asked of 67", "", (0.0,))
    assert {one.verdict for one in told[4:]} == {"skipped"}
    whole, ended = bench(None)
    assert not ended
    assert {one.verdict for one in whole if isinstance(one, BenchFigure) and one.goal is not None} == {"reached"}
    again, ended = bench(1)  # nothing is left to ask
    assert (again, ended) == (whole, False)
