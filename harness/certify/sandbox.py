"""Keeps a stranger's guest, and the QEMU that it may break out into, from this host.

QEMU is started with its own filter of system calls, with bounds on memory, files and processes, without the host's
network and, where the host lets anybody make such namespaces, with no more of the host's files than it needs.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from harness import proc
from harness.errors import HarnessError

FILTER = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
EXTRA_MEMORY = 4 << 30  # bytes of address space that QEMU takes beside the guest's memory
MOST_WRITTEN = 64 << 20  # bytes of one file: a console that never ends
MOST_OPEN = 256
MOST_PROCESSES = 4096
# What QEMU and its libraries are read from; what a host lacks is left out.
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")
DEVICES = ("null", "zero", "urandom", "random")
NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--uts", "--")
NETWORK = ("unshare", "--user", "--map-current-user", "--net", "--")
# Makes a root of what is named, each at its own place, and goes there. $1: the root; then pairs of ro|rw and a path.
_ENTER = r"""
set -eu
root=$1; shift
mount -t tmpfs -o size=1m,mode=755 tmpfs "$root"
while [ "$1" != -- ]; do
  how=$1 path=$2; shift 2
  if [ -L "$path" ]; then mkdir -p "$root$(dirname "$path")"; cp -P "$path" "$root$path"; continue; fi
  [ -e "$path" ] || continue
  if [ -d "$path" ]; then mkdir -p "$root$path"; else mkdir -p "$root$(dirname "$path")"; : >"$root$path"; fi
  mount --rbind "$path" "$root$path"
  [ "$how" = rw ] || mount -o remount,bind,ro "$root$path" 2>/dev/null ||
    mount -o remount,bind,ro,nosuid,nodev "$root$path"
done
shift
mkdir -p "$root/proc" "$root/tmp"
mount --rbind /proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Sandbox:
    """A program that starts QEMU as a stranger's, and what it could not be kept from, in words."""

    program: str
    lacks: tuple[str, ...] = ()


def prepare(program: str, out: Path, reads: tuple[Path, ...], memory: int) -> Sandbox:
    """Return what starts the QEMU `program`, which writes to the folder `out` alone and reads that and `reads`.

    ``memory`` is the guest's, in bytes. Each bound that this host does not grant is named in ``lacks``.
    """
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    lacks: list[str] = []
    start = _namespaces(program, out, reads, lacks)
    limits = _limits(memory, lacks)
    guard = [proc.resolve("setpriv"), "--no-new-privs", "--pdeathsig", "KILL", "--"]
    sandboxed = _filter(program, lacks)
    script = out / "qemu"
    words = shlex.join([*start, *limits, *guard, program])
    script.write_text(f'#!/bin/sh\nexec {words} "$@"{sandboxed}\n')
    script.chmod(0o755)
    return Sandbox(str(script), tuple(lacks))


def _filter(program: str, lacks: list[str]) -> str:
    done = proc.run([program, "-help"], timeout=20)
    if b"-sandbox" in done.stdout and b"elevateprivileges" in done.stdout:
        return f" -sandbox {FILTER}"
    lacks.append("system calls (this QEMU has no -sandbox)")
    return ""


def _limits(memory: int, lacks: list[str]) -> list[str]:
    found = [
        "prlimit",
        f"--as={memory + EXTRA_MEMORY}",
        f"--fsize={MOST_WRITTEN}",
        f"--nofile={MOST_OPEN}",
        f"--nproc={MOST_PROCESSES}",
        "--core=0",
        "--",
    ]
    if _works([*found, "true"]):
        return found
    lacks.append("memory (no prlimit)")
    return []


def _namespaces(program: str, out: Path, reads: tuple[Path, ...], lacks: list[str]) -> list[str]:
    """Return the words that start a program in namespaces of its own."""
    root = out / "root"
    root.mkdir(exist_ok=True)
    places = [("ro", path) for path in (*SYSTEM, *(f"/dev/{name}" for name in DEVICES))]
    places += [("ro", str(path)) for path in _whole((Path(program), *reads))]
    places += [("rw", str(out))]
    script = out / "enter"
    script.write_text(_ENTER)
    pairs = [word for pair in places for word in pair]
    words = [*NAMESPACES, "sh", str(script), str(root), *pairs, "--"]
    if _works([*words, "true"]):
        return words
    lacks.append("this host's files (no mount namespace)")
    if _works([*NETWORK, "true"]):
        return list(NETWORK)
    lacks.append("this host's network (no network namespace)")
    return []


def _whole(paths: tuple[Path, ...]) -> list[Path]:
    """Return the folders that some files lie in, and those that links of them lead to, but for the system's."""
    found: dict[Path, None] = {}
    for path in paths:
        for one in (path.absolute(), path.resolve()):
            found[one if one.is_dir() else one.parent] = None
    return [one for one in found if not any(one.is_relative_to(place) for place in SYSTEM)]


def _works(argv: list[str]) -> bool:
    try:
        proc.run(argv, timeout=20)
    except (HarnessError, OSError):
        return False
    return True
