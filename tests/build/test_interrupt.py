"""Ctrl-C in the middle of a build: it ends at once, with its code, and what it leaves is whole."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from debian_mirror import Item, Mirror, Repository

from harness.errors import EXIT_INTERRUPTED
from harness.store import file_digest

BUILD = "import sys; from harness.cli import main; sys.exit(main())"
IMAGE = "kernel: {image: '@pkg:k'}\n"


@pytest.fixture
def world(repository: Repository, tmp_path: Path) -> Path:
    """An image of a made-up kernel, which a mirror has for two architectures."""
    for arch in ("arm64", "s390x"):
        repository.add(f"linux-image-1-{arch}", "1", [Item("./boot/vmlinuz-1", b"kernel")], arch)
    repository.add("busybox-static", "1", [Item("./bin/busybox", b"busybox", mode=0o755)])
    repository.publish()
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "component.yml").write_text(
        "description: x\nkernel: {modules: [], stage1: []}\n"
        "packages_for: {arm64: [linux-image-1-arm64], s390x: [linux-image-1-s390x]}\n"
    )
    (tmp_path / "image.yml").write_text(IMAGE)
    return tmp_path


@pytest.mark.proc
@pytest.mark.parametrize("to", ["the harness alone", "its whole group, as a terminal does"])
@pytest.mark.parametrize("path", ["InRelease$", r"linux-image.*deb$"], ids=["an index", "a package"])
def test_interrupted_while_downloading(world: Path, repository: Repository, mirror: Mirror, path: str, to: str) -> None:
    mirror.faults[path] = ["hang", "…"]
    cache = world / "cache"
    argv = [sys.executable, "-c", BUILD, "build", str(world / "image.yml"), "--arch", "arm64,s390x"]
    argv += ["--mirror", mirror.url, "--keyring", str(repository.key)]
    env = {**os.environ, "HARNESS_CACHE": str(cache)}
    build = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert mirror.hanging.wait(60)
    (os.kill if to == "the harness alone" else os.killpg)(build.pid, signal.SIGINT)
    # the mirror would be silent for 30 s, and apt patient for 20, four times
    said = build.communicate(timeout=15)[1]
    assert build.returncode == EXIT_INTERRUPTED
    assert said.endswith("harness: interrupted\n") and "Traceback" not in said
    assert all(ended(process.pid) for process in running(build.pid))
    assert not list((cache / "tmp").glob("*")), "nothing half-done"
    assert not list((cache / "images").glob("*"))
    # the other architecture's may have come already
    assert all(file_digest(deb) == deb.parent.name for deb in (cache / "debs").glob("*/*"))
    # and the next build has all it needs
    mirror.faults.clear()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert "downloading 1 package," in done.stderr


def ended(pid: int) -> bool:
    """Say whether a process ends: what apt has started does when its pipe is closed."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(process) as stream:
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        return bool(poll.poll(10_000))


def running(session: int) -> list[psutil.Process]:
    """Return what still runs of a session; a dead one that nobody has waited for does not."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.NoSuchProcess):
            continue  # gone meanwhile
    return found
