"""QEMU's Raspberry Pi 3B boots an image with a kernel for boards, by the machine that ships as an example."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.launch import boot
from harness.spec import load_image, load_machine
from harness.system import BootOptions

pytestmark = [pytest.mark.boots, pytest.mark.builds]

KERNEL = """description: Debian's generic kernel for arm64 boards
packages: [linux-image-arm64]
kernel:
  modules: [overlay, af_packet, ipv6, loop, squashfs]
"""
DTB = "bcm2837-rpi-cm3-io3.dtb"


def put_dtb(folder: Path, cache: Path, version: str) -> None:
    """Take the board's device tree out of the kernel's package, as a person would."""
    for deb in (cache / "debs").glob("*/package.deb"):
        field = subprocess.run(["dpkg-deb", "-f", str(deb), "Package"], capture_output=True, text=True, check=True)
        if field.stdout.strip() == f"linux-image-{version}":
            subprocess.run(["dpkg-deb", "-x", str(deb), str(folder / "unpacked")], check=True)
            (found,) = (folder / "unpacked").rglob(DTB)
            (folder / DTB).write_bytes(found.read_bytes())
            return
    raise AssertionError(f"no package of {version}")


@pytest.mark.long
def test_an_image_boots_on_it_and_answers_on_its_console(tmp_path: Path) -> None:
    (tmp_path / "board-kernel").mkdir()
    (tmp_path / "board-kernel/component.yml").write_text(KERNEL)
    image = (paths.CASES / "images/minimal.yml").read_text().replace("image: kernel\n", 'image: "@pkg:board-kernel"\n')
    (tmp_path / "pi.yml").write_text(image)
    settings = Settings()
    built = Builder(settings).build(load_image([tmp_path / "pi.yml"]), by_name("arm64"))
    (tmp_path / "pi3b.yml").write_text((paths.MACHINES / "qemu-raspi3b.yml").read_text())
    put_dtb(tmp_path, settings.cache, built.manifest["kernel"])
    options = BootOptions(mode="wall", out=tmp_path / "boot", probe=True, timeout=300, timeout_multiplier=2)
    with boot(built, load_machine(tmp_path / "pi3b.yml"), options) as system:
        system.wait_ready()
        system.prove()
        model = system.shell.run("cat /proc/device-tree/model", 60).text
        assert model.startswith("Raspberry Pi Compute Module 3")
        assert system.power_off()
