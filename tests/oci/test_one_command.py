"""A container image or a file of LinuxKit's in, a booted system out: no YAML to write, no registry to ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from handmade import layout, packed
from typer.testing import CliRunner

from harness import paths
from harness.arch import ARCHES
from harness.build.debian import Debian
from harness.build.layer import make_layer
from harness.build.settings import Settings
from harness.cli import app
from harness.image import Image
from harness.spec import load_component
from harness.store import Store

LINUXKIT = """\
kernel: {image: "linuxkit/kernel:6.6.13", cmdline: "console=ttyAMA0", ucode: intel-ucode.cpio}
init: ["linuxkit/init:v1.0", "linuxkit/runc:v1.0", "linuxkit/containerd:v1.0", "linuxkit/ca-certificates:v1.0"]
onboot:
  - {name: sysctl, image: "linuxkit/sysctl:v1.0"}
  - {name: rngd1, image: "linuxkit/rngd:v1.0", command: ["/sbin/rngd", "-1"]}
  - name: dhcpcd
    image: linuxkit/dhcpcd:v1.0
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - {name: getty, image: "linuxkit/getty:v1.0", env: [INSECURE=true]}
  - {name: rngd, image: "linuxkit/rngd:v1.0"}
  - name: web
    image: nginx:1.25-alpine
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
    binds: ["/etc/resolv.conf:/etc/resolv.conf"]
"""


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


def test_a_file_of_linuxkits_boots(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yml"
    path.write_text(LINUXKIT)
    said = run("boot", path, "--library", "-m", "qemu-arm64", "--json")
    record = json.loads(said[said.index("{") :])
    assert record["milestones"][-1]["name"] == "ready"
    said = run("build", path, "--library", "--arch", "arm64", "--json")
    (built,) = json.loads(said[said.index("[\n") :])
    rows = {row["key"]: row for row in Image(Path(built["folder"])).manifest["substitutions"]}
    assert rows["onboot[2].image"] == {
        "key": "onboot[2].image", "reference": "linuxkit/dhcpcd:v1.0", "component": "dhcp", "without": ["command"],
        "command": [],
    }  # fmt: skip
    assert len(rows) == 11
