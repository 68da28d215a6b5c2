"""Hosts for a cluster, as far as this machine can have some."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "suite"))
from inner_pytest import environment

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
WORKERS = 4
UP_S = 120.0


@dataclass
class Hosts:
    """A scheduler and its workers, each a host of its own as far as this machine can have some."""

    folder: Path
    address: str
    prefixes: list[list[str]]  # of the host that runs are started on, and of the workers
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def certificates(self) -> Path:
        return self.folder / "certs"

    def start(self, host: int, *words: str, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"host{host}.log").open("ab")
        env = environment(self.folder, settings) | {"HARNESS_CACHE": str(self.folder / f"cache{host}")}
        env["MARK"] = str(self.folder / "mark")
        argv = [*self.prefixes[host], *HARNESS, "cluster", *words, "--certificates", str(self.certificates)]
        return subprocess.Popen(argv, stdout=log, stderr=log, env=env, cwd=self.folder, start_new_session=True)

    def matrix(self, plan: Path, *words: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
        env = environment(self.folder, settings) | {"HARNESS_CACHE": str(self.folder / "cache-home")}
        env["MARK"] = str(self.folder / "mark")
        argv = [*self.prefixes[0], *HARNESS, "matrix", str(plan), *words, "--", "-p", "fake_cells", "-c", os.devnull]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=plan.parent,
                                text=True, start_new_session=True)  # fmt: skip

    def of(self, pid: int) -> int:
        """The worker that a process descends from."""
        above = {one.pid for one in psutil.Process(pid).parents()}
        return next(number for number, worker in self.workers.items() if worker.pid in above)

    def kill(self, number: int) -> None:
        """Let a host be gone: all that runs on it, at once."""
        worker = psutil.Process(self.workers.pop(number).pid)
        for one in [*worker.children(recursive=True), worker]:
            one.kill()


def ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def until(true: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + UP_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)
