"""The first bad one is found, with few questions, and what cannot be judged is left among the suspects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.bisect import Answer, answer, first_bad


@given(st.data(), st.integers(2, 60))
def test_the_first_bad_one_is_found(data: st.DataObject, count: int) -> None:
    first = data.draw(st.integers(1, count - 1))
    skipped = data.draw(st.sets(st.integers(1, max(1, count - 2)), max_size=count))
    asked: list[int] = []

    def ask(number: int) -> Answer:
        asked.append(number)
        return "skip" if number in skipped else "bad" if number >= first else "good"

    good, bad = first_bad(count, ask)
    assert good < first <= bad
    assert all(number in skipped for number in range(good + 1, bad))
    assert len(asked) == len(set(asked)) and 0 not in asked and count - 1 not in asked
    if not skipped:
        assert (good, bad) == (first - 1, first)
        assert len(asked) <= (count - 1).bit_length()


@pytest.mark.parametrize(("value", "said"), [(100, "good"), (109, "good"), (110, "good"), (111, "bad"), (500, "bad")])
def test_a_value_is_what_it_is_nearer_to(value: int, said: str) -> None:
    assert answer(value, 100, 120) == said
    assert answer(-value, -100, -120) == said
