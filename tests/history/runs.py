"""Results of runs that never were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from harness.run import results as results_
from harness.run.results_model import Results

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = {"arch": "arm64", "machine": "virt", "cpu": "cortex-a57", "accel": "tcg", "mode": "exact", "qemu": "7.2.22",
       "cmdline": "quiet nokaslr"}  # fmt: skip
FIGURES = {"ready": 300_000, "total": 400_000, "kernel": 170_000, "services/web": 60_000, "services/web cpu": 9_000}
SIZES = {"kernel": 9_000_000, "services/web": 1_000_000}


def cell(machine: str = "qemu-arm64", image: str = "images/minimal.yml", **changes: Any) -> dict[str, Any]:
    """A cell as results.json has it; `changes`: exact (added to FIGURES), key, sizes, wall (ms), repeats, cpu."""
    sizes = {**SIZES, **changes.get("sizes", {})}
    exact = {**FIGURES, **changes.get("exact", {})}
    key = {**KEY, **changes.get("key", {})}
    return {
        "id": f"minimal-{machine}", "image": image, "machine": machine, "arch": "arm64", "size": sum(sizes.values()),
        "sizes": sizes, "spec": "5" * 64, "files": {"kernel": "6" * 64},
        "boot": {
            "exact": {"ready": 300.0, "power_on": 100.0, "figures": exact, "key": key, "moved": ""},
            "wall": {"ready": changes.get("wall", 5000.5), "key": {**key, "mode": "wall"}},
        },
        "exact_repeats": changes.get("repeats", True), "root_readonly": True,
        "cases": {"passed": 1, "failed": 0, "skipped": 0}, "status": "passed", "reason": "",
        "budget": {"size": 35.0, "ready": None}, "failures": [],
        "host": {"cores": 2, "load": 0.5, "cpu": changes.get("cpu", "EPYC")},
    }  # fmt: skip


def results(number: int = 1, *cells: dict[str, Any], **changes: Any) -> Results:
    """The results of the run of that number, as their reader gives them."""
    return results_.of_json(plain(number, *cells, **changes), "results of a test")


def plain(number: int = 1, *cells: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What results.json has of the run of that number: one a day, its commit's digits are the number's."""
    return {
        "schema": 1, "harness": "0.1.0", "when": (BEGAN + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run": f"{number:032x}", "plan": "plan.yml",
        "source": {"commit": f"{number:040x}", "subject": f"Change {number}", "changed": False},
        "exit": 0, "interrupted": False, "cells": list(cells) or [cell(**changes)],
    }  # fmt: skip
