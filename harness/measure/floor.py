"""How far figures move without a cause: what a change must exceed to count. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Of figures that nobody has calibrated, in µs: the most that `harness calibrate` came to, by architecture and phase
# (2026-12-01), but for a command line of 300 letters more. What moves is where things lie, so it does not grow with how
# long a phase takes. On x86_64 each letter of the command line costs the firmware 9 µs, and what the kernel's early
# clock loses or gains moves between firmware and `ready`. The image that was calibrated has no onboot: those rows are
# what a container's start moved by elsewhere, rounded up.
WHOLE = ("total", "ready")
BEGINS = ("onboot/", "services/")
CPU, CPU_OF = "cpu/", " cpu"  # who had the processor, and what a service's processes have used
UNCALIBRATED = {
    "x86_64": {"total": 1650, "ready": 2450, "firmware": 2050, "kernel": 1450, "first stage": 100, "init": 350,
               "drivers": 1150, "onboot/": 650, "services": 750, "services/": 850, "cpu": 500},
    "arm64": {"total": 1400, "ready": 1400, "firmware": 150, "kernel": 450, "first stage": 100, "init": 150,
              "drivers": 1050, "onboot/": 150, "services": 950, "services/": 950, "cpu": 150},
    "s390x": {"total": 1850, "ready": 1850, "firmware": 100, "kernel": 250, "first stage": 100, "init": 550,
              "drivers": 1100, "onboot/": 550, "services": 1350, "services/": 900, "cpu": 600},
}  # fmt: skip
# However much the boots of a calibration lay apart: what is beyond this has a cause that somebody made.
MOST_US, MOST_SHARE = 5_000, 0.02
# What 14 boots showed is not all there is: a measured range is taken for a little more.
MARGIN = 1.25
MARGIN_US = 50


@dataclass(frozen=True)
class Floors:
    """The floor of each figure in µs: measured ones by name, else what was measured of others on the architecture, by
    the phase that a figure is of; the most of all where neither is known. That of the whole is bounded, whatever was
    measured."""

    measured: Mapping[str, int] = field(default_factory=dict)
    arch: str = ""

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
        rows = [UNCALIBRATED[self.arch]] if self.arch in UNCALIBRATED else list(UNCALIBRATED.values())
        return max(row[_kind(figure)] for row in rows)


def _kind(figure: str) -> str:
    """Return of which row of `UNCALIBRATED` a figure is: a foreign OS's phases are as wide as the whole."""
    if figure.startswith(CPU) or figure.endswith(CPU_OF):
        return "cpu"
    named = next((kind for kind in BEGINS if figure.startswith(kind)), figure)
    return named if named in UNCALIBRATED["arm64"] else WHOLE[0]


def measure(boots: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return each figure's floor by boots of one image that differ in nothing that matters: its range, and a margin.

    The range, not the distance to one of them: two builds may lie at its two ends.
    """
    values: dict[str, list[int]] = {}
    for figures in boots:
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    return {name: round(MARGIN * (max(found) - min(found)) + MARGIN_US) for name, found in values.items()}
