"""Which cases come out one way or the other on the same image, by the numbers of many runs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

LEAST = 2  # failures, and passes: once is an accident that somebody should look at
SHARE = 0.5  # of the runs that may fail: what fails more often than not is broken, not flaky
STEADY = 10  # runs in a row without a failure, and a case counts again


@dataclass(frozen=True)
class CellOutcome:
    """A run of one image on one machine: the digest of the image's bytes, and the cases that failed."""

    digest: str
    failed: Collection[str]


@dataclass(frozen=True)
class Flaky:
    """A case that failed in `failures` of `runs` runs of images on which it also passed."""

    case: str
    failures: int
    runs: int


def flaky(outcomes: Sequence[CellOutcome]) -> list[Flaky]:
    """Return the cases to put into quarantine, from a cell's runs, oldest first.

    Only images count on which a case both passed and failed: a case that began to fail with a change is a finding.
    """
    found = []
    recent = {case for outcome in outcomes[-STEADY:] for case in outcome.failed}
    for case in sorted(recent):
        failures = runs = 0
        for digest in {outcome.digest for outcome in outcomes}:
            fails = [case in outcome.failed for outcome in outcomes if outcome.digest == digest]
            if any(fails) and not all(fails):
                failures, runs = failures + sum(fails), runs + len(fails)
        if failures >= LEAST and runs - failures >= LEAST and failures <= SHARE * runs:
            found.append(Flaky(case, failures, runs))
    return found
