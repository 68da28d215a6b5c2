"""Real images on real guests: what is broken on purpose is found, and an interrupted matrix leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from harness import paths
from harness.build.settings import Settings
from harness.history import History
from harness.run import builds, cells, inputs

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()", "matrix"]
MINIMAL = paths.CASES / "images/minimal.yml"
BROKEN_SERVICES = [
    {"name": "talker", "image": "busybox", "command": ["/bin/nc", "-l", "-p", "9999"]},
    {
        "name": "crasher",
        "image": "busybox",
        "command": ["/bin/sh", "-c", "echo tried; exit 1"],
        "annotations": {"harness.health": "log:tried"},
    },
]


def names(results: Path, status: str) -> set[str]:
    cell = json.loads((results / "results.json").read_text())["cells"][0]
    assert cell["status"] == status
    return {row["case"].partition("::")[2].partition("[")[0] for row in cell["failures"]}


@pytest.mark.long
def test_what_is_broken_on_purpose_is_found(tmp_path: Path) -> None:
    data = yaml.safe_load(MINIMAL.read_text())
    data["services"] += BROKEN_SERVICES
    (tmp_path / "broken.yml").write_text(yaml.safe_dump(data))
    plan = {"machines": ["qemu-arm64"], "images": [{"path": "broken.yml", "budget": {"size": 1, "ready": 1}}]}
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan))
    argv = [*HARNESS, "plan.yml", "--results", "out", "--timeout-multiplier", "4"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found = names(tmp_path / "out", "failed")
    assert {"test_size_within_budget", "test_exact_time_within_budget", "test_only_declared_ports_listen"} <= found
    assert "test_only_declared_services_run" in found
    assert not {"test_root_is_what_was_built", "test_exact_time_twice_the_same", "test_kernel_is_not_tainted"} & found


def test_one_lock_holds_the_packages_of_all_images(tmp_path: Path) -> None:
    images, machines = (str(MINIMAL), str(MINIMAL.with_name("default.yml"))), ("qemu-arm64", "qemu-x86_64")
    plan = cells.planned(inputs.read(inputs.Wanted(images=images, machines=machines)))
    lock = tmp_path / "my.lock"
    told: list[cells.Cell] = []
    built = builds.build(plan, Settings(lock=lock), lambda _: None, told.append)
    assert [cell.problem for cell in built] == [""] * 4
    assert sorted(cell.id for cell in told) == sorted(cell.id for cell in built)
    requests = json.loads(lock.read_text())["requests"]
    assert set(requests) == {"arm64", "x86_64"}
    assert any("nginx" in request for request in requests["arm64"])
    before = lock.read_bytes()
    again = builds.build(plan, Settings(lock=lock, offline=True), lambda _: None, told.append)
    assert (again, lock.read_bytes()) == (built, before)


def test_a_plan_takes_what_is_built_already(tmp_path: Path) -> None:
    """By its folder, and by the folder that a boot of it has left; nothing is built, and the files are those."""
    (cell,) = builds.build(
        cells.planned(inputs.read(inputs.Wanted(images=(str(MINIMAL),), machines=("qemu-arm64",)))),
        Settings(), lambda _: None, lambda _: None,
    )  # fmt: skip
    (tmp_path / "built").symlink_to(cell.folder)
    (tmp_path / "left").mkdir()
    (tmp_path / "left/image.json").write_text(json.dumps({"image": cell.folder}))
    plan = tmp_path / "plan.yml"
    plan.write_text("machines: [qemu-arm64]\nimages: [{path: built}, {path: left, budget: {size: 1}}]\n")
    argv = [*HARNESS, "plan.yml", "--results", "out", "-k", "test_size", "--cache", str(tmp_path / "no-cache")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    one, two = json.loads((tmp_path / "out/results.json").read_text())["cells"]
    assert (one["status"], two["status"]) == ("passed", "failed")
    assert one["files"] == two["files"] == dict(cell.built.digests)
    assert one["spec"] == cell.built.spec_digest
    assert not list((tmp_path / "no-cache").glob("images/*"))
    plan.write_text("machines: [qemu-arm64, qemu-x86_64]\nimages: [{path: built}]\n")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2 and "minimal is for arm64, but qemu-x86_64 is x86_64" in done.stderr


def test_a_lock_that_would_lack_something_is_not_written(tmp_path: Path) -> None:
    plan = cells.planned(inputs.read(inputs.Wanted(images=(str(MINIMAL),), machines=("qemu-arm64",))))
    how = Settings(cache=tmp_path / "empty", lock=tmp_path / "my.lock", offline=True)
    (cell,) = builds.build(plan, how, lambda _: None, lambda _: None)
    assert "offline" in cell.problem
    assert not (tmp_path / "my.lock").exists()


def test_an_explained_run_says_who_had_the_processor_in_its_page_and_its_history_too(tmp_path: Path) -> None:
    argv = [*HARNESS, "--image", "minimal", "--machine", "qemu-arm64", "--explain", "-k", "test_boot_reaches_ready",
            "--results", "out", "--history", "history.db"]  # fmt: skip
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads((tmp_path / "out/results.json").read_text())["cells"]
    figures = cell["boot"]["exact"]["figures"]
    owners = {name: us for name, us in figures.items() if name.startswith("cpu/")}
    module = max((name for name in owners if name.startswith("cpu/module/")), key=figures.__getitem__)
    assert owners["cpu/services/hello"] > 1000
    assert sum(name.startswith("cpu/initcall/") for name in owners) > 100
    # what the trace costs is all that they have beyond the plain boot
    assert figures["ready"] <= sum(owners.values()) < 1.1 * figures["ready"]
    assert module.removeprefix("cpu/") in (tmp_path / "out/report.html").read_text()
    with History.open(str(tmp_path / "history.db"), create=False) as opened:
        known = {head.figure for head in opened.series("minimal")}
    assert {module, "cpu/services/hello"} <= known
    assert len(known) < len(figures)


def name_of(process: psutil.Process) -> str:
    """Return a process's name; nothing once it has ended."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.proc
def test_ctrl_c_in_the_middle_of_a_matrix_leaves_no_guest(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*HARNESS, "--image", "minimal", "--machine", "qemu-arm64", "--results", "out", "-n", "2"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    family: list[psutil.Process] = []
    try:
        end = time.monotonic() + 300
        while not any("qemu-system" in name_of(one) for one in family):
            assert time.monotonic() < end, "no guest ever ran"
            assert process.poll() is None
            time.sleep(0.1)
            family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        stdout = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 130
    gone, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert len(gone) >= 4  # pytest, two workers, a guest
    assert "interrupted" in stdout
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["interrupted"]
    assert found["cells"][0]["status"] == "incomplete"
    assert found["cells"][0]["cases"]["failed"] == 0
