"""Nights over many hosts, as a person meets them: real schedulers and workers, cells that cost nothing."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_hosts import HARNESS, Hosts, until

from harness.cluster import certificates
from harness.run.results import effective

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.proc, pytest.mark.xdist_group("cluster")]


def settings(cells: int = 8) -> dict[str, Any]:
    return {"cells": [[f"c{number:02}", ""] for number in range(cells)]}


LONG = """
import os, time
from pathlib import Path

def test_long(system, cell):
    mark = Path(os.environ["MARK"])
    if cell.id == "c05" and not mark.exists():
        mark.write_text(str(os.getpid()))
        time.sleep(600)

def test_exact(exact, cell):
    if cell.id == "c07":
        raise AssertionError("c07 is bad")

def test_none():
    pass
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "minimal.yml").write_text("kernel: {image: kernel}\n")
    (tmp_path / "test_inner.py").write_text(LONG)
    path = tmp_path / "plan.yml"
    path.write_text("machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n")
    return path


@pytest.fixture
def mark(hosts: Hosts) -> Path:
    """The file that the first host writes which begins the cell that has no end."""
    path = hosts.folder / "mark"
    path.unlink(missing_ok=True)
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    """A run's cells without what differs from run to run, and from host to host."""
    found: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["cells"]
    for row in found:
        row["host"].pop("name", None)
        for key in ("seconds", "repeated"):
            row.pop(key)
        for failure in row["failures"]:
            failure["transcript"] = failure["transcript"].removeprefix(str(folder))
    return found


def on(hosts: Hosts) -> list[str]:
    return ["--cluster", hosts.address, "--certificates", str(hosts.certificates)]


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


def pytests(hosts: Hosts) -> list[str]:
    """The pytests that run on the workers' hosts."""
    found = [one for worker in hosts.workers.values() for one in psutil.Process(worker.pid).children(recursive=True)]
    return [" ".join(words) for one in found if "pytest" in (words := one.cmdline())]


def test_ctrl_c_ends_all_that_runs_and_keeps_what_was_found(hosts: Hosts, plan: Path, mark: Path) -> None:
    out = plan.parent / "out"
    run = hosts.matrix(plan, *on(hosts), "--results", str(out), "--no-history", settings=settings())
    until(mark.exists, "no cell has begun")
    assert pytests(hosts)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[0]
    assert run.returncode == 130, said
    assert not pytests(hosts)
    found = json.loads((out / "results.json").read_text())
    assert found["interrupted"]
    row = next(row for row in found["cells"] if row["id"] == "c05")
    assert row["status"] == "incomplete"
    assert row["boot"]["wall"]["ready"] == 1500
    assert len(hosts.workers) == 4
    assert all(worker.poll() is None for worker in hosts.workers.values())


def test_another_certificate_is_refused(hosts: Hosts, plan: Path) -> None:
    other = plan.parent / "other"
    certificates.make(other)
    words = ("--cluster", hosts.address, "--certificates", str(other), "--results", "out", "--no-history")
    run = hosts.matrix(plan, *words, settings=settings())
    said = run.communicate(timeout=90)[0]
    assert run.returncode == 3, said
    assert "cannot be had" in said and "certificate" in said
    assert not events(plan.parent / "out", "case")


@pytest.mark.parametrize("cells", [8, pytest.param(24, marks=pytest.mark.long)])
def test_a_host_that_is_lost_leaves_a_complete_night(hosts: Hosts, plan: Path, mark: Path, cells: int) -> None:
    out, alone = plan.parent / "out", plan.parent / "alone"
    history = ("--history", str(plan.parent / "history.db"))
    run = hosts.matrix(plan, *on(hosts), "--results", str(out), *history, settings=settings(cells))
    until(lambda: mark.exists() and mark.read_text(), "no cell has begun")
    hosts.kill(hosts.of(int(mark.read_text())))
    said = run.communicate(timeout=180)[0]
    assert run.returncode == 1, said
    one = hosts.matrix(plan, "--results", str(alone), "-n", "2", *history, settings=settings(cells))
    assert one.wait(180) == 1, one.stdout and one.stdout.read()
    assert rows(out) == rows(alone)
    assert [event["cell"] for event in events(out, "lost")] == ["c05"]
    found = json.loads((out / "results.json").read_text())
    (lost,) = next(row for row in found["cells"] if row["id"] == "c05")["repeated"]
    assert lost["whose"] == "this host" and "was lost" in lost["message"]
    told = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    counted = [(event["cell"], event["case"]) for event in effective(told) if event["event"] == "case"]
    assert len(counted) == len(set(counted)) == 2 * cells + 1
    assert found["other"]["cases"]["passed"] == 1
    names = {row["host"]["name"] for row in found["cells"]}
    assert len(names) >= 3
    runs = subprocess.run(
        [*HARNESS, "history", "--runs", "--json", *history], capture_output=True, check=True, text=True
    )
    assert len(json.loads(runs.stdout)) == 2
