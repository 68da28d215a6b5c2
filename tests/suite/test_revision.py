"""The revision that a run was about."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.run import revision

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def test_a_checkout_has_a_commit_and_perhaps_changes(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text("one")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "The first <plan>\n\nwith a body")
    found = revision.of(plan)
    assert found is not None
    assert found["subject"] == "The first <plan>"
    assert len(str(found["commit"])) == 40
    assert found["changed"] is False
    plan.write_text("two")
    assert revision.of(plan) == {**found, "changed": True}


def test_elsewhere_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision.of(tmp_path / "plan.yml") is None


def test_without_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.tools.find", lambda program: None)
    assert revision.of(tmp_path / "plan.yml") is None
