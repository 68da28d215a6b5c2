"""No secret of a board in any file that a run writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths, secrets
from harness.errors import MachineError
from harness.run.events import Events, of_error
from harness.secrets import SHOWN, hide, redact, redact_bytes
from harness.spec import load_machine
from harness.spec.models.machine import MachineSpec
from harness.system.transcript import Transcript

from .standins import standin

pytestmark = pytest.mark.slow

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


def test_what_was_redacted_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WORD", "secret")
    hide(["LAB_WORD"])
    assert redact(redact("a secret")) == "a [secret]"
    assert redact_bytes(redact_bytes(b"a secret")) == b"a [secret]"


def test_a_machine_from_another_process_brings_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "desk.yml"
    described = {"console": {"serial": "/dev/ttyUSB0"}, "secrets_env": ["LAB_PASSWORD"]}
    path.write_text(json.dumps({"arch": "arm64", "console": "ttyAMA0", "board": described}))
    handed = load_machine(path).model_dump_json()
    secrets.forget()
    MachineSpec.model_validate_json(handed)
    assert redact(SECRET) == SHOWN


def test_no_file_and_no_error_has_it(tmp_path: Path) -> None:
    with Transcript(tmp_path / "transcript.txt", {"command": f"tool -P {SECRET}"}) as transcript:
        transcript.write(b"Password: " + SECRET.encode() + b"\nlogin: ", 1.0)
    error = MachineError(f"no {SECRET}", details=f"it said {SECRET}", hint=f"not {SECRET}")
    Events(tmp_path / "events.jsonl").tell("boot", error=of_error(error), words=[SECRET])
    assert "heron" not in str(error)
    for file in tmp_path.iterdir():
        assert "heron" not in file.read_text() and SHOWN in file.read_text()


LEAK = """
import os

def test_leak(shell):
    secret = os.environ["LAB_PASSWORD"]
    print("printed:", secret)
    shell.run(f"echo 'on the console: {secret}' >/dev/console")
    assert shell.run(f"echo '{secret}'").text == "another"

def test_leak_of_the_harness(system):
    from harness.errors import ImageError
    raise system.error(ImageError, "no " + os.environ["LAB_PASSWORD"])
"""


def test_no_file_of_a_run_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "brisk-heron-42")
    (tmp_path / "test_leak.py").write_text(LEAK)
    (tmp_path / "plan.yml").write_text(
        json.dumps({"images": [{"path": str(paths.CASES / "images/minimal.yml")}], "machines": ["board/standin.yml"],
                    "cases": ["test_leak.py"]})
    )  # fmt: skip
    argv = [sys.executable, "-c", "from harness.cli import main; main()", "matrix", "plan.yml", "--results", "out",
            "--no-history", "-n", "1", "--", "--junitxml=out/junit.xml"]  # fmt: skip
    with standin(tmp_path / "board") as board:
        board.machine(secrets_env=["LAB_PASSWORD"])
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"transcript.txt", "record.json", "events.jsonl", "results.json", "junit.xml"} <= {
        path.name for path in files
    }
    assert [path for path in files if b"heron" in path.read_bytes()] == []
    assert "heron" not in done.stdout + done.stderr
    transcript = next(path for path in files if path.name == "transcript.txt").read_text()
    assert "on the console: [secret]" in transcript
