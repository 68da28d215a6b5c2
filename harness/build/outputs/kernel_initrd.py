"""A kernel and an initrd that carries the root: what QEMU and boot loaders take; the probe lies beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.build import formats
from harness.build.outputs import OutputFiles, OutputParts

FORMAT = "kernel+initrd"


def make(parts: OutputParts, folder: Path) -> OutputFiles:
    """Write kernel, initrd and probe."""
    stage, probe = parts.first_stage, parts.probe
    shutil.copyfile(parts.kernel, folder / "kernel")
    formats.initrd(folder / "initrd", parts.arch, stage.modules, parts.root.squashfs, stage.ucode, bare=stage.bare)
    formats.probe(folder / "probe", probe.modules, probe.busybox)
    return OutputFiles(
        shipped=("kernel", "initrd"),
        root="initrd",
        root_size=parts.root.squashfs.stat().st_size,
        beside=("probe",),
        boot={"kernel": "kernel", "initrd": "initrd", "probe": "probe"},
    )
