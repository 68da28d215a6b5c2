"""A run's figures for other services: as OpenMetrics, and as the JSON that continuous-benchmark services read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.run.results_model import CellResult, Results

TOTAL = "total"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class MetricFamily:
    """What OpenMetrics calls a family: its name ends with its unit, where it has one."""

    name: str
    unit: str
    what: str


EXACT = MetricFamily(
    "harness_boot_exact_seconds", "seconds", "time of a boot or of a step of it, counted in instructions"
)
WALL = MetricFamily("harness_boot_wall_seconds", "seconds", "time from the start to ready by the host's clock")
SIZE = MetricFamily("harness_image_size_bytes", "bytes", "what is shipped, and each part of it")
CASES = MetricFamily("harness_cases", "", "how many cases came to what")
EXIT = MetricFamily("harness_run_exit_code", "", "the exit code of the run's outcome")


def openmetrics(found: Results) -> str:
    """Return a run as OpenMetrics text. Exact times are there only where both exact boots agreed."""
    lines: list[str] = []
    rows: dict[MetricFamily, list[tuple[Labels, float]]] = {
        EXACT: [(_labels(row, figure=name), us / 1e6) for row in found.cells for name, us in _exact(row).items()],
        WALL: [(_labels(row), row.boot.wall.ready / 1e3) for row in found.cells if row.boot.wall.ready is not None],
        SIZE: [(_labels(row, part=name), size) for row in found.cells for name, size in _sizes(row).items()],
        CASES: [(_labels(row, outcome=name), count) for row in found.cells for name, count in row.cases.counts.items()],
        EXIT: [({"outcome": found.outcome.word, "run": found.run}, found.exit)],
    }
    for family, samples in rows.items():
        lines.append(f"# TYPE {family.name} gauge")
        lines += [f"# UNIT {family.name} {family.unit}"] if family.unit else []
        lines.append(f"# HELP {family.name} {family.what}")
        lines += [f"{family.name}{_braces(labels)} {value!r}" for labels, value in samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def benchmark(found: Results) -> str:
    """Return a run's figures as a JSON array of ``name``, ``unit`` and ``value``, of which a smaller one is better.

    This is what github-action-benchmark calls ``customSmallerIsBetter``.
    """
    return json.dumps(list(_benchmarks(found)), indent=1) + "\n"


def _benchmarks(found: Results) -> Iterator[dict[str, str | float]]:
    for row in found.cells:
        where = f"{row.label} on {row.machine}"
        for name, us in _exact(row).items():
            yield {"name": f"{where}: exact {name}", "unit": "ms", "value": us / 1e3}
        if row.boot.wall.ready is not None:
            yield {"name": f"{where}: wall ready", "unit": "ms", "value": row.boot.wall.ready}
        for name, size in _sizes(row).items():
            yield {"name": f"{where}: size {name}", "unit": "bytes", "value": size}


def _exact(row: CellResult) -> Mapping[str, int]:
    return row.boot.exact.figures if row.exact_repeats else {}


def _sizes(row: CellResult) -> Mapping[str, int]:
    return {} if row.size is None else {TOTAL: row.size, **row.sizes}


def _labels(row: CellResult, **more: str) -> Labels:
    return {"cell": row.id, "image": row.label, "machine": row.machine, "arch": row.arch, **more}


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
