"""Benches of what goes in: stacks of layers against the kernel's overlay, very many entries, and `trust`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.bench import stacks, trust
from harness.bench.context import LONGEST_S, Context, FigureOrTable
from harness.bench.figures import BenchFigure
from harness.errors import HostError

STACKS, ROUND = 10_000, 500  # all, and those of one process
CROWD, ENTRIES = 200_000, 2_000_000
SECONDS_GOAL, MEMORY_GOAL = 60.0, 300.0  # s, MB
# merges a layer and writes its root; prints seconds, those of a processor with all programs', and the most memory in MB
MERGE = """
import json, resource, sys, time
from pathlib import Path
from harness.build.formats import squashfs
from harness.oci.image import Blob, OciImage, Platform
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.store import Store
path, digest, folder, whole = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4] == "root"
image = OciImage("large", digest, Platform("linux", "amd64"), {"rootfs": {"diff_ids": [digest]}},
                 (Blob(path, "application/vnd.oci.image.layer.v1.tar", digest, path.stat().st_size),))
began = time.monotonic()
tree = merge(image, Limits.of(33), Store(folder / "cache"))
if whole:
    squashfs(tree, folder / "root", "lz4-fast")
took = time.monotonic() - began
both = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
cpu = sum(one.ru_utime + one.ru_stime for one in both)
print(json.dumps([took, cpu, max(one.ru_maxrss for one in both) * 1024 / 1e6]))
"""


def supply(context: Context) -> Iterator[FigureOrTable]:
    """Measure all: what takes longest comes last."""
    yield _stacks(context)
    for folders, count, whole in ((1, CROWD, True), (1000, ENTRIES, False)):
        yield from _large(context, folders, count // (10 if context.quick else 1), whole=whole)
    yield from trust.trust(context)


def _stacks(context: Context) -> BenchFigure:
    count = context.times(STACKS, 200)
    subject = f"{count:,} random stacks of layers: merged otherwise than by overlayfs, or refused"
    folder, bad = context.folder("stacks"), 0
    for first in range(0, count, ROUND):
        context.say(f"supply: {first} of {count} stacks")
        seeds = range(first, min(first + ROUND, count))
        done = subprocess.run(
            stacks.argv(folder, seeds), capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
        if done.returncode == stacks.EXIT_NO_OVERLAY or "unshare:" in done.stderr:
            return BenchFigure(subject, "stacks", goal=0, skipped="no overlay can be mounted here")
        if done.returncode != bool(done.stdout):
            raise HostError(f"comparing stacks ended with {done.returncode}", details=done.stderr[-2000:])
        for line in done.stdout.splitlines():
            context.say(line)
        bad += sum(line.startswith("stack ") for line in done.stdout.splitlines())
    return BenchFigure(subject, "stacks", (bad,), 0)


def _large(context: Context, folders: int, count: int, *, whole: bool) -> Iterator[BenchFigure]:
    folder = context.folder(f"large-{count}")
    context.say(f"supply: {count} entries in {folders} folders")
    path = folder / "layer.tar"
    digest = _write(path, folders, count)
    began = time.monotonic()
    argv = [sys.executable, "-c", MERGE, str(path), digest, str(folder), "root" if whole else ""]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    if done.returncode:
        raise HostError(f"merging failed after {time.monotonic() - began:.0f} s", details=done.stderr[-2000:])
    seconds, cpu, memory = json.loads(done.stdout)
    what = "merged and made a squashfs" if whole else "merged"
    subject = f"{count:,} entries in {folders if folders > 1 else 'one'} folder{'s' if folders > 1 else ''} {what}"
    yield BenchFigure(subject, "s", (seconds,), SECONDS_GOAL)
    yield BenchFigure(f"{subject}: CPU time of it", "s", (cpu,))
    yield BenchFigure(f"{subject}: most memory", "MB", (memory,), MEMORY_GOAL)


def _write(path: Path, folders: int, count: int) -> str:
    """Write a layer of `count` small files; return its digest."""
    with path.open("wb") as out:
        for number in range(folders):
            out.write(_folder(f"f{number}"))
            for entry in range(count // folders):
                info = tarfile.TarInfo(f"f{number}/file-{entry:07d}")
                out.write(info.tobuf(tarfile.PAX_FORMAT))
        out.write(bytes(1024))
    with path.open("rb") as made:
        return f"sha256:{hashlib.file_digest(made, 'sha256').hexdigest()}"


def _folder(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.PAX_FORMAT)
