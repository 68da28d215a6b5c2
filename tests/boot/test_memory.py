"""An image that cannot fit into a machine's memory is refused before it is booted, with the sum and what to set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import paths
from harness.commands.images.bootable import BootRequest, fitted
from harness.errors import UserError
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions

MIB = 1 << 20


@pytest.mark.parametrize(
    ("arch", "mib", "said", "wanted"),
    [("arm64", 57, "259 MiB, and it has 256", 320), ("s390x", 78, "258 MiB", 320), ("x86_64", 100, "340 MiB", 384)],
)
def test_what_cannot_fit_is_refused(tmp_path: Path, arch: str, mib: int, said: str, wanted: int) -> None:
    manifest = {"schema": 1, "name": "big", "arch": arch, "cmdline": "", "files": []}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for name in ("kernel", "initrd", "probe"):
        (tmp_path / name).touch()
    with (tmp_path / "initrd").open("r+b") as file:
        file.truncate(mib * MIB)
    machine = load_machine(paths.MACHINES / f"qemu-{arch}.yml")
    options = BootOptions(mode="wall", out=tmp_path / "out")
    with pytest.raises(UserError, match=said) as caught, boot(Image(tmp_path), machine, options):
        pass
    assert caught.value.hint == f"give it `qemu: {{memory: {wanted}}}`, or boot with --memory {wanted}M"
    assert not (tmp_path / "out").exists()


def test_a_machine_is_fitted_by_the_command_line() -> None:
    found = fitted(load_machine("qemu-arm64"), BootRequest(memory="1G", more_disks=("64", "512M", "2G")))
    assert found.qemu is not None and (found.qemu.memory, found.qemu.disks) == (1024, (64, 512, 2048))
    for wrong in ({"memory": "3X"}, {"memory": "16"}, {"more_disks": ("0",)}):
        with pytest.raises(UserError, match=r"--(memory|disk) "):
            fitted(load_machine("qemu-arm64"), BootRequest(**wrong))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is a board"):
        fitted(load_machine("raspberry-pi-4"), BootRequest(memory="1G"))
