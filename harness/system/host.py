"""What the host is, as far as a figure measured on it needs to say."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

from harness import proc
from harness.arch import Arch

Facts = dict[str, str | int | float]


@lru_cache
def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "cpu model", "Model"):
            return value.strip()
    return platform.machine()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def boot_id() -> str:
    """Return what is new whenever the host boots; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def facts() -> Facts:
    """Return the host's cores, load (1 min), CPU model and kernel, as they are now."""
    return {
        "cores": cores(),
        "load": round(os.getloadavg()[0], 2),
        "cpu": _cpu_model(),
        "machine": platform.machine(),
        "kernel": platform.release(),
    }


@lru_cache
def _version(path: str, changed: int) -> str:  # `changed` makes an upgrade under a long-lived process count
    done = proc.run([path, "--version"], timeout=20)
    return done.stdout.decode(errors="replace").partition("\n")[0].removeprefix("QEMU emulator version ").strip()


def qemu_version(arch: Arch) -> str:
    """Return the version of the architecture's QEMU; HostError naming the package when it is not installed."""
    path = proc.resolve(arch.qemu)
    return _version(path, Path(path).stat().st_mtime_ns)


def spare_memory() -> int:
    """Return the MiB that could be given to guests now."""
    import psutil

    return int(psutil.virtual_memory().available >> 20)
