"""harness matrix --library: a run of LinuxKit's files without a registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.arch import Arch
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.cli import app
from harness.errors import EXIT_HOST, HostError
from harness.image import Image
from harness.run.cells import planned
from harness.run.inputs import Wanted, read
from harness.spec.models.image import ImageSpec

pytestmark = [pytest.mark.boots, pytest.mark.builds]

YAML = """\
kernel: {image: "linuxkit/kernel:6.6.13", cmdline: quiet}
init: ["linuxkit/init:v1.0", "linuxkit/runc:v1.0", "linuxkit/containerd:v1.0"]
services:
  - {name: web, image: "nginx:1.25-alpine"}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """An image made of other people's images."""
    path = tmp_path / "theirs.yml"
    path.write_text(YAML)
    return path


def test_cells_are_planned_with_it(theirs: Path) -> None:
    wanted = Wanted(images=(str(theirs),), machines=("qemu-arm64", "qemu-s390x"), library=True)
    found = read(wanted)
    assert [one.spec.references for one in planned(found)] == [("kernel", "init", "nginx")] * 2
    told = [str(one) for spec in found.images for one in spec.substitutions]
    assert told[0] == "kernel.image: linuxkit/kernel:6.6.13 is the library's kernel" and len(told) == 5, "once"


def test_workers_know_of_it() -> None:
    assert Settings(cache=Path("c"), lock=Path("l")) == Settings(cache=Path.cwd() / "c", lock=Path.cwd() / "l")
    assert Settings.from_json(json.loads(json.dumps(Settings(library=True).to_json()))) == Settings(library=True)


@pytest.mark.parametrize("words", [("compare", "THEIRS", "THEIRS"), ("calibrate", "THEIRS", "--no-history")])
def test_boots_to_be_compared_are_built_with_it(
    words: tuple[str, ...], theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def build(_: Builder, spec: ImageSpec, __: Arch) -> Image:
        asked.append(spec.references)
        raise HostError("enough")

    monkeypatch.setattr(Builder, "build", build)
    argv = [str(theirs) if word == "THEIRS" else word for word in words]
    done = CliRunner().invoke(app, [*argv, "-m", "qemu-arm64", "--library"])
    assert (asked, done.exit_code) == ([("kernel", "init", "nginx")], EXIT_HOST)


def test_a_run_of_their_file(theirs: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "from harness.cli import main; main()", "matrix", "--image", str(theirs), "--machine",
            "qemu-arm64", "--library", "--no-history", "--results", str(tmp_path / "out"), "-k", "size"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "services[0].image: nginx:1.25-alpine is the library's nginx\n" in done.stderr
    (cell,) = json.loads((tmp_path / "out/results.json").read_text())["cells"]
    assert cell["arch"] == "arm64" and cell["size"] > 0
