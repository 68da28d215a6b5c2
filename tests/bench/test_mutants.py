"""Mutants: what is made of a source, that wrong judges are noticed, and that those excused exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.bench import mutants as bench
from harness.bench.mutation import Mutant, code, mutants

SOURCE = '''
def judge(rows: list[int], least: int = 2) -> bool:
    """Doc."""
    if not rows:
        raise ValueError("no 1 row" + "s")
    return all(row > least and row - 1 for row in rows if row)


class Judge:
    """Doc."""

    def first(self) -> int:
        return [1, 2][:1]
'''
CHANGES = {
    "not rows": "not not rows",
    "row > least": "row >= least",
    "row > least and row - 1": "row > least or row - 1",
    "row - 1": "row + 1",
    "all": "any",
    "if row": "if True",
    "if not rows": "if not not rows",
    "raise ValueError('no 1 row' + 's')": "pass",
    ":1": ":",
    "return [1, 2][:1]": "return None",
}


def test_each_kind_of_change_is_made_and_none_in_words() -> None:
    found = mutants(SOURCE, "m")
    texts = [(one.before, one.after) for one in found]
    assert {before: after for before, after in texts if before in CHANGES} == CHANGES
    assert sorted(before for before, _ in texts if before.isdigit()) == ["1", "1", "1", "2", "2"]
    assert len(texts) == len(CHANGES) + 5 + 1, "and the other return"


def test_a_mutant_is_another_function() -> None:
    def ran(mutant: Mutant) -> object:
        space: dict[str, object] = {}
        exec(compile(ast.parse(SOURCE), "m", "exec"), space)
        function = space["judge"]
        function.__code__ = code(SOURCE, "m", mutant)  # type: ignore[attr-defined]
        return function([3, 1])  # type: ignore[operator]

    by_text = {one.before: one for one in mutants(SOURCE, "m") if one.function == "judge"}
    assert ran(by_text["all"]) is True and ran(by_text["row > least"]) is False
    space: dict[str, object] = {}
    exec(compile(ast.parse(SOURCE), "m", "exec"), space)
    quiet = space["judge"]
    quiet.__code__ = code(SOURCE, "m", by_text["raise ValueError('no 1 row' + 's')"])  # type: ignore[attr-defined]
    assert quiet([]) is True  # type: ignore[operator]


@pytest.mark.slow
def test_what_is_listed_as_without_consequence_is_in_the_source() -> None:
    listed = bench.listed(bench.PAGE.read_text())
    assert listed
    assert set(listed) <= {one.name for judge in bench.JUDGES for one in bench.of(judge)}
    assert len(listed) == sum(line.startswith("- `") for line in bench.PAGE.read_text().splitlines())


@pytest.mark.slow
def test_a_sample_of_each_judges_mutants_is_noticed(tmp_path: Path) -> None:
    listed = bench.listed(bench.PAGE.read_text())
    wanted = {judge: bench.sample(bench.of(judge), bench.SAMPLE, judge) for judge in bench.JUDGES}
    found = bench.run(wanted, tmp_path)
    assert [one.tried for one in found] == [bench.SAMPLE] * len(bench.JUDGES)
    assert {one.name for judge in found for one in judge.survivors} - set(listed) == set()


@pytest.mark.slow
def test_a_judge_that_nothing_holds_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.JUDGES, "harness.measure.flaky", ("measure/test_sizes.py",))
    made = [one for one in bench.of("harness.measure.flaky") if one.before in ("any", "all")]
    (found,) = bench.run({"harness.measure.flaky": made}, tmp_path)
    assert len(found.survivors) == found.tried == 2
