"""How far figures move without a cause: what a change must exceed to count. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Of figures that nobody has calibrated. Perturbed boots of one image (seeds, command lines, order of files) lay at most
# 1.06 ms (arm64) and 1.38 ms (s390x) apart as a whole, however long they took (2026-11-30): what moves is where things
# lie. Of parts it is a share: 0.3 % of the kernel and the first stage, 0.2 % of firmware, 4.2 % of an onboot.
WHOLE_US = 1500
WHOLE = ("total", "ready")
SHARES = {"kernel": 0.005, "firmware": 0.005, "first stage": 0.005}
SHARE = 0.05
# However much the boots of a calibration lay apart: what is beyond this has a cause that somebody made.
MOST_US, MOST_SHARE = 5_000, 0.02
LEAST_US = 500
# What 14 boots showed is not all there is: a measured range is taken for a little more.
MARGIN = 1.25
MARGIN_US = 50


@dataclass(frozen=True)
class Floors:
    """The floor of each figure in µs: measured ones by name, else ``WHOLE_US`` of the whole, and a share of
    its parts that is never less than ``LEAST_US``. That of the whole is bounded, whatever was measured."""

    measured: Mapping[str, int] = field(default_factory=dict)

    @property
    def calibrated(self) -> bool:
        """Whether anything was measured."""
        return bool(self.measured)

    def of(self, figure: str, *values: int) -> int:
        """Return the floor of a figure, for a change between `values`."""
        if figure in self.measured:
            own = self.measured[figure]
            most = max([MOST_US, *(round(MOST_SHARE * value) for value in values)])
            return min(own, most) if figure in WHOLE else own
        if figure in WHOLE:
            return WHOLE_US
        share = SHARES.get(figure, SHARE)
        return max([LEAST_US, *(round(share * value) for value in values)])


def measure(boots: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return each figure's floor by boots of one image that differ in nothing that matters: its range, and a margin.

    The range, not the distance to one of them: two builds may lie at its two ends.
    """
    values: dict[str, list[int]] = {}
    for figures in boots:
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    return {name: round(MARGIN * (max(found) - min(found)) + MARGIN_US) for name, found in values.items()}
