"""Hosts for a cluster: network namespaces with addresses of their own where root may make them, else this host."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_hosts import HARNESS, WORKERS, Hosts, free_port, ip
from tiers import needs


@pytest.fixture(scope="session")
@needs("slow", "servers")
def namespaces() -> Iterator[list[str]]:
    """Names of namespaces that reach each other: the first has the bridge. None where they cannot be made."""
    names = [f"harness-{os.getpid()}-{number}" for number in range(WORKERS + 1)]
    try:
        if os.getuid() or not shutil.which("ip") or not all(ip("netns", "add", name) for name in names):
            yield []
            return
        home = ("-n", names[0])
        assert ip(*home, "link", "add", "lab", "type", "bridge")
        assert ip(*home, "addr", "add", "10.77.0.1/24", "dev", "lab")
        for number, name in enumerate(names):
            assert ip("-n", name, "link", "set", "lo", "up")
            if number:
                assert ip(*home, "link", "add", f"to{number}", "type", "veth", "peer", "name", "lab", "netns", name)
                assert ip(*home, "link", "set", f"to{number}", "master", "lab", "up")
                assert ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "lab")
                assert ip("-n", name, "link", "set", "lab", "up")
        assert ip(*home, "link", "set", "lab", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


@pytest.fixture(scope="session")
@needs("slow", "servers")
def hosts(namespaces: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A scheduler and four workers, each of one cell at once."""
    folder = tmp_path_factory.mktemp("hosts")
    where = "10.77.0.1" if namespaces else "127.0.0.1"
    prefixes = [["ip", "netns", "exec", name] for name in namespaces] or [[]] * (WORKERS + 1)
    made = Hosts(folder, f"tls://{where}:{free_port()}", prefixes)
    subprocess.run([*HARNESS, "cluster", "certificates", str(made.certificates)], check=True, stdout=subprocess.DEVNULL)
    settings: dict[str, Any] = {"cells": []}
    scheduler = made.start(0, "scheduler", made.address, settings=settings)
    for number in range(1, WORKERS + 1):
        made.workers[number] = made.start(number, "worker", made.address, "-n", "1", settings=settings)
    try:
        yield made
    finally:
        for one in (*made.workers.values(), scheduler):
            one.send_signal(signal.SIGTERM)
        for one in (*made.workers.values(), scheduler):
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
