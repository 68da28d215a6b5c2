"""Asks Apache Otava for the changes of some series, and keeps its answers in data/otava.json.

Otava is not a dependency of the tests: it brings some 40 packages, clients of databases and clouds among them,
and pins numpy. To ask it again, in a virtual environment of its own, from the project's root:

    pip install apache-otava==0.8.0
    python tests/measure/otava_answers.py

`reported` is what it says. After it takes a weak point away, Otava 0.8.0 reckons the two points behind that one anew
rather than its two neighbours (suspected in its pull request 96): a point in front of one that is gone keeps a p of
values up to there. `refreshed` is what it says when all points are reckoned anew, by its own functions.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ANSWERS = Path(__file__).parent / "data" / "otava.json"
COMMAND = "python tests/measure/otava_answers.py"
DEFAULTS = {"window_len": 50, "max_pvalue": 0.001, "min_magnitude": 0.0}


def noisy(seed: int, n: int, sigma: float, levels: dict[int, float], slow: float = 0.0) -> list[float]:
    """Return `n` boot times in ms: `levels` are factors from an index on, `slow` is the share of slowed boots."""
    source = random.Random(seed)
    level, values = 1.0, []
    for index in range(n):
        level = levels.get(index, level)
        value = 1000 * level * math.exp(source.gauss(0, sigma))
        values.append(round(value * source.uniform(1.3, 2) if source.random() < slow else value, 2))
    return values


def series() -> Iterator[tuple[str, list[float], dict[str, float]]]:
    """Yield series with the options to judge them by."""
    yield "noise alone", noisy(1, 300, 0.05, {}), {}
    yield "one step up", noisy(2, 200, 0.03, {120: 1.1}), {}
    yield "one step down", noisy(3, 200, 0.03, {77: 0.93}), {}
    yield "a step near the end", noisy(4, 150, 0.02, {146: 1.2}), {}
    yield "a step near the start", noisy(5, 150, 0.02, {4: 1.2}), {}
    yield "there and back", noisy(6, 240, 0.04, {100: 1.15, 130: 1.0}), {}
    yield "a staircase", noisy(7, 400, 0.04, {60: 1.1, 130: 1.2, 131: 1.25, 260: 1.4, 330: 0.9}), {}
    yield "a slow drift", noisy(8, 300, 0.02, {index: 1 + index / 1000 for index in range(300)}), {}
    yield "slow boots", noisy(9, 400, 0.05, {200: 1.25}, slow=0.1), {}
    yield "no noise", [round(value, -3) for value in noisy(10, 90, 0.01, {40: 3.0})], {}
    yield "short", noisy(11, 9, 0.02, {5: 1.3}), {}
    yield "two values", [1000.0, 2000.0], {}
    yield "small windows", noisy(12, 300, 0.05, {90: 1.2, 200: 1.1}), {"window_len": 20}
    yield "odd windows", noisy(13, 300, 0.05, {90: 1.2, 200: 1.1}), {"window_len": 31, "max_pvalue": 0.01}
    yield "only large ones", noisy(14, 300, 0.03, {90: 1.05, 200: 1.4}), {"min_magnitude": 0.1}

    for seed in range(30, 34):
        levels = {60: 1.1, 130: 1.2, 131: 1.25, 190: 1.2}
        yield f"many weak points {seed}", noisy(seed, 250, 0.1, levels), {"max_pvalue": 0.01, "window_len": 30}


def reported(values: list[float], options: dict[str, float], *, refreshed: bool) -> list[dict[str, float]]:
    """Return the changes that Otava finds."""
    import numpy
    from otava import analysis

    class Refreshed(analysis.TTestSignificanceTester):  # type: ignore[misc]
        def get_intervals(self, points: list[Any]) -> list[slice]:
            intervals: list[slice] = super().get_intervals(points)
            points[:] = [self.change_point(one.to_candidate(), numpy.array(values), intervals) for one in points]
            return intervals

    found, weak = analysis.compute_change_points(list(values), **options)
    if refreshed:
        # merge() empties the list that it is given, so the weak points have to be found once more
        weak = analysis.split(list(values), options["window_len"], options["max_pvalue"] * 10)
        kept, analysis.TTestSignificanceTester = analysis.TTestSignificanceTester, Refreshed
        found = analysis.merge(weak, numpy.array(values), options["max_pvalue"], options["min_magnitude"])
        analysis.TTestSignificanceTester = kept
    return [{"index": int(one.index), "before": float(one.stats.mean_1), "after": float(one.stats.mean_2),
             "p": float(one.stats.pvalue)} for one in found]  # fmt: skip


def main() -> None:
    """Write the answers."""
    answers = []
    for name, values, some in series():
        options = DEFAULTS | some
        answers.append({"name": name, "options": options, "values": values,
                        "reported": [one["index"] for one in reported(values, options, refreshed=False)],
                        "refreshed": reported(values, options, refreshed=True)})  # fmt: skip
    kept = {"otava": version("apache-otava"), "command": COMMAND, "series": answers}
    ANSWERS.parent.mkdir(exist_ok=True)
    ANSWERS.write_text(json.dumps(kept, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
