"""Benches of whether what goes in is what boots: damaged caches, and times of files that programs rely on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import paths
from harness.arch import by_name
from harness.bench.context import IMAGES, LONGEST_S, Context, FigureOrTable, command
from harness.bench.figures import BenchFigure
from harness.bench.images import KEPT, environment, layer_of, layout, link
from harness.build.debian import Debian
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.build.sources import text_of
from harness.errors import HostError
from harness.launch.exact import exact_boot
from harness.measure.phases import figures
from harness.spec import load_image, load_machine
from harness.store import Store

POSITIONS = 200
USED = ("images", "roots", "layers", "oci-layers", "kernels", "kernel-index", "debs", "blobs", "resolved")
PYTHON_GOAL = 2.0  # per cent
MACHINE, SUITE, PYTHON = "qemu-x86_64", "bookworm", "3.11"  # and the Python that the suite has
MEMORY = 512  # MiB: its root lies in the initrd
SERVICE = """kernel: {image: kernel, cmdline: quiet}
init: [init]
services:
  - name: py
    image: "oci:image:1"
    command: ["/usr/bin/python3", "-c",
      "import json, argparse, email.message, http.client, time; print('imports done', flush=True); time.sleep(99999)"]
    annotations: {harness.health: "log:imports done"}
"""


def trust(context: Context) -> Iterator[FigureOrTable]:
    """Measure both."""
    yield _flips(context)
    yield from _python(context)


def _flips(context: Context) -> BenchFigure:
    """Flip a byte of something in a cache and build again, many times; count what was used all the same."""
    count = context.times(POSITIONS, 10)
    subject = f"one byte changed at {count} places of a cache, every kind of entry among them: used silently"
    folder = context.folder("flips")
    layout(folder / "image", {"x86_64": [layer_of(7, 10**6)]})
    (folder / "image.yml").write_text(
        'kernel: {image: kernel}\ninit: [init]\nservices: [{name: oci, image: "oci:image:1", command: [/x]}]\n'
    )
    command(["build", str(IMAGES["minimal"])])  # so that the host's cache has what all images need
    cache, env = folder / "cache", environment(folder / "cache")
    for kind in KEPT:
        shutil.copytree(paths.cache_dir() / kind, cache / kind, copy_function=link)
    words = ["build", "--arch", "x86_64", str(folder / "image.yml")]
    good = _built(words, env)
    dice, used = random.Random(22), 0
    for number in range(count):
        if number % 20 == 0:
            context.say(f"trust: {number} of {count} places")
        kind = USED[number % len(USED)]
        path = dice.choice([one for one in sorted((cache / kind).rglob("*")) if one.is_file() and one.stat().st_size])
        _flip(path, dice)
        for made in USED[: USED.index(kind) if kind in USED[:2] else 2]:
            shutil.rmtree(cache / made)  # so that what is below it is used
        if _built(words, env) != good:
            used += 1
            context.say(f"trust: a byte of {path.relative_to(cache)} was changed and used")
    return BenchFigure(subject, "places", (used,), 0)


def _flip(path: Path, dice: random.Random) -> None:
    """Change one bit of a file without a trace in its size or its time."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.unlink()  # another name may be the same file
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _built(words: list[str], env: dict[str, str]) -> list[str]:
    """Return the digests of what a build gives, and what its manifest says of them."""
    ran = command(words, env)
    if ran.code:
        raise HostError(f"harness ended with exit code {ran.code}", details=ran.words)
    folder = Path(ran.stdout.split()[-1])
    said = {row["name"]: row["sha256"] for row in json.loads((folder / "manifest.json").read_text())["files"]}
    return [*(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in said), *said.values()]


def _python(context: Context) -> Iterator[BenchFigure]:
    """Boot a Python service of Debian's, compiled as Debian does it, and so that sources' times do not count."""
    subject = f"a Python service of {SUITE} on {MACHINE}, from its start to ready"
    made = shutil.which("mmdebstrap")
    if made is None or not sys.version.startswith(f"{PYTHON}."):
        yield BenchFigure(subject, "%", goal=PYTHON_GOAL, skipped=f"it takes mmdebstrap, and Python {PYTHON} here")
        return
    folder = context.folder("python")
    (folder / "mirror.sources").write_text(text_of(Debian(Store(paths.cache_dir()), suite=SUITE).sources))
    mode = "root" if os.geteuid() == 0 else "unshare"
    context.say("trust: making Debian with Python")
    _run(made, "--quiet", f"--mode={mode}", "--variant=minbase", "--include=python3", SUITE, str(folder / "root.tar"),
         str(folder / "mirror.sources"))  # fmt: skip
    base = (folder / "root.tar").read_bytes()
    times = {"as Debian has compiled it": _exact(context, folder / "times", [base])}
    times["compiled so that sources' times are ignored"] = _exact(context, folder / "hash", [base, _unchecked(folder)])
    for what, ms in times.items():
        yield BenchFigure(f"{subject}, {what}", "ms", (ms,))
    first, second = times.values()
    yield BenchFigure(f"{subject}: the first over the second", "%", (abs(first / second - 1) * 100,), PYTHON_GOAL)


def _unchecked(folder: Path) -> bytes:
    """Return a layer of Debian's modules compiled anew, so that Python takes them whatever their sources' times are."""
    root = folder / "unpacked"
    root.mkdir()
    tar = folder / "hash.tar"
    _run("tar", "-C", str(root), "-xf", str(folder / "root.tar"), f"./usr/lib/python{PYTHON}")
    _run(sys.executable, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(root),
         "-p", "/", str(root / "usr/lib" / f"python{PYTHON}"))  # fmt: skip
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("__pycache__"))]
    _run("tar", "-C", str(root), "--owner=0", "--group=0", "-cf", str(tar), *names)
    return tar.read_bytes()


def _exact(context: Context, folder: Path, layers: list[bytes]) -> float:
    """Return the exact ms of the service's start to its health."""
    context.say(f"trust: building and booting {folder.name}")
    folder.mkdir()
    layout(folder / "image", {"x86_64": [_packed(layer) for layer in layers]})
    (folder / "service.yml").write_text(SERVICE)
    machine = load_machine(MACHINE).driven(memory=MEMORY)
    image = Builder(Settings(), progress=context.say).build(load_image([folder / "service.yml"]), by_name(machine.arch))
    return figures(exact_boot(image, machine, context.folder(f"boot-{folder.name}")))["services/py"] / 1000


def _packed(layer: bytes) -> bytes:
    import gzip

    return gzip.compress(layer, 1, mtime=0)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    if done.returncode:
        raise HostError(f"{argv[0]} ended with {done.returncode}", details=done.stderr[-2000:])
