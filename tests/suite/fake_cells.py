"""Loaded into a pytest under test by ``-p fake_cells``: cells whose guests cost nothing and leave a line when booted.

FAKE_CELLS is JSON: {"cells": [[id, problem], …], "slots": N, "broken": [cell ids whose boots fail],
"fault": that error's class, "failing": {id: how often its machine fails}, "digest": of every image,
"unbuildable": [ids whose build is an error], "error": its class, "hanging": [ids whose build never ends],
"machines": {id: YAML path}, "faults": {id: [what fails at the first boots, at how many]}}.
"""

import errno
import json
import os
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from harness import errors, paths
from harness.errors import MachineError
from harness.run import builds, cells, inputs
from harness.run.cells import Cell, Planned
from harness.spec import load_machine, load_plan
from harness.system import limits

SETTINGS = json.loads(os.environ["FAKE_CELLS"])
X86 = str(paths.MACHINES / "qemu-x86_64.yml")
LOG = Path(os.environ["FAKE_LOG"])
SERVICE = {
    "ports": [80],
    "udp": [],
    "raw": [],
    "mounts": [],
    "binds": [],
    "capabilities": [],
    "readonly": True,
    "restart": "always",
}
MANIFEST = {"schema": 1, "name": "fake", "arch": "x86_64", "spec": {"sha256": "5"}, "components": [],
            "files": [{"name": "kernel", "size": 7, "sha256": SETTINGS.get("digest", "6"), "shipped": True}],
            "root": {"size": 0},
            "expect": {"onboot": {}, "onshutdown": {}, "services": {"web": SERVICE}}}  # fmt: skip
FAILED = Counter()
HOST = {"cores": 2, "load": 0.5}


def record(**more):
    facts = {"host": HOST, "qemu_version": "7", "accel": "tcg", "accel_reason": "so", "ready_us": 700123}
    return SimpleNamespace(
        **facts
        | {"power_on_us": 5000, "host_ready_s": 1.5, "milestones": (), "key": {"mode": "exact"}, "foreign": False}
        | more
    )


def log(*words):
    with LOG.open("a") as stream:
        stream.write(" ".join(map(str, words)) + "\n")


def planned(inputs):
    return [
        Planned(
            Cell(id=name, image=f"{name}.yml", sources=(f"{name}.yml",), machine=name, arch="x86_64", size=35.0,
                 ready=None, spec=load_machine(SETTINGS.get("machines", {}).get(name, X86)), problem=problem),
            SimpleNamespace(substitutions=()),
        )
        for name, problem in SETTINGS["cells"]
    ]  # fmt: skip


def build(plan, how, progress, told):
    log("how", json.dumps(how.to_json()), how.refresh)
    folder = LOG.parent / "image"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    progress("fake")
    made = []
    for one in plan:
        cell = one.cell
        if cell.id in SETTINGS.get("hanging", ()):
            time.sleep(600)
        if cell.id in SETTINGS.get("unbuildable", ()):
            raise getattr(errors, SETTINGS.get("error", "UserError"))(
                f"{cell.id} cannot be built", hint="make it smaller"
            )
        if not cell.problem:
            cell = replace(cell, folder=str(folder))
            told(cell)
        made.append(cell)
    return made


@contextmanager
def boot(image, machine, options):
    cell = options.out.parent.name
    log("boot", cell, os.getpid(), time.monotonic())
    log("patience", options.timeout_multiplier)
    if cell in SETTINGS.get("broken", ()):
        fault = getattr(errors, SETTINGS.get("fault", "ImageError"))
        raise fault(f"{cell}: the kernel panicked", details="its last words")
    FAILED[cell] += 1
    if cell in SETTINGS.get("faults", {}):  # what a system call, or what the driver says of its QEMU
        what, times = SETTINGS["faults"][cell]
        marks = LOG.parent / f"faults-{cell}"  # whatever process it is tried in
        count = marks.stat().st_size if marks.exists() else 0
        marks.write_text("x" * (count + 1))
        if count < times:
            fail(what)
    if FAILED[cell] <= SETTINGS.get("failing", {}).get(cell, 0):
        raise MachineError(f"{cell}: the line is dead")
    log("up", time.monotonic())
    system = SimpleNamespace(
        alive=True, prove=lambda: None, record=record(), transcript=options.out / "transcript.txt",
        wait_end=lambda: None, wait_for=lambda mark: None, shell=None,
    )  # fmt: skip

    def power_off():
        system.alive = False
        return True

    system.power_off = power_off
    try:
        yield system
    finally:
        log("down", time.monotonic())


def fail(what):
    if what == "memory":
        raise MemoryError
    if what == "process":

        def _fork_exec():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        _fork_exec()
    if what == "thread":
        raise RuntimeError("can't start new thread")
    if what == "qemu":
        raise MachineError("QEMU was ended by SIGKILL before its first mark")
    raise OSError(getattr(errno, what), os.strerror(getattr(errno, what)), "/some/where/file")


def exact_pair(image, machine, out, **options):
    log("exact", out.parent.name, os.getpid())
    log("patience", options["timeout_multiplier"])
    return SimpleNamespace(first=record(), second=record(), repeats=True, moved="")


def pytest_configure(config):
    import harness.launch

    cells.planned, builds.build = planned, build
    inputs.read = lambda wanted: inputs.RunInputs(plan=load_plan(wanted.plan) if wanted.plan else None)
    harness.launch.boot, harness.launch.exact_pair = boot, exact_pair
    limits.guests = lambda memory: SETTINGS.get("slots", 2)
