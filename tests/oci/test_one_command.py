"""A container image or a file of LinuxKit's in, a booted system out: no YAML to write, no registry to ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from handmade import layout, packed

from harness import paths
from harness.arch import ARCHES
from harness.build.debian import Debian
from harness.build.layer import make_layer
from harness.build.settings import Settings
from harness.cli import app
from harness.image import Image
from harness.spec import load_component
from harness.spec.lint import lint
from harness.store import Store

pytestmark = [pytest.mark.boots, pytest.mark.builds]

EXAMPLES = {path.stem: path for path in sorted((Path(__file__).parent / "linuxkit").glob("*.yml"))}


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_container_image_boots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    debian = Debian(store := Store(settings.cache), suite=settings.suite)
    busybox = make_layer(load_component(paths.COMPONENTS / "busybox.yml"), ARCHES["arm64"], debian, store)
    command = ["/bin/sh", "-c", "echo the app is up in $PLACE; exec sleep 3600"]
    layout(tmp_path / "app", packed(busybox.tar.read_bytes()), Entrypoint=command, Env=["PATH=/bin", "PLACE=a box"])
    monkeypatch.chdir(tmp_path)
    run("new", "oci:app:1", "-o", "os.yml")
    said = run("boot", "os.yml", "-m", "qemu-arm64", "--run", "cat /var/log/app.log; ls /containers/services")
    assert "the app is up in a box\napp\n" in said


def test_a_file_of_linuxkits_boots() -> None:
    path = EXAMPLES["webserver"]
    said = run("boot", path, "--library", "-m", "qemu-arm64", "--json")
    record = json.loads(said[said.index("{") :])
    assert record["milestones"][-1]["name"] == "ready"
    said = run("build", path, "--library", "--arch", "arm64", "--json")
    (built,) = json.loads(said[said.index("[\n") :])
    rows = {row["key"]: row for row in Image(Path(built["folder"])).manifest["substitutions"]}
    assert rows["onboot[2].image"] == {
        "key": "onboot[2].image", "reference": "linuxkit/dhcpcd:v1.0", "component": "dhcp", "without": [],
        "command": [], "writable": False,
    }  # fmt: skip
    assert len(rows) == 13


@pytest.mark.parametrize("name", EXAMPLES)
def test_files_as_linuxkits_users_write_them_need_no_registry(name: str) -> None:
    (finding,) = lint([EXAMPLES[name]], library=True)
    assert finding.complaints == ()
    assert [one.text for one in finding.references if not one.component] == []


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_they_are_built_for_all_architectures_and_boot(name: str) -> None:
    said = run("build", EXAMPLES[name], "--library", "--json")
    assert [row["arch"] for row in json.loads(said[said.index("[\n") :])] == list(ARCHES)
    for machine in ("qemu-x86_64", "qemu-arm64", "qemu-s390x"):
        run("boot", EXAMPLES[name], "--library", "-m", machine, "--json")  # ends well when it came to ready
