"""QEMU never outlives the harness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.child import QemuProcess, on_processor
from harness.errors import HostError
from harness.image import Image

# Boots and says QEMU's pid; then waits for its end, however that comes.
BOOTER = """
import sys
from pathlib import Path
from harness import paths
from harness.launch import boot
from harness.system import BootOptions
from harness.image import Image
from harness.spec import load_machine
options = BootOptions(mode="wall", out=Path(sys.argv[2]), timeout=300)
with boot(Image(Path(sys.argv[1])), load_machine(paths.MACHINES / "qemu-arm64.yml"), options) as system:
    print(system.driver.process.pid, flush=True)
    system.wait_for("never")
"""
# a PID namespace that keeps the /proc of the one around it
UNSHARED = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
HANG = "\nwhile :; do $b sleep 1; done\n"


def gone(pid: int) -> bool:
    """Wait for a process to go; bounded, and so long only when it does not."""
    try:
        psutil.Process(pid).wait(20)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.proc
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_harness_that_ends_leaves_no_qemu(
    how: signal.Signals, toy_image: Callable[..., Image], tmp_path: Path
) -> None:
    booter = subprocess.Popen(
        [sys.executable, "-c", BOOTER, toy_image(HANG).folder, tmp_path / "out"], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert booter.stdout is not None
    pid = int(booter.stdout.readline())
    assert "qemu-system" in psutil.Process(pid).name() or psutil.pid_exists(pid)
    booter.send_signal(how)
    _, words = booter.communicate(timeout=60)
    assert gone(pid)
    assert how == signal.SIGKILL or "KeyboardInterrupt" in words


@pytest.mark.proc
def test_a_process_started_by_a_passing_thread_stays(tmp_path: Path) -> None:
    made: list[QemuProcess] = []

    def start() -> None:
        made.append(QemuProcess(["sleep", "60"], tmp_path / "log"))
        while psutil.Process(made[0].pid).name() != "sleep":  # until the kernel has been asked to end it
            pass

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert made[0].wait(0.5) is None
    made[0].kill()
    assert made[0].poll() == -signal.SIGKILL


def test_a_starter_that_is_gone_already_starts_nothing(tmp_path: Path) -> None:
    # the guard sees another parent than the one that asked
    from harness.child import GUARD

    done = subprocess.run(["sh", "-c", GUARD, "1", "touch", tmp_path / "ran"], check=False)
    assert done.returncode != 0
    assert not (tmp_path / "ran").exists()
    subprocess.run(["sh", "-c", GUARD, str(os.getpid()), "touch", tmp_path / "ran"], check=True)
    assert (tmp_path / "ran").exists()


def test_a_missing_program_is_the_hosts_lack(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not installed"):
        QemuProcess(["qemu-system-none"], tmp_path / "log")


def test_the_last_words_are_kept(tmp_path: Path) -> None:
    process = QemuProcess(["sh", "-c", "seq 100000 >&2; echo last >&2; exit 3"], tmp_path / "log")
    assert process.wait(30) == 3
    assert process.words().endswith("last")
    assert len(process.words()) <= 4096


def test_killing_twice_is_no_fault(tmp_path: Path) -> None:
    process = QemuProcess(["sleep", "60"], tmp_path / "log")
    process.kill()
    process.kill()
    assert process.poll() == -signal.SIGKILL


def test_what_is_compared_runs_on_one_processor(tmp_path: Path) -> None:
    every = os.sched_getaffinity(0)
    one = max(every)
    with on_processor(one):
        bound = QemuProcess(["sleep", "60"], tmp_path / "bound")
    free = QemuProcess(["sleep", "60"], tmp_path / "free")
    try:
        assert os.sched_getaffinity(bound.pid) == {one}
        assert os.sched_getaffinity(free.pid) == every
    finally:
        bound.kill()
        free.kill()


@pytest.mark.proc
def test_what_it_waits_for_a_processor_is_told(tmp_path: Path) -> None:
    spin = ["sh", "-c", "while :; do :; done"]
    with on_processor(max(os.sched_getaffinity(0))):
        two = [QemuProcess(spin, tmp_path / str(number)) for number in range(2)]
    sleeping = QemuProcess(["sleep", "60"], tmp_path / "sleeping")
    try:
        while (two[0].waited() or 0.0) < 0.05:
            assert two[0].poll() is None
        assert (sleeping.waited() or 0.0) < (two[0].waited() or 0.0) + (two[1].waited() or 0.0)
    finally:
        for process in (*two, sleeping):
            process.kill()
    assert two[0].waited() is None


def test_another_namespaces_processes_tell_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from harness.child import QemuProcess\n"
        "made = QemuProcess(['sleep', '60'], Path(sys.argv[1])); print(made.waited()); made.kill()"
    )
    inside = [*UNSHARED, sys.executable, "-c", script, str(tmp_path / "log")]
    if subprocess.run([*UNSHARED, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this host lets nobody have a PID namespace")
    done = subprocess.run(inside, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "None\n", done.stderr
