"""The one way to run a program: missing, failed, killed and slow are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import proc
from harness.errors import HostError
from harness.proc import CommandError


def test_output_and_input() -> None:
    done = proc.run(["cat"], stdin=b"\x00bytes\xff")
    assert done.stdout == b"\x00bytes\xff"


def test_input_from_and_output_to_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"through")
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        proc.run(["cat"], stdin=source, stdout=target)
    assert (tmp_path / "out").read_bytes() == b"through"


def test_no_input_unless_given() -> None:
    assert proc.run(["cat"]).stdout == b""


def test_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.tools.find", lambda program: None)
    with pytest.raises(HostError, match="tar2sqfs is not installed") as caught:
        proc.run(["tar2sqfs"])
    assert "squashfs-tools-ng" in caught.value.hint


def test_missing_program_of_no_known_package() -> None:
    with pytest.raises(HostError, match="no-such-program is not installed"):
        proc.run(["no-such-program"])
    with pytest.raises(HostError, match="not installed"):
        proc.run(["/no/such/program"])


def test_failure_carries_code_words_and_a_command_to_paste() -> None:
    with pytest.raises(CommandError, match="failed with exit code 3") as caught:
        proc.run(["sh", "-c", "echo 'its words' >&2; exit 3"])
    assert caught.value.code == 3
    assert "its words" in caught.value.details
    assert "sh -c 'echo '" in caught.value.details


def test_long_complaints_are_cut_to_their_end() -> None:
    with pytest.raises(CommandError) as caught:
        proc.run(["sh", "-c", "seq 1000 >&2; exit 1"])
    words = caught.value.details.splitlines()
    assert "1000" in words
    assert "980" not in words


def test_accepted_exit_codes() -> None:
    assert proc.run(["sh", "-c", "exit 3"], ok=(0, 3)).returncode == 3


def test_killed_program_names_the_signal() -> None:
    with pytest.raises(CommandError, match="SIGKILL") as caught:
        proc.run(["sh", "-c", "kill -9 $$"])
    assert caught.value.code == -9


def test_slow_program_is_ended() -> None:
    with pytest.raises(HostError, match=r"did not finish within 0\.1 s"):
        proc.run(["sleep", "60"], timeout=0.1)


def test_environment_and_folder(tmp_path: Path) -> None:
    done = proc.run(["sh", "-c", 'echo "$ONLY" "$HOME"; pwd'], env={"ONLY": "this"}, cwd=tmp_path)
    assert done.stdout.decode().splitlines() == ["this ", str(tmp_path)]
