"""The revision that a run was about."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.run import revision

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


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


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://git.example/lab/os.git", "git.example/lab/os"),
        ("https://me:secret@Git.example:8443/lab/os/", "git.example/lab/os"),
        ("git@git.example:lab/os.git", "git.example/lab/os"),
        ("ssh://git@git.example:22/lab/os", "git.example/lab/os"),
    ],
)
def test_a_project_has_one_name_whichever_way_it_was_cloned(tmp_path: Path, remote: str, name: str) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", remote)
    assert revision.project(tmp_path) == name


def test_a_project_without_a_remote_is_its_first_commit(tmp_path: Path) -> None:
    here, clone, shallow = tmp_path / "here", tmp_path / "clone", tmp_path / "shallow"
    assert revision.project(tmp_path) == revision.in_project(tmp_path, tmp_path / "x") == ""
    git(tmp_path, "init", "-q", str(here))
    for subject in ("one", "two"):
        git(here, "commit", "-q", "--allow-empty", "-m", subject)
    first, last = git(here, "rev-list", "HEAD").split()[::-1]
    git(tmp_path, "clone", "-q", str(here), str(clone))  # from a path on this host, which says nothing to another one
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{here}", str(shallow))
    assert revision.project(here) == revision.project(clone) == first[: revision.PROJECT]
    assert revision.project(shallow) == ""
    (here / "a").mkdir()
    assert revision.in_project(here / "a", here / "a/os.yml") == "a/os.yml"
    assert revision.in_project(here, tmp_path / "os.yml") == ""
    assert revision.between(here, first, last) == [(last, "two")]
    assert revision.between(here, last, first) == []
    assert revision.between(here, "0" * 40, last) is None
    assert revision.between(here, "--all", last) is None
