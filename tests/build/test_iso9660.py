"""The small CD is one: a tool of others reads it, and finds the files, their content and the label."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.tree import iso9660


@pytest.mark.skipif(shutil.which("xorriso") is None, reason="xorriso is not installed")
def test_others_read_it(tmp_path: Path) -> None:
    contents = {"user-data": b"x" * 5000, "meta-data": b"instance-id: a\n", "empty": b""}
    cd = tmp_path / "cd"
    cd.write_bytes(iso9660.write("cidata", contents))
    for name, content in contents.items():
        out = tmp_path / name
        argv = ["xorriso", "-osirrox", "on", "-indev", str(cd), "-extract", f"/{name.upper()}", str(out)]
        subprocess.run(argv, check=True, capture_output=True)
        assert out.read_bytes() == content
    said = subprocess.run(["xorriso", "-indev", str(cd), "-pvd_info"], check=True, capture_output=True, text=True)
    assert "Volume Id    : cidata" in said.stdout


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="too many files"):
        iso9660.write("cidata", {f"file-number-{number}": b"" for number in range(60)})
