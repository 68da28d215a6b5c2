"""Containers in the booted image where all is well: their roots, volumes, mounts, checks and restarts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions, System

from .conftest import of

WELL = Path(__file__).with_name("well.yml")
BUNDLES = "/containers/services"


@pytest.fixture(scope="module")
def system(built: Callable[[Path], Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system where all is well, at ready."""
    options = BootOptions(mode="wall", out=tmp_path_factory.mktemp("well"), probe=True)
    with boot(built(WELL), load_machine(paths.MACHINES / "qemu-arm64.yml"), options) as found:
        found.wait_ready()
        yield found


def ask(system: System, command: str) -> str:
    return system.shell.run(command, check=True).text.strip()


def pid(system: System, name: str) -> str:
    return ask(system, f"cat /run/harness/{name}.pid")


def test_an_overlay_root_is_written_and_what_was_built_stays(system: System) -> None:
    root, lower = f"/proc/{pid(system, 'writer')}/root", f"{BUNDLES}/writer/lower"
    assert ask(system, f"cat {root}/etc/hosts; ls -d {root}/fresh") == f"changed\n{root}/fresh"
    assert system.shell.run(f"ls {root}/usr/bin/yes").code != 0
    assert ask(system, f"cat {lower}/etc/hosts; ls {lower}/usr/bin/yes") == f"{lower}/usr/bin/yes"
    assert system.shell.run(f"ls -d {lower}/fresh").code != 0
    assert system.shell.run(f"touch {lower}/new").code != 0


def test_what_a_killed_service_wrote_it_finds_again(system: System) -> None:
    count = len(system.milestones)
    system.shell.run(f"kill -9 {pid(system, 'writer')}", check=True)
    assert system.wait_for("services/writer exited", after=count).values == {"code": "137"}
    system.wait_for("services/writer start", after=count)
    ask(system, "until grep -q 'again here' /var/log/writer.log; do usleep 20000; done")


def test_volumes_are_shared_and_only_a_writable_one_is_written(system: System) -> None:
    volumes = "/containers/volumes"
    assert ask(system, f"cat {volumes}/scratch/merged/word {volumes}/seeded/merged/word") == "one\ntwo"
    assert ask(system, f"ls {volumes}/seeded/merged/usr/bin/busybox {volumes}/fixed/merged/usr/bin/busybox")
    # only in memory
    assert system.shell.run(f"ls {volumes}/seeded/lower/word").code != 0
    assert ask(system, f"cat {volumes}/seeded/tmp/upper/word") == "two"
    assert "Read-only file system" in ask(system, "cat /var/log/filler.log")
    assert system.shell.run(f"touch {volumes}/fixed/merged/word").code != 0


def test_runtime_mounts_folders_and_cgroups_are_there_before_the_service(system: System) -> None:
    mounts = ask(system, "cat /proc/mounts")
    assert " /run/side tmpfs rw" in mounts
    assert f" {BUNDLES}/mounter/rootfs/inner tmpfs rw" in mounts
    assert f" {BUNDLES}/mounter/rootfs/shared " in mounts
    assert ask(system, "ls -d /run/made /sys/fs/cgroup/grouped/mounter")
    number = pid(system, "mounter")
    assert ask(system, f"cat /proc/{number}/cgroup") == "0::/grouped/mounter"
    assert ask(system, f"ls /proc/{number}/root/inner /proc/{number}/root/side").split()[-1] == "seen"
    assert system.shell.run(f"touch /proc/{number}/root/shared/new").code != 0


def test_services_that_end_are_started_again_as_they_say(system: System) -> None:
    system.wait_for("services/pauser start", after=_after(system, "services/pauser exited"))
    system.wait_for("services/once exited")
    marks = system.milestones
    assert [step for step in of(marks, "services/leaver") if step != "ready"] == ["start", "exited 0"]
    assert [step for step in of(marks, "services/once") if step != "ready"] == ["start", "exited 3"]
    assert [step for step in of(marks, "services/pauser") if step != "ready"][:3] == ["start", "exited 0", "start"]


def _after(system: System, name: str) -> int:
    """Wait for a mark; return how many marks there were up to it."""
    system.wait_for(name)
    return [mark.name for mark in system.milestones].index(name) + 1


def test_each_kind_of_check_was_seen_and_says_what_the_service_used(system: System) -> None:
    ready = {mark.name.split()[0]: mark.values for mark in system.milestones if mark.name.endswith(" ready")}
    for name in ("writer", "filler", "reader", "filer", "mounter"):  # log, log, exec, file, started
        assert int(ready[f"services/{name}"]["cpu"]) > 0, name
    assert int(ready["services/reader"]["asked"]) > 0, "of one that a program asks, the moment is not known"
    names = [mark.name for mark in system.milestones]
    for name in ("leaver", "once"):  # its cgroup goes with it
        if names.index(f"services/{name} exited") < names.index(f"services/{name} ready"):
            assert "cpu" not in ready[f"services/{name}"]


def test_modules_are_named_a_line_each(system: System) -> None:
    assert "dm_verity" in ask(system, "lsmod")


@pytest.mark.slow
def test_shipped_cases_know_what_may_end_and_what_is_mounted(tmp_path: Path) -> None:
    cases = "test_only_declared or systems_own or containers_roots or killed_services"
    argv = ["matrix", "--image", str(WELL), "--machine", "qemu-arm64", "--results", "out", "-k", cases]
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *argv, "--timeout-multiplier", "4"],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    cell = json.loads((tmp_path / "out/results.json").read_text())["cells"][0]
    assert cell["root_readonly"] is True
    assert cell["cases"] == {"passed": 7, "failed": 0, "skipped": 0, "known": 0}
