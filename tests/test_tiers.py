"""A quick test that boots, builds or serves fails, and says which marker it lacks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = """
import signal, subprocess
import pytest
from tiers import needs
from harness import paths, proc
from harness.arch import ARCHES, by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.spec import load_image

@pytest.fixture
@needs("boots")
def machine(): pass

@pytest.fixture
def indirect(machine): pass

@pytest.mark.parametrize("arch", ARCHES)
def test_boots(arch): proc.run([ARCHES[arch].qemu, "-machine", "none"])

def test_boots_elsewhere_and_looks_away(): subprocess.run(["qemu-system-x86_64"], check=False)

def test_builds():
    Builder(Settings()).build(load_image([paths.CASES / "images/minimal.yml"]), by_name("arm64"))

def test_serves(): subprocess.run(["sshd", "-D"], check=True)

def test_asks_for_a_version(): subprocess.run(["apt-get", "--version"], check=True)

def test_can_be_interrupted(): assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

@pytest.mark.builds
def test_marked(): proc.run(["qemu-system-x86_64"])

def test_marked_by_a_fixture_of_a_fixture(indirect): proc.run(["qemu-system-x86_64"])
"""


@pytest.mark.slow
def test_what_is_not_quick_is_refused_by_the_name_of_its_marker(tmp_path: Path) -> None:
    for name in ("conftest.py", "tiers.py"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "test_inner.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quick", "-rA", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=.",
         "--basetemp=tmp", "--color=no", "test_inner.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as in `pytest &` of a script
    )  # fmt: skip
    lines = done.stdout.splitlines()
    failed = {line.split()[1].partition("::")[2] for line in lines if line.startswith(("FAILED", "ERROR"))}
    passed = {line.split()[1].partition("::")[2] for line in lines if line.startswith("PASSED")}
    boots = {f"test_boots[{arch}]" for arch in ("x86_64", "arm64", "s390x")}
    assert failed == boots | {"test_boots_elsewhere_and_looks_away", "test_builds", "test_serves"}, done.stdout
    assert {"test_asks_for_a_version", "test_can_be_interrupted"} <= passed
    assert "2 deselected" in lines[-1]
    for program, marker in (("qemu-system-s390x", "boots"), ("apt-get", "builds"), ("sshd", "servers")):
        assert f'{program}: not under --quick: mark the test "{marker}"' in done.stdout


@pytest.mark.xdist_group("sources")
def test_what_belongs_together_runs_in_one_worker(request: pytest.FixtureRequest) -> None:
    """The scheduler goes by the end of the id: xdist 3.8 alone leaves none there under pytest 9.2."""
    grouped = request.config.getoption("loadgroup", False)
    assert request.node.nodeid.endswith("@sources") == bool(grouped)
