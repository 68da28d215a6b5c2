"""Clusters that Dask's own deployers bring up: the real ones, cells that cost nothing."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

sys.path += [str(Path(__file__).parents[1] / name) for name in ("suite", "board")]
from inner_pytest import environment
from lab_servers import free_port, sshd

from harness import tools
from harness.cluster import certificates

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.proc]
HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
SETTINGS = {"cells": [["a", ""], ["b", "no QEMU on the host that begins the run"]]}
SLURM = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={d}
AuthType=auth/munge
AuthInfo=socket={here}/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=lab Nodes=localhost Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "minimal.yml").write_text("kernel: {image: kernel}\n")
    (tmp_path / "test_inner.py").write_text("def test_x(system): pass\n")
    path = tmp_path / "plan.yml"
    path.write_text("machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n")
    return path


def night(plan: Path, cluster: str, **env: str) -> None:
    """Run a plan of two cells on a cluster: it passes, and nothing of it is left."""
    (plan.parent / "lab.yml").write_text(cluster)
    done = subprocess.run(
        [*HARNESS, "matrix", "plan.yml", "--cluster", "lab.yml", "--results", "out", "--no-history", "--", "-p",
         "fake_cells", "-c", os.devnull], cwd=plan.parent, env=environment(plan.parent, SETTINGS) | env,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 cells passed" in done.stdout
    _, left = psutil.wait_procs(_of(plan.parent), timeout=30)  # a job of Slurm's ends when its host has heard of it
    assert not left


def _of(folder: Path) -> list[psutil.Process]:
    """Return the processes that know the folder of a run."""

    def knows(one: psutil.Process) -> bool:
        try:
            return str(folder) in one.environ().get("FAKE_LOG", "") and "munged" not in one.name()
        except psutil.Error:
            return False

    return [one for one in psutil.process_iter() if one.pid != os.getpid() and knows(one)]


def test_workers_on_this_host(plan: Path) -> None:
    night(plan, "cluster: {local: {workers: 2}}\n")


@pytest.mark.skipif(not tools.find("sshd"), reason="sshd is not installed")
def test_hosts_by_ssh(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    certificates.make(plan.parent / "certs")
    settings = environment(plan.parent, SETTINGS)
    told = {**{name: settings[name] for name in ("FAKE_LOG", "PYTHONPATH")}, "FAKE_CELLS": "{}"}
    more = f"SetEnv {' '.join(f'{name}={value}' for name, value in told.items())}\n"
    with sshd(tmp_path_factory.mktemp("sshd"), more) as server:
        login = {"port": server.port, "user": getpass.getuser(), "key": f"{server.folder}/id",
                 "known_hosts": f"{server.folder}/known_hosts"}  # fmt: skip
        words = ", ".join(f"{name}: {value}" for name, value in login.items())
        night(plan, f"cluster: {{ssh: {{hosts: [127.0.0.1], {words}}}}}\ncertificates: certs\n")


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Slurm of one node, as root and without a service manager; the environment that its programs need."""
    if os.getuid() or not all(map(tools.find, ("slurmctld", "slurmd", "munged", "sbatch"))):
        pytest.skip("needs root, and the packages slurmctld, slurmd, slurm-client and munge")
    here = tmp_path_factory.mktemp("slurm")
    for folder in (here, *here.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o755)
    for name in ("state", "spool"):
        (here / name).mkdir()
    (here / "key").write_bytes(os.urandom(1024))
    (here / "key").chmod(0o600)
    text = SLURM.format(here=here, ctld=free_port(), d=free_port(), cpus=os.cpu_count())
    (here / "slurm.conf").write_text(text)
    env = {"SLURM_CONF": str(here / "slurm.conf")}
    programs = (
        ["munged", "--force", "--foreground", f"--key-file={here}/key", f"--socket={here}/munge.sock",
         f"--pid-file={here}/munged.pid", f"--log-file={here}/munged.log", f"--seed-file={here}/seed"],
        ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", "localhost"],
    )  # fmt: skip
    with ExitStack() as stack:
        for argv in programs:
            log = stack.enter_context((here / f"{argv[0]}.out").open("wb"))
            path = tools.find(argv[0])
            assert path
            one = subprocess.Popen([path, *argv[1:]], env={**os.environ, **env}, stdout=log, stderr=log)
            stack.callback(one.wait)
            stack.callback(one.terminate)
        yield env


@pytest.mark.long
def test_jobs_of_slurm(plan: Path, slurm: dict[str, str]) -> None:
    certificates.make(plan.parent / "certs")
    job = "jobs: 2, cores: 1, memory: 500MB, partition: lab, interface: lo"
    night(plan, f"cluster: {{slurm: {{{job}}}}}\ncertificates: certs\n", **slurm)
