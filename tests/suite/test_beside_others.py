"""The plugin in a project of somebody else's: its options, its fixtures, and the outcomes of other plugins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

OTHERS = """
import pytest
def pytest_addoption(parser):
    for name in ("--image", "--machine", "--plan", "--results", "--cache", "--lock"):
        parser.addoption(name, default="theirs")
@pytest.fixture
def image(request): return request.config.getoption("--image")
"""
pytestmark = pytest.mark.slow  # each is a pytest of its own
# what pytest-rerunfailures does: a failed attempt is told as "rerun", and the case runs anew
RERUNS = """
import pytest
from _pytest.runner import runtestprotocol
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if "flaky" not in item.name: return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if report.when == "call":
            report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
    item._initrequest()
    runtestprotocol(item, nextitem=nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
OUTCOMES = """
import pytest
COUNT = []
def test_flaky(cell):
    COUNT.append(1)
    assert len(COUNT) > 1
@pytest.mark.xfail(reason="known upstream")
def test_expected(cell): assert False
@pytest.mark.xfail
def test_unexpected(cell): pass
def test_parts(cell, subtests):
    for number in range(3):
        with subtests.test(number=number): pass
def test_plain(cell): pass
"""


def plain(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=.", "test_x.py"]
    return subprocess.run([*argv, "--color=no", *words], cwd=folder, capture_output=True, text=True, check=False,
                          env={**environment, "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip


def test_options_and_fixtures_of_a_project_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(OTHERS)
    (tmp_path / "test_x.py").write_text("def test_x(image): assert image == 'mine'\n")
    done = plain(tmp_path, "--image", "mine")
    assert done.returncode == 0, done.stdout


def test_a_project_s_fixture_stays_its_own_beside_a_run_of_the_harness(inner, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(OTHERS)
    ran = inner("def test_theirs(image): assert image == 'theirs'\ndef test_ours(cell): pass\n", cells=["a", "b"])
    assert ran.code == 0, ran.text
    assert ran.cells["a"]["cases"]["passed"] == ran.cells["b"]["cases"]["passed"] == 1
    assert ran.results["other"]["cases"]["passed"] == 1


FIXTURES = ("cell", "image", "machine", "budget", "expect", "system", "shell", "exact", "boot", "variant")


def test_a_fixture_without_its_options_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("".join(f"def test_{name}({name}): pass\n" for name in FIXTURES))
    done = plain(tmp_path, "-rE")
    assert done.returncode == 1
    said = dict(re.findall(r"^ERROR test_x\.py::test_(\w+) - (.*)$", done.stdout, re.M))
    assert said.keys() == set(FIXTURES), done.stdout
    assert done.stdout.count("--harness-image IMAGE and --harness-machine MACHINE") >= len(FIXTURES)
    assert "not found" not in done.stdout


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--harness-results=out", "--harness-image=minimal", "--harness-machine=qemu-arm64"),
        ("-n2", "--harness-plan=plan.yml"),
    ],
)
def test_listing_builds_nothing_and_leaves_nothing(tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "test_x.py").write_text("def test_x(system): pass\ndef test_y(): pass\n")
    (tmp_path / "plan.yml").write_text("images: [{path: minimal}]\nmachines: [qemu-arm64]\n")
    done = plain(tmp_path, "--collect-only", "-q", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("test_x[minimal-qemu-arm64]" in done.stdout) == bool(more)
    assert "building" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.yml", "test_x.py"]


def test_cases_whose_asserts_python_leaves_out_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    (tmp_path / "test_x.py").write_text("def test_x(): pass\n")
    assert plain(tmp_path).returncode == 0  # which is nothing of the harness
    done = plain(tmp_path, "--harness-image=minimal", "--harness-machine=qemu-arm64")
    assert done.returncode == 4
    assert "each case would pass: unset PYTHONOPTIMIZE" in done.stderr + done.stdout


def test_listing_says_what_is_wrong_with_the_options(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_x(system): pass\n")
    done = plain(tmp_path, "--collect-only", "--harness-image=minimun", "--harness-machine=qemu-arm64")
    assert done.returncode == 4
    assert "did you mean minimal?" in done.stderr + done.stdout


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_outcomes_of_other_plugins_keep_their_names(inner, tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "conftest.py").write_text(RERUNS)
    ran = inner(OUTCOMES, cells=["a"], args=workers)
    assert ran.code == 0, ran.text
    counts = ran.cells["a"]["cases"]
    assert {name: count for name, count in counts.items() if count} == {"passed": 3, "xfailed": 1, "xpassed": 1}
    assert ran.cells["a"]["partial"] == {"rerun": 1, "subtests passed": 3}
    assert ran.cells["a"]["status"] == "passed"


def test_a_failed_subtest_fails_its_case(inner) -> None:
    text = "def test_parts(cell, subtests):\n    with subtests.test(): assert False\n"
    ran = inner(text, cells=["a"])
    assert ran.code == 1
    assert (ran.cells["a"]["status"], ran.cells["a"]["cases"]["failed"]) == ("failed", 1)
    assert ran.cells["a"]["partial"] == {"subtests failed": 1}


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        (["--image", "default"], ["default-qemu-arm64", "default-qemu-s390x", "default-qemu-x86_64"]),
        (["-m", "qemu-arm64"], ["default-qemu-arm64", "minimal-qemu-arm64"]),
        (["--image", "library-network", "-m", "qemu-arm64"], ["library-network-qemu-arm64"]),
        (["--image", "mine.yml+site.yml", "-m", "qemu-s390x"], ["mine-qemu-s390x"]),
        (["--image", "mine.yml"], ["mine-qemu-arm64", "mine-qemu-s390x", "mine-qemu-x86_64"]),
        (["plan.yml"], ["mine-qemu-arm64", "minimal-qemu-arm64"]),
    ],
)
def test_what_a_matrix_is_of(tmp_path: Path, words: list[str], cells: list[str]) -> None:
    image = (paths.CASES / "images/minimal.yml").read_text()
    files = {"mine.yml": image, "site.yml": "files: [{path: etc/site, contents: x}]\n",
             "plan.yml": "machines: [qemu-arm64]\nimages: [{path: mine.yml+site.yml}, {path: minimal}]\n"}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    code = "from harness.cli import main; main()"
    argv = [sys.executable, "-c", code, "matrix", *words, "--", "--collect-only", "-q"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(set(re.findall(r"\[([\w-]+)\]$", done.stdout, re.M))) == cells
    assert {path.name for path in tmp_path.iterdir()} == set(files)
