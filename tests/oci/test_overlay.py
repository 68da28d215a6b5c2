"""Layers merged as the kernel has them: its overlay is the oracle, or its recorded answers where none mounts."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench.stacks import Stack, ours

RECORDED = Path(__file__).parent / "stacks.json.gz"
COUNT = 200
# prints what is wrong of COUNT stacks, in a folder of its own that an overlay takes
LIVE = """
import subprocess, sys
from pathlib import Path
from harness.bench.stacks import can_mount, wrong
folder = Path(sys.argv[1])
if subprocess.run(["mount", "-t", "tmpfs", "stacks", folder]).returncode or not can_mount(folder):
    sys.exit(99)
found = [text for text in (wrong(seed, folder) for seed in range(int(sys.argv[2]))) if text]
print("\\n".join(found).encode("utf-8", "backslashreplace").decode())
sys.exit(bool(found))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_stacks_are_merged_as_the_kernel_does(tmp_path: Path) -> None:
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm", "--map-auto"]
    argv = [*unshare, sys.executable, "-c", LIVE, str(tmp_path), str(COUNT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "unshare:" in done.stderr:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr


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
