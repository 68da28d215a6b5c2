"""Finds the first bad one of a row whose first is good and whose last is bad, by few questions. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Answer = Literal["good", "bad", "skip"]


def answer(value: int, good: int, bad: int) -> Answer:
    """Return whether a value is nearer to the good one or to the bad one."""
    return "bad" if abs(value - bad) < abs(value - good) else "good"


def first_bad(count: int, ask: Callable[[int], Answer]) -> tuple[int, int]:
    """Return the last of `count` that is known to be good and the first that is known to be bad.

    Number 0 is good and the last one is bad without being asked. Between the two are only those that had to be skipped.
    """
    good, bad = 0, count - 1
    skipped: set[int] = set()
    while left := [number for number in range(good + 1, bad) if number not in skipped]:
        middle = (good + bad) / 2
        number = min(left, key=lambda one: abs(one - middle))
        found = ask(number)
        if found == "skip":
            skipped.add(number)
        elif found == "good":
            good = number
        else:
            bad = number
    return good, bad
