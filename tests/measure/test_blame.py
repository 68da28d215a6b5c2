"""What is blamed for a change: the inputs that differ, between the last good run and the first bad one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.measure.blame import Commit, RunInputSets, span, told
from harness.measure.series import Point

GOOD = Point("r1", "2026-11-03T02:00:00Z", 1, "3" * 40, "change 3", "a" * 64, harness="0.1.0")
BAD = Point("r2", "2026-11-20T02:00:00Z", 2, "b" * 40, "typo in README", "a" * 64, harness="0.1.0")
MADE = {"YAML": "a" * 64, "kernel": "6.1.0-57", "package nginx": "1.22.1-9", "package adduser": "3.1",
        "machine": "c" * 64, "bytes": "d" * 64}  # fmt: skip


def test_the_first_run_of_a_series_has_nothing_before_it() -> None:
    assert told(None, BAD, RunInputSets()) == ()
    assert span(None, BAD) == "2026-11-20 bbbbbbbb"


def test_a_package_is_named_and_the_commit_s_subject_blamed_for_nothing() -> None:
    after = {**MADE, "package nginx": "1.22.1-10", "package new": "1", "bytes": "e" * 64}
    del after["package adduser"]
    assert told(GOOD, BAD, RunInputSets(MADE, after)) == (
        "packages: nginx 1.22.1-9 → 1.22.1-10, adduser 3.1 → none, new none → 1",
        "commits 33333333..bbbbbbbb: what lies between is not known here",
    )
    assert span(GOOD, BAD) == "2026-11-03 33333333 → 2026-11-20 bbbbbbbb"


def test_many_packages_are_counted() -> None:
    before = {f"package p{number}": "1" for number in range(9)}
    (line, _) = told(GOOD, BAD, RunInputSets(before, dict.fromkeys(before, "2")))
    assert line == "packages: p0 1 → 2, p1 1 → 2, p2 1 → 2, p3 1 → 2 and 5 more"


def test_the_commits_between_are_listed_where_they_are_known() -> None:
    rows = [Commit(f"{number:040x}", f"change {number}") for number in range(6)]
    after = {**MADE, "YAML": "f" * 64}
    assert told(GOOD, BAD, RunInputSets(MADE, after, rows[:1])) == (
        "the image's YAML changed: aaaaaaaa → ffffffff", "commits 33333333..bbbbbbbb: 1 commit: 00000000 change 0",
    )  # fmt: skip
    assert told(GOOD, BAD, RunInputSets(MADE, after, rows))[1] == (
        "commits 33333333..bbbbbbbb: 6 commits: 00000000 change 0; 00000000 change 1; 00000000 change 2; "
        "00000000 change 3; and 2 more"
    )
    assert told(GOOD, BAD, RunInputSets(MADE, after, []))[1].endswith("the later run is of an older commit")


def test_changes_that_nobody_committed_come_first() -> None:
    dirty = replace(GOOD, run="r3", changed=True)
    after = {**MADE, "YAML": "f" * 64}
    assert told(GOOD, dirty, RunInputSets(MADE, after)) == (
        "uncommitted changes on 33333333", "the image's YAML changed: aaaaaaaa → ffffffff",
    )  # fmt: skip
    assert told(dirty, GOOD, RunInputSets(MADE, MADE))[0] == "the uncommitted changes on 33333333 are gone"
    both = told(dirty, dirty, RunInputSets(MADE, MADE))
    assert both[0] == "the same commit 33333333, with uncommitted changes before and after"
    assert span(GOOD, dirty).endswith("→ 2026-11-03 33333333+")


def test_where_no_input_differs_that_is_said() -> None:
    same = told(GOOD, BAD, RunInputSets(MADE, MADE))
    assert same[0] == "the same bytes on the same machine: what differs is this host's, or the harness's own files"
    other = told(GOOD, BAD, RunInputSets(MADE, {**MADE, "bytes": "0" * 64}))
    assert other[0].startswith("the image's bytes, though its YAML, files, packages and lock are the same")
    newer = replace(BAD, harness="0.2.0")
    assert told(GOOD, newer, RunInputSets(MADE, {**MADE, "bytes": "0" * 64}))[0] == "the harness: 0.1.0 → 0.2.0"


def test_of_older_runs_the_yaml_is_told_and_that_the_rest_is_not_recorded() -> None:
    assert told(GOOD, BAD, RunInputSets(None, MADE))[0] == "the image's YAML is the same; its packages are not recorded"
    other = replace(BAD, spec="f" * 64, commit="")
    assert told(GOOD, other, RunInputSets()) == ("the image's YAML changed: aaaaaaaa → ffffffff", "no commit is known")


@pytest.mark.parametrize(
    ("count", "packages", "commits"),
    [
        (2, "packages: p0 1 → 2, p1 1 → 2", "2 commits: 00000000 c0; 00000000 c1"),
        (4, "packages: p0 1 → 2, p1 1 → 2, p2 1 → 2, p3 1 → 2",
         "4 commits: 00000000 c0; 00000000 c1; 00000000 c2; 00000000 c3"),
    ],
)  # fmt: skip
def test_nothing_more_is_counted_where_all_are_shown(count: int, packages: str, commits: str) -> None:
    before = {f"package p{number}": "1" for number in range(count)}
    rows = [Commit(f"{number:040x}", f"c{number}") for number in range(count)]
    assert told(GOOD, BAD, RunInputSets(before, dict.fromkeys(before, "2"), rows)) == (
        packages, f"commits 33333333..bbbbbbbb: {commits}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a" * 32, "a" * 8), ("a" * 31, "a" * 31), ("a" * 31 + "-", "a" * 31 + "-"), (f"sha256:{'b' * 64}", "b" * 8)],
)
def test_a_digest_is_cut_short_and_a_version_is_not(text: str, shown: str) -> None:
    (line, _) = told(GOOD, BAD, RunInputSets({"lock": "1"}, {"lock": text}))
    assert line == f"the lock changed: 1 → {shown}"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (False, False, "the same commit 33333333"), (False, True, "uncommitted changes on 33333333"),
        (True, True, "the same commit 33333333, with uncommitted changes before and after"),
        (True, False, "the uncommitted changes on 33333333 are gone"),
    ],
)  # fmt: skip
def test_what_is_said_of_one_commit(before: bool, after: bool, said: str) -> None:
    found = told(replace(GOOD, changed=before), replace(GOOD, changed=after), RunInputSets(MADE, MADE))
    assert said in found
