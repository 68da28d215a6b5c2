"""Where an axis has its ticks. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

STEPS = (1, 2, 5, 10)


def step(span: float, most: int) -> float:
    """Return the least of 1, 2 or 5 times a power of ten of which no more than `most` fit into `span`, which is > 0."""
    rough = span / most
    base = 10.0 ** math.floor(math.log10(rough))
    return next(base * one for one in STEPS if base * one >= rough * (1 - 1e-9))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values from `low` to `high`, about `most` of them at most; `low` alone where there is no span."""
    if not high > low:
        return [low]
    apart = step(high - low, most)
    first, last = math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9)
    return [number * apart for number in range(first, last + 1)]


def span(values: Sequence[float], least: float) -> tuple[float, float]:
    """Return the lower and upper end of an axis for `values`, with room around them and never less than `least` apart.

    So what moves by less than `least` is drawn as what does not move.
    """
    low, high = min(values), max(values)
    room = max((high - low) * 1.16, least) - (high - low)
    return low - room / 2, high + room / 2


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` places among `count`, first and last included, about evenly apart."""
    if count <= most:
        return list(range(count))
    return [round(number * (count - 1) / (most - 1)) for number in range(most)] if most > 1 else [0]
