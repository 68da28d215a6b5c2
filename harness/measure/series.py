"""One figure over time: what history gives, and what change points and pages are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One run's value, with what stood behind it: the commit, and the digest of the image's YAML.

    ``changed``: its files were not those of the commit. ``inputs`` is the digest of all that the boot was made of,
    ``harness`` that program's version, ``ack`` why a person accepts the change that came with the run.
    """

    run: str
    when: str  # UTC, YYYY-MM-DDTHH:MM:SSZ
    value: int
    commit: str = ""
    subject: str = ""
    spec: str = ""
    changed: bool = False
    inputs: str = ""
    harness: str = ""
    ack: str = ""


@dataclass(frozen=True)
class JudgedRun:
    """What the gate has said of a run: against which one (``base``, empty: none of the history), ``same``, ``better``,
    ``worse`` or ``not judged``, by what (``equal``, ``pairs``, ``floor``), in words, and the difference of pairs in µs.
    """

    base: str
    answer: str
    by: str
    said: str
    us: int | None = None


@dataclass(frozen=True)
class Series:
    """A figure of one image on one machine over time, oldest first; only values with the same `key` are in one.

    ``mode`` is ``exact`` (µs of the guest's clock), ``wall`` (µs of the host's) or ``size`` (bytes).
    """

    image: str
    machine: str
    arch: str
    mode: str
    figure: str  # as in harness.measure.phases.figures, or a part of harness.measure.sizes.sizes ("total" for all)
    key: str  # digest of what figures must share to be compared; empty for sizes
    points: tuple[Point, ...] = ()
