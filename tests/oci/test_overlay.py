"""Layers merged as the kernel has them: its overlay is the oracle, or its recorded answers where none mounts."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from harness.bench.stacks import EXIT_NO_OVERLAY, Stack, argv, ours

RECORDED = Path(__file__).parent / "stacks.json.gz"
COUNT = 200


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_stacks_are_merged_as_the_kernel_does(tmp_path: Path) -> None:
    done = subprocess.run(argv(tmp_path, range(COUNT)), capture_output=True, text=True, check=False)
    if done.returncode == EXIT_NO_OVERLAY or "unshare:" in done.stderr:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_recorded_stacks_are_merged_as_the_kernel_did(tmp_path: Path) -> None:
    rows = json.loads(gzip.decompress(RECORDED.read_bytes()))
    assert len(rows) > 50
    for row in rows:
        layers = tuple(bytes.fromhex(text) for text in row["layers"])
        view = {path: (*one[:5], bytes.fromhex(one[5][1:]) if one[5][:1] == "=" else one[5])
                for path, one in row["view"].items()}  # fmt: skip
        folder = tmp_path / str(row["seed"])
        folder.mkdir()
        assert ours(Stack(layers, view), folder) == view, row["seed"]
