"""What is flaky, and what is a finding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.flaky import LEAST, CellOutcome, flaky


def runs(text: str) -> list[CellOutcome]:
    """Make runs of words: an image's letter, and - when the case failed: ``a a- b``."""
    return [CellOutcome(word[0], {"x"} if word.endswith("-") else set()) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a a- a a- a", (2, 5)),
        ("a a- a a b b- b b b", (2, 9)),  # of two images
        ("a a a b- b- b-", None),  # began with a change
        ("a a- a a", None),  # once is an accident
        ("a- a- a- a a-", None),  # fails more often than not
        ("a- a a- a", (2, 4)),
        ("a- a a- a" + " a" * 10, None),  # steady again
        ("a- a a- a" + " a" * 8, (2, 12)),
        ("a- a a- a" + " a" * 7, (2, 11)),
        ("a- a a- a" + " a" * 9, None),
        ("a a a a a- a-", (2, 6)),
        ("a a a a-", None),
        ("a a- a-", None),  # passed once alone
        ("a a b b- b-", None),
        ("a a- a b b b-", (2, 6)),
        ("", None),
    ],
)
def test_what_is_flaky(text: str, found: tuple[int, int] | None) -> None:
    told = [(one.failures, one.runs) for one in flaky(runs(text))]
    assert told == ([] if found is None else [found])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_a_case_that_never_came_out_both_ways_on_an_image_is_not_flaky(rows: list[tuple[str, bool]]) -> None:
    outcomes = [CellOutcome(digest, {"x"} if failed else set()) for digest, failed in rows]
    mixed = {digest for digest, failed in rows if failed} & {digest for digest, failed in rows if not failed}
    for one in flaky(outcomes):
        assert mixed
        assert LEAST <= one.failures <= one.runs - LEAST
