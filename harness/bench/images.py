"""Benches of OCI images: what merging a large one takes of memory, and a build after one has changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness import paths
from harness.arch import ARCHES
from harness.bench.context import IMAGES, LONGEST_S, Context, FigureOrTable, Ran, command
from harness.bench.figures import BenchFigure
from harness.errors import HostError

MB = 10**6
MEMORY_GOAL, CHANGED_GOAL = 300.0, 3.0  # MB, s
FILE = 25_000  # bytes of most files, about the mean of /usr
KEPT = ("apt", "resolved", "layers", "kernels", "kernel-index", "debs")  # what a build needs, the image apart
TAR = "application/vnd.oci.image.layer.v1.tar+gzip"
# runs a program and prints the most memory that one process of it has had, in kB
PEAK = "import resource as r, subprocess as s, sys; code = s.run(sys.argv[1:], stdout=s.DEVNULL).returncode; \
print(r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"


def oci(context: Context) -> Iterator[FigureOrTable]:
    """Measure the memory of a build with a large image, and the time of one after a small image has changed."""
    command(["build", str(IMAGES["default"])])  # so that the cache has all but what is measured
    cache = context.folder("oci", "cache")
    for kind in KEPT:
        shutil.copytree(paths.cache_dir() / kind, cache / kind, copy_function=link)
    yield _memory(context, cache)
    yield from _changed(context, cache)


def _memory(context: Context, cache: Path) -> BenchFigure:
    size = 200 if context.quick else 1000
    context.say(f"oci: making an image of {size} MB")
    folder = context.folder("oci", "large")
    half = size * MB // 2
    layers = [layer_of(1, half // 2, extra=half // 2), layer_of(2, half)]
    layout(folder / "image", {"arm64": layers})
    yaml = _yaml(folder, "")
    context.say("oci: building with it")
    program = [str(Path(sys.executable).parent / "harness"), "build", "--offline", "--arch", "arm64", str(yaml)]
    done = subprocess.run([sys.executable, "-c", PEAK, *program], env=environment(cache), capture_output=True,
                          text=True, timeout=LONGEST_S, check=False)  # fmt: skip
    if done.returncode:
        raise HostError(f"harness ended with exit code {done.returncode}", details=done.stderr[-2000:])
    return BenchFigure(f"an image of {size} MB merged and built in: most memory of a process", "MB",
                  (int(done.stdout.split()[-1]) * 1024 / MB,), MEMORY_GOAL)  # fmt: skip


def _changed(context: Context, cache: Path) -> Iterator[BenchFigure]:
    folder = context.folder("oci", "changed")
    base = layer_of(3, 60 * MB)
    yaml = _yaml(folder, IMAGES["default"].read_text(encoding="utf-8"))
    runs: list[Ran] = []
    for number in range(1 + context.times(5, 2)):
        context.say(f"oci: its topmost layer changed, {number}")
        layout(folder / "image", {arch: [base, layer_of(100 + number, MB)] for arch in ARCHES})
        runs.append(command(["build", "--offline", str(yaml)], environment(cache)))
        if runs[-1].code:
            raise HostError(f"harness ended with exit code {runs[-1].code}", details=runs[-1].words)
    subject = "default with an image of 60 MB for three architectures, its topmost layer changed"
    yield BenchFigure(subject, "s", tuple(one.seconds for one in runs[1:]), CHANGED_GOAL)
    yield BenchFigure(f"{subject}: CPU time of it", "s", tuple(one.cpu for one in runs[1:]))


def _yaml(folder: Path, text: str) -> Path:
    """Write an image's YAML whose last service is the OCI image."""
    text = text or "kernel: {image: kernel}\ninit: [init]\nservices:\n"
    at = text.index("services:\n") + len("services:\n")
    entry = '  - {name: oci, image: "oci:image:1", readonly: true, command: [/x]}\n'
    path = folder / "image.yml"
    path.write_text(text[:at] + entry + text[at:], encoding="utf-8")
    return path


def environment(cache: Path) -> dict[str, str]:
    """Return the environment in which that cache is used."""
    return {**os.environ, "HARNESS_CACHE": str(cache)}


def link(source: str, target: str) -> None:
    """Make a hardlink, or a copy where that cannot be."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def layer_of(seed: int, size: int, extra: int = 0) -> bytes:
    """Make a layer of a program /x and files like those of /usr, half random; `extra` bytes are in one file more."""
    source = random.Random(seed)
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", 1, out, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        program = tarfile.TarInfo("x")
        program.mode = 0o755
        archive.addfile(program)
        for number, length in enumerate([FILE] * (size // FILE) + [extra] * bool(extra)):
            data = source.randbytes(length // 2) + b"text like this " * (length // 30)
            info = tarfile.TarInfo(f"usr/{seed}/{number % 200}/{number}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def layout(folder: Path, images: dict[str, Iterable[bytes]]) -> None:
    """Write an OCI layout (image-spec, image-layout.md) with an image an architecture."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def put_json(value: dict[str, Any], media_type: str) -> dict[str, Any]:
        return put(json.dumps({"mediaType": media_type, **value}).encode(), media_type)

    kind = "application/vnd.oci.image"
    rows = []
    for name, layers in images.items():
        platform = {"os": "linux", "architecture": ARCHES[name].oci}
        diff_ids = [f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}" for layer in layers]
        config = put_json({**platform, "rootfs": {"type": "layers", "diff_ids": diff_ids}}, f"{kind}.config.v1+json")
        manifest = {"schemaVersion": 2, "config": config, "layers": [put(layer, TAR) for layer in layers]}
        rows.append({**put_json(manifest, f"{kind}.manifest.v1+json"), "platform": platform})
    index = put_json({"schemaVersion": 2, "manifests": rows}, f"{kind}.index.v1+json")
    named = {**index, "annotations": {"org.opencontainers.image.ref.name": "1"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
