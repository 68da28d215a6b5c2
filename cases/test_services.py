"""Only what the YAML declares runs, with what it declares, and it comes back when it is killed."""

import json
import re

import pytest

from harness.suite import judge

SYSTEM_MOUNTS = {"/", "/dev", "/dev/pts", "/dev/shm", "/proc", "/run", "/sys", "/sys/fs/cgroup", "/tmp", "/var"}
# What may run outside of containers: init, the scripts that look after containers, and the probe that asks.
SYSTEM_PROCESSES = (
    r"(/sbin/)?init",
    r"/bin/sh /usr/lib/harness/supervise /containers/services/\S+ \S+",
    r"crun .* run --pid-file /run/harness/\S+ --bundle /containers/services/\S+ \S+",
    r"(/busybox )?sh /agent",
    r"(/busybox )?timeout -s KILL .*",
    r"/bin/sh -c.*",
    r"sleep \d+",
)
PROCESSES = """
for folder in /proc/[0-9]*; do
  [ -e "$folder/exe" ] || continue
  case $(cat "$folder/cgroup" 2>/dev/null) in 0::/) ;; *) continue ;; esac
  tr '\\0' ' ' <"$folder/cmdline" | head -n 1; echo
done
"""


def pids(shell, expect):
    return {name: shell.run(f"cat /run/harness/{name}.pid", check=True).text.strip() for name in expect["services"]}


def test_only_declared_services_run(shell, expect):
    listed = shell.run("crun --root /run/crun --cgroup-manager=cgroupfs list -f json", check=True).text
    assert {row["id"]: row["status"] for row in json.loads(listed)} == dict.fromkeys(expect["services"], "running")


def test_only_the_systems_own_processes_run_beside(shell):
    running = [line.strip() for line in shell.run(PROCESSES, check=True).text.splitlines() if line.strip()]
    strange = [line for line in running if not any(re.fullmatch(one, line) for one in SYSTEM_PROCESSES)]
    assert not strange, "\n".join(["outside of containers run:", *strange])


def test_only_declared_capabilities(shell, expect):
    last = int(shell.run("cat /proc/sys/kernel/cap_last_cap", check=True).text)
    for name, pid in pids(shell, expect).items():
        status = dict(line.split(":\t", 1) for line in shell.run(f"cat /proc/{pid}/status").text.splitlines())
        declared = judge.known(expect["services"][name]["capabilities"], last)
        assert judge.capabilities(status["CapBnd"], last) == declared, name
        assert judge.capabilities(status["CapEff"], last) <= declared, name
        assert judge.capabilities(status["CapPrm"], last) <= declared, name


def test_only_declared_mounts(shell, expect):
    found = {mount.place for mount in judge.mounts(shell.run("cat /proc/1/mountinfo", check=True).text)}
    overlays = {
        f"/containers/{section}/{place}"
        for section in ("onboot", "onshutdown", "services")
        for place in shell.run(f"ls /containers/{section} 2>/dev/null").text.split()
    }
    assert {place for place in found - SYSTEM_MOUNTS if place.rpartition("/")[0] not in overlays} == set()
    for name, pid in pids(shell, expect).items():
        config = json.loads(shell.run(f"cat /containers/services/{name}/config.json", check=True).text)
        declared = {row["destination"].rstrip("/"): row["type"] for row in config["mounts"]}
        binds = {destination.rstrip("/") for _, destination in expect["services"][name]["binds"]}
        assert {place for place, kind in declared.items() if kind == "bind"} == binds, name
        # what lies below a bind came with it
        inside = tuple(f"{place}/" for place in binds)
        has = {mount.place for mount in judge.mounts(shell.run(f"cat /proc/{pid}/mountinfo", check=True).text)}
        assert {place for place in has - {"/", *declared} if not place.startswith(inside)} == set(), name


def test_only_declared_ports_listen(shell, expect):
    tables = {kind: shell.run(f"cat /proc/net/{kind} /proc/net/{kind}6").text for kind in ("tcp", "udp", "raw")}
    assert judge.ports(tables["tcp"], listening=True) == {
        port for row in expect["services"].values() for port in row["ports"]
    }
    assert judge.ports(tables["udp"], listening=False) == set()
    assert judge.ports(tables["raw"], listening=False) == set()


@pytest.mark.needs("services")
def test_killed_services_come_back(system, expect):
    wanted = [name for name, row in expect["services"].items() if row["restart"] != "never"]
    before, count = pids(system.shell, expect), len(system.milestones)
    for name in wanted:
        system.shell.run(f"kill -9 {before[name]}", check=True)
    for name in wanted:
        assert system.wait_for(f"services/{name} exited", after=count).values["code"] == "137"
        system.wait_for(f"services/{name} start", after=count)
    alive = "crun --root /run/crun --cgroup-manager=cgroupfs state {0} | grep -q running && cat /run/harness/{0}.pid"
    for name in wanted:
        waiting = f"until {alive.format(name)} 2>/dev/null; do sleep 0.2; done"
        assert system.shell.run(waiting, timeout=30, check=True).text.strip() != before[name]
