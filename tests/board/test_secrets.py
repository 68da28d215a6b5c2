"""No secret of a board in any file that a run writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import secrets
from harness.boot.transcript import Transcript
from harness.errors import MachineError
from harness.secrets import SHOWN, hide, redact, redact_bytes
from harness.suite.events import Events, of_error

SECRET = 'brisk "heron" <42>'


@pytest.fixture(autouse=True)
def _hidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LAB_PASSWORD", SECRET)
    monkeypatch.setenv("LAB_SHORT", "abc")
    hide(["LAB_PASSWORD", "LAB_SHORT", "LAB_NOT_SET"])
    yield
    secrets.forget()


def test_every_spelling_goes() -> None:
    for text in (
        SECRET,
        json.dumps({"a": SECRET}),
        "brisk &quot;heron&quot; &lt;42&gt;",
        "brisk%20%22heron%22%20%3C42%3E",
    ):
        assert "heron" not in redact(text) and SHOWN in redact(text)
    assert redact_bytes(b"1" + SECRET.encode() + b"2") == b"1[secret]2"
    assert redact("abc") == "abc"  # too short to be told from other words


def test_a_secret_within_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_LONGER", f"{SECRET}-and-more")
    hide(["LAB_LONGER"])
    assert redact(f"{SECRET}-and-more") == SHOWN


def test_no_file_and_no_error_has_it(tmp_path: Path) -> None:
    with Transcript(tmp_path / "transcript.txt", {"command": f"tool -P {SECRET}"}) as transcript:
        transcript.write(b"Password: " + SECRET.encode() + b"\nlogin: ", 1.0)
    error = MachineError(f"no {SECRET}", details=f"it said {SECRET}", hint=f"not {SECRET}")
    Events(tmp_path).tell("boot", error=of_error(error), words=[SECRET])
    assert "heron" not in str(error)
    for file in tmp_path.iterdir():
        assert "heron" not in file.read_text() and SHOWN in file.read_text()
