"""Figures for other services: the text is OpenMetrics by its own rules, the JSON what benchmark services read."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from made import cell, results

from harness.report import metrics
from harness.run import results as results_

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\S+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\[\\"n])*)"')
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def read(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Read OpenMetrics as its specification has it: a family at a time, its metadata first, and the end marked."""
    *lines, end, nothing = text.split("\n")
    assert (end, nothing) == ("# EOF", "")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    family = ""
    for line in lines:
        if line.startswith("# "):
            what, name, rest = line[2:].split(" ", 2)
            if what == "TYPE":
                assert name not in found and rest == "gauge"
                family = name
                found[family] = []
            else:
                assert name == family and not found[family]
                assert what == "HELP" or (what == "UNIT" and name.endswith(f"_{rest}"))
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1] == family, line
            labels = {name: re.sub(r"\\.", lambda mark: UNESCAPED[mark[0]], value)
                      for name, value in LABEL.findall(sample[2])}  # fmt: skip
            assert labels not in [row for row, _ in found[family]]
            found[family].append((labels, float(sample[3])))
    return found


def test_a_run_s_figures_are_openmetrics() -> None:
    found = results_.of_json(results(cell(), cell("other", exact_repeats=False)), "a run")
    families = read(metrics.openmetrics(found))
    exact = {row[0]["figure"]: row[1] for row in families["harness_boot_exact_seconds"]}
    first = found.cells[0]
    assert exact == {name: us / 1e6 for name, us in first.boot.exact.figures.items()}
    sizes = {row[0]["part"]: row[1] for row in families["harness_image_size_bytes"] if row[0]["image"] == first.image}
    assert sizes["total"] == first.size
    (exit_,) = families["harness_run_exit_code"]
    assert exit_ == ({"outcome": found.outcome.word, "run": found.run}, found.exit)


@given(st.text(), st.text())
def test_names_of_any_kind_stay_what_they_are(image: str, machine: str) -> None:
    found = results_.of_json(results(cell(image=image, machine=machine)), "a run")
    rows = read(metrics.openmetrics(found))["harness_cases"]
    assert {(row[0]["image"], row[0]["machine"]) for row in rows} == {(found.cells[0].image, found.cells[0].machine)}


def test_benchmark_services_get_names_units_and_values() -> None:
    found = results_.of_json(results(cell()), "a run")
    rows = json.loads(metrics.benchmark(found))
    assert {frozenset(row) for row in rows} == {frozenset({"name", "unit", "value"})}
    assert len({row["name"] for row in rows}) == len(rows)
    where = f"{found.cells[0].image} on {found.cells[0].machine}"
    ready = found.cells[0].boot.exact.figures["ready"] / 1000
    assert {"name": f"{where}: exact ready", "unit": "ms", "value": ready} in rows
