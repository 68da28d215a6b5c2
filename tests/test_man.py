"""Manual pages: of every command, with all its options, and roff that groff takes without a word."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import options
from harness.cli import app
from harness.cli.man import _said, pages


def test_every_command_has_a_page_with_all_its_options() -> None:
    found = pages(app)
    assert set(found) == {"harness.1", *(f"harness-{name}.1" for name in app.commands)}
    for name in app.commands:
        page = found[f"harness-{name}.1"]
        assert all(_said(f"--{row.name}") in page for row in options.of(name) if not row.argument), name
        assert f"harness\\-{name} (1)" in found["harness.1"]


def test_nothing_of_a_text_is_a_request_or_an_escape() -> None:
    assert _said(".sp \\n a-b 'c'") == "\\&.sp \\en a\\-b \\(aqc\\(aq"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_groff_takes_every_page_without_a_word(tmp_path: Path) -> None:
    written = CliRunner().invoke(app, ["man", str(tmp_path)]).output.split()
    assert len(written) == len(app.commands) + 1
    argv = ["groff", "-man", "-Tutf8", "-ww", "-z", *written]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
