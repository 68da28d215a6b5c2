"""The whole library, booted: every component does its job on every architecture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()", "matrix"]


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_component_does_its_job(tmp_path: Path) -> None:
    argv = [*HARNESS, "cases/library.yml", "--results", str(tmp_path / "out"), "--timeout-multiplier", "4"]
    done = subprocess.run(argv, cwd=paths.TOP, capture_output=True, text=True, timeout=7000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
