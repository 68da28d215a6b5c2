"""How far figures move without a cause: what a change must exceed to count. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.arch import ARCHES

# Of figures that nobody has calibrated (`Arch.floors_us`), in µs: the most that `harness calibrate` came to, by
# architecture and phase (2026-12-01), but for a command line of 300 letters more. What moves is where things lie, so it
# does not grow with how long a phase takes. On x86_64 each letter of the command line costs the firmware 9 µs, and what
# the kernel's early clock loses or gains moves between firmware and `ready`. The image that was calibrated has no
# onboot: arm64's row is what one moved by in other boots, the two others' are estimates from it.
WHOLE = ("total", "ready")
BEGINS = ("onboot/", "services/")
CPU, CPU_OF = "cpu/", " cpu"  # who had the processor, and what a service's processes have used
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
        known = ARCHES[self.arch].floors_us if self.arch in ARCHES else {}
        rows = [known] if known else [row.floors_us for row in ARCHES.values() if row.floors_us]
        return max(row[kind_of(figure, row)] for row in rows)


def kind_of(figure: str, floors: Mapping[str, int]) -> str:
    """Return of which phase in an architecture's floors a figure is: a foreign OS's phases are as wide as the whole."""
    if figure.startswith(CPU) or figure.endswith(CPU_OF):
        return "cpu"
    named = next((kind for kind in BEGINS if figure.startswith(kind)), figure)
    return named if named in floors else WHOLE[0]


def measure(boots: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return each figure's floor by boots of one image that differ in nothing that matters: its range, and a margin.

    The range, not the distance to one of them: two builds may lie at its two ends.
    """
    values: dict[str, list[int]] = {}
    for figures in boots:
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    return {name: round(MARGIN * (max(found) - min(found)) + MARGIN_US) for name, found in values.items()}
