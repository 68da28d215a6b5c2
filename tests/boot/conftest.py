"""Real images and machines, and toys: a kernel with a first process of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from tiers import needs

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.image import Image
from harness.launch import boot
from harness.spec import load_image, load_machine
from harness.spec.models.machine import MachineSpec
from harness.system import BootOptions, System
from harness.tree.cpio import CpioMember, write

PRELUDE = """#!/probe/busybox sh
b=/probe/busybox
$b mkdir -p /proc /sys /dev /tmp
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
say() { echo "<10>harness: $*" >/dev/kmsg; }
say init
"""
Toy = Callable[..., AbstractContextManager[System]]


@pytest.fixture(scope="session")
@needs("builds")
def images() -> Callable[[str], Image]:
    """Give the image `minimal` for an architecture; built when it is not in the cache."""
    builder, spec = Builder(Settings()), load_image([paths.CASES / "images/minimal.yml"])
    made: dict[str, Image] = {}

    def image(arch: str) -> Image:
        if arch not in made:
            made[arch] = builder.build(spec, by_name(arch))
        return made[arch]

    return image


@pytest.fixture(scope="session")
def machine() -> Callable[[str], MachineSpec]:
    """Give the default machine of an architecture."""
    return lambda arch: load_machine(paths.MACHINES / f"qemu-{arch}.yml")


@pytest.fixture
def toy_image(images: Callable[[str], Image], tmp_path: Path) -> Callable[..., Image]:
    """Make an image whose first process is a script of busybox's shell."""

    def make(script: str, arch: str = "arm64", cmdline: str = "quiet cryptomgr.notests") -> Image:
        real, folder = images(arch), tmp_path / f"toy-{arch}"
        folder.mkdir()
        for name in ("kernel", "probe"):
            (folder / name).symlink_to(getattr(real, name))
        mark = paths.GUEST / "native/bin" / arch / "mark"
        out = BytesIO()
        write(
            out, [CpioMember("init", 0o755, (PRELUDE + script).encode()), CpioMember("mark", 0o755, mark.read_bytes())]
        )
        archive = out.getvalue()
        (folder / "initrd").write_bytes(archive + b"\0" * (-len(archive) % 4) + real.probe.read_bytes())
        manifest = {"schema": 1, "name": "toy", "arch": arch, "cmdline": cmdline, "files": []}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return Image(folder)

    return make


@pytest.fixture
@needs("boots")
def toy(toy_image: Callable[..., Image], machine: Callable[[str], MachineSpec], tmp_path: Path) -> Toy:
    """Boot a toy: ``toy(script, arch=…, mode=…, …)`` with the options of a boot."""

    @contextmanager
    def run(script: str, arch: str = "arm64", mode: str = "wall", spec: MachineSpec | None = None, **more: object) -> (
        Iterator[System]
    ):  # fmt: skip
        options = BootOptions(mode=mode, out=tmp_path / "out", **{"timeout": 60.0, **more})  # type: ignore[arg-type]
        with boot(toy_image(script, arch), spec or machine(arch), options) as system:
            yield system

    return run
