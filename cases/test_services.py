"""Only what the YAML declares runs, with what it declares, and it comes back when it is killed."""

import json
import re
import time
from contextlib import suppress

import pytest

from harness.suite import control, judge
from harness.system.shell import LineDeadError

SYSTEM_MOUNTS = {"/", "/dev", "/dev/pts", "/dev/shm", "/proc", "/run", "/sys", "/sys/fs/cgroup", "/tmp", "/var"}
# What is mounted in the folders of a section's containers, and of volumes.
MOUNTED = dict.fromkeys(("onboot", "onshutdown", "services"), ("tmp", "rootfs")) | {"volumes": ("tmp", "merged")}
# What may run outside of containers: init, the scripts that look after containers, and the probe that asks.
SYSTEM_PROCESSES = (
    r"(/sbin/)?init",
    r"/bin/sh /usr/lib/harness/supervise /containers/services/\S+ \S+",
    r"/usr/lib/harness/power",  # hears the power button
    r"crun .* run --pid-file /run/harness/\S+ --bundle /containers/services/\S+ \S+",
    r"(/busybox )?sh /agent",
    r"(/busybox )?timeout -s KILL .*",
    r"/bin/sh -c.*",
    r"sleep \d+",
)
CRUN = "crun --root /run/crun --cgroup-manager=cgroupfs"
COMEBACK_S = 40  # a service that failed is started again after 30 s at the latest
PROCESSES = """
for folder in /proc/[0-9]*; do
  [ -e "$folder/exe" ] || continue
  case $(cat "$folder/cgroup" 2>/dev/null) in 0::/) ;; *) continue ;; esac
  echo "${folder##*/} $(tr '\\0' ' ' <"$folder/cmdline" | head -n 1)"
done 2>/dev/null
"""


# one by one: `crun list` fails as a whole where a container goes while it looks; one that is there has a state
STATES = f"""
state() {{ {CRUN} state "${{1##*/}}" 2>/dev/null; }}
for one in /run/crun/*; do
  state "$one" || [ ! -e "$one/status" ] || state "$one" || [ ! -e "$one/status" ] || exit 1
done
"""


def running_now(shell):
    text, found = shell.run(STATES, check=True).text.strip(), []
    while text:
        row, end = json.JSONDecoder().raw_decode(text)
        found.append(row)
        text = text[end:].strip()
    return {row["id"] for row in found if row["status"] == "running"}


def test_only_declared_services_run(system, shell, expect):
    before = judge.failures(system.milestones)
    found = running_now(shell)
    assert found <= set(expect["services"])

    def rests(name):
        return judge.rests(system.milestones, name, expect["services"][name]["restart"])

    def fails(name):
        return judge.failures(system.milestones)[name] > before[name] and not rests(name)

    late = [name for name in expect["services"] if name not in found]
    for name in late:
        # it may be about to end, or be started again because what it needs was not there yet
        end = time.monotonic() + COMEBACK_S * system.options.timeout_multiplier
        while not rests(name) and name not in running_now(shell):
            assert not fails(name), f"{name} ends with a failure again and again"
            assert time.monotonic() < end, f"{name} does not run, and has not rightly ended"
            time.sleep(0.2)
    if late:
        system.shell.run("sleep 1")  # what fails at once runs for a moment after each start
        assert [name for name in late if fails(name)] == []


def strange(shell):
    rows = [line.strip().partition(" ") for line in shell.run(PROCESSES, check=True).text.splitlines()]
    if not any(pid == "1" and command for pid, _, command in rows):
        control.not_run("the system's first process is not among those that are seen")
    # what has ended meanwhile has a number, and no command
    return {
        f"{pid} {command}"
        for pid, _, command in rows
        if command and not any(re.fullmatch(one, command) for one in SYSTEM_PROCESSES)
    }


def test_only_the_systems_own_processes_run_beside(shell):
    found = strange(shell)
    if found:
        # what starts a service again runs programs for a moment
        shell.run("sleep 1")
        found &= strange(shell)
    assert not found, "\n".join(["outside of containers run:", *sorted(found)])


def test_only_declared_capabilities(shell, expect, running):
    last = int(shell.run("cat /proc/sys/kernel/cap_last_cap", check=True).text)
    if unseen := (running_now(shell) & set(expect["services"])) - set(running):
        control.not_run(f"which processes are of {', '.join(sorted(unseen))} is not known")
    for name, row in expect["services"].items():
        declared = judge.known(row["capabilities"], last)
        asked = bundle(shell, name)["process"]["capabilities"]
        assert {one for names in asked.values() for one in judge.known(names, last)} <= declared, name
        assert judge.known(asked["bounding"], last) == declared, name
        said = control.of_process(shell, running[name], "status") if name in running else ""
        status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
        if not status:
            continue  # it has ended
        assert judge.capabilities(status["CapBnd"], last) == declared, name
        assert judge.capabilities(status["CapEff"], last) <= declared, name
        assert judge.capabilities(status["CapPrm"], last) <= declared, name


def bundle(shell, name):
    return json.loads(shell.run(f"cat /containers/services/{name}/config.json", check=True).text)


def test_only_declared_mounts(shell, expect, running):
    found = {mount.place for mount in control.mounts(shell)}
    folders = shell.run("cd /containers && ls -d */*").text.split()
    ours = {f"/containers/{folder}/{place}" for folder in folders for place in MOUNTED[folder.partition("/")[0]]}
    prepared = judge.prepared(shell.run("cat /containers/*/*/prepare 2>/dev/null").text)
    declared = {
        place for section in ("onboot", "services") for row in expect[section].values() for place in row["mounts"]
    }
    assert found - SYSTEM_MOUNTS - ours - prepared - declared == set()
    for name, row in expect["services"].items():
        config = bundle(shell, name)
        declared = {mount["destination"].rstrip("/"): mount["type"] for mount in config["mounts"]}
        binds = {destination.rstrip("/") for _, destination in row["binds"]}
        assert {place for place, kind in declared.items() if kind == "bind"} == binds, name
        if name not in running:
            continue
        root = f"/containers/services/{name}/rootfs/"
        allowed = {"/", *declared, *(f"/{place.removeprefix(root)}" for place in prepared if place.startswith(root))}
        allowed |= {place for key in ("maskedPaths", "readonlyPaths") for place in config["linux"].get(key, ())}
        # what lies below a bind came with it
        inside = tuple(f"{place}/" for place in binds)
        has = control.mounts(shell, running[name])
        assert {mount.place for mount in has if not mount.place.startswith(inside)} <= allowed, name


def test_only_declared_ports_listen(shell, expect, running):
    tables = {kind: control.sockets(shell, kind) for kind in ("tcp", "udp", "raw")}
    listening = judge.ports(tables["tcp"], judge.LISTEN)
    rows = [*expect["services"].values(), *expect["onboot"].values()]
    declared = {kind: {number for row in rows for number in row[kind]} for kind in ("ports", "udp", "raw")}
    assert listening <= declared["ports"]
    assert {port for name in running for port in expect["services"][name]["ports"]} <= listening
    for kind in ("udp", "raw"):
        assert judge.ports(tables[kind], judge.UNCONNECTED) <= declared[kind], kind


@pytest.mark.needs("services")
def test_killed_services_come_back(system, expect, running):
    marks = system.milestones
    # one that ends by itself, and is `always` started again, may do so before it is killed
    by_itself = {mark.name.split()[0] for mark in marks if mark.values.get("code") == "0"}
    wanted = {
        name: expect["services"][name]["restart"]
        for name in running
        if expect["services"][name]["restart"] != "never" and f"services/{name}" not in by_itself
    }
    if not wanted:
        pytest.skip("every service of this image ends by itself, or is never started again")
    # one of them may be what the shell is had by, a server or a getty: then the answer is lost, and the marks tell
    with suppress(LineDeadError):
        system.shell.run(f"kill -9 {' '.join(running[name] for name in wanted)}")
    for name, restart in wanted.items():
        code = system.wait_for(f"services/{name} exited", after=len(marks)).values["code"]
        assert code == "137" or (code == "0" and restart == "always"), f"{name} was killed and ended with {code}"
        system.wait_for(f"services/{name} start", after=len(marks))
    alive = f"{CRUN} state {{0}} | grep -q running && cat /run/harness/{{0}}.pid"
    for name in wanted:
        waiting = f"until {alive.format(name)} 2>/dev/null; do sleep 0.2; done"
        assert system.shell.run(waiting, timeout=30, check=True).text.strip() != running[name]
