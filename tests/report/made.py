"""Runs that never were, in folders as a run leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.system.milestones import Milestone
from harness.system.record import BootRecord

FIGURES = {"ready": 318_718, "total": 412_132, "firmware": 93_414, "kernel": 171_556, "services": 30_382,
           "services/web": 26_083, "services/web cpu": 9_000}  # fmt: skip
MARKS = (("init", 171_556, {}), ("drivers", 288_336, {}), ("services/web start", 291_873, {}),
         ("services/web ready", 317_956, {"cpu": "9000"}), ("ready", 318_718, {"counter": "1890a3c"}))  # fmt: skip
DIGESTS = {"kernel": "6" * 64, "initrd": "7" * 64}
MANIFEST = {
    "schema": 1, "name": "minimal", "arch": "arm64", "kernel": "6.1.0-9-arm64", "cmdline": "quiet",
    "suite": "bookworm", "compression": "lz4", "root": {"sha256": "8" * 64, "size": 3_000_000, "paths": 90},
    "files": [{"name": "kernel", "size": 9_000_000, "sha256": "6" * 64, "shipped": True},
              {"name": "initrd", "size": 3_100_000, "sha256": "7" * 64, "shipped": True}],
    "components": [{"section": "services", "name": "web", "reference": "web", "size": 6_000_000, "own": 6_000_000,
                    "packages": ["nginx"], "files": [["usr/sbin/nginx", 4_000_000, "9" * 64],
                                                     ["lib/libssl.so.3", 2_000_000, "a" * 64]]}],
    "packages": [{"name": "nginx", "version": "1.22", "arch": "arm64", "sha256": "b" * 64, "source": "nginx",
                  "files": 2}, {"name": "adduser", "version": "3", "arch": "all", "source": "adduser", "files": 0}],
}  # fmt: skip
SIZES = {"kernel": 9_000_000, "first stage": 100_000, "services/web": 3_000_000}


def cell(name: str = "minimal-qemu-arm64", **changes: Any) -> dict[str, Any]:
    """A cell as results.json has it."""
    return {
        "id": name, "image": "images/minimal.yml", "machine": "qemu-arm64", "arch": "arm64", "size": 12_100_000,
        "sizes": SIZES, "spec": "5" * 64, "files": DIGESTS,
        "boot": {"exact": {"ready": 318.718, "power_on": 93.414, "figures": FIGURES,
                           "key": {"machine": "virt", "qemu": "7.2.22", "cmdline": "quiet"}, "moved": ""},
                 "wall": {"ready": 3162.638, "key": {"machine": "virt"}}},
        "exact_repeats": True, "root_readonly": True, "cases": {"passed": 29, "failed": 0, "skipped": 4},
        "status": "passed", "reason": "", "budget": {"size": 16.0, "ready": 400.0}, "failures": [],
        "host": {"cores": 2, "load": 1.31, "cpu": "EPYC", "accelerator": "tcg", "accelerator_reason": "no KVM"},
        **changes,
    }  # fmt: skip


def results(*cells: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Results of a run of some cells."""
    return {
        "schema": 1, "harness": "0.1.0", "when": "2026-11-24T09:35:01Z", "run": "cd01" * 8, "plan": "plan.yml",
        "source": {"commit": "5" * 40, "subject": "A change", "changed": False}, "exit": 0, "interrupted": False,
        "error": "", "cells": list(cells) or [cell()],
        "other": {"cases": {"passed": 0, "failed": 0, "skipped": 0}, "failures": []}, **changes,
    }  # fmt: skip


def record(mode: str = "exact", marks: Sequence[tuple[str, int, dict[str, str]]] = MARKS, **changes: Any) -> BootRecord:
    """A boot's record."""
    facts: dict[str, Any] = {
        "image": "minimal", "arch": "arm64", "machine": "qemu-arm64", "mode": mode, "probed": mode != "exact",
        "accel": "tcg", "accel_reason": "so", "argv": ("qemu",), "cmdline": "quiet", "cpu": "cortex-a57",
        "machine_type": "virt", "qemu_version": "7.2.22",
        "milestones": tuple(Milestone(name, us, us / 1e5, values) for name, us, values in marks),
        "ready_us": 318_718, "power_on_us": 93_414 if mode == "exact" else None, "host_ready_s": 5.4,
    }  # fmt: skip
    return BootRecord(**(facts | changes))


def boot(folder: Path, text: str | bytes = "[    0.318718] harness: ready\n", made: BootRecord | None = None) -> Path:
    """Leave what a boot leaves behind."""
    folder.mkdir(parents=True)
    (folder / "transcript.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "record.json").write_text((made or record()).dumps())
    return folder


def image(folder: Path) -> BootRecord:
    """Make an image's folder with a manifest, and return the record of a boot of it."""
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return record(argv=("qemu", "-kernel", str(folder / "kernel")))


def run(folder: Path, found: Mapping[str, Any] | None = None) -> Path:
    """Leave what a run leaves behind: its results, and three boots of each cell."""
    found = found or results()
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(found))
    for row in found["cells"]:
        base = folder / "cells" / row["id"]
        boot(base / "exact" / "1")
        boot(base / "exact" / "2")
        boot(base / "wall", made=record("wall"))
    return folder
