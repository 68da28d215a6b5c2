"""A pytest to test: its own folder, and cells that cost nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inner_pytest import Inner, environment
from tiers import needs


@pytest.fixture
@needs("slow")
def inner(tmp_path: Path) -> Callable[..., Inner]:
    """Run pytest on the text of a test file: ``inner(text, cells=[…], args=[…], **settings)``."""

    def run(text: str, *, cells: list[Any], args: tuple[str, ...] = (), **settings: Any) -> Inner:
        (tmp_path / "test_inner.py").write_text(text)
        named = [cell if isinstance(cell, list) else [cell, ""] for cell in cells]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "fake_cells", "-p", "no:cacheprovider", "--rootdir=.", "-c",
             os.devnull, "test_inner.py", "--harness-results=results", "--harness-machine=x", "--color=no", *args],
            cwd=tmp_path, env=environment(tmp_path, {"cells": named, **settings}), capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        return Inner(done.returncode, done.stdout + done.stderr, tmp_path)

    return run
