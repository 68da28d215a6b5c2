"""What `pip install` brings: all that the harness needs lies in the package, and works from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

SHIPPED = ("harness/components", "harness/guest", "cases", "machines")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, made by setuptools itself and without its zip: that needs nothing from the network."""
    work = tmp_path_factory.mktemp("wheel")
    source, out = work / "source", work / "installed"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (paths.TOP / name).exists():
            shutil.copy(paths.TOP / name, source)
    for name in ("harness", "cases", "machines"):
        shutil.copytree(paths.TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    argv = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", str(out)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True)
    return out


def files(top: Path) -> set[str]:
    found = {path for name in SHIPPED for path in (top / name).rglob("*") if path.is_file()}
    return {str(path.relative_to(top)) for path in found if path.suffix != ".pyc"}


@pytest.mark.slow
def test_every_file_is_shipped(installed: Path) -> None:
    assert files(paths.TOP) - files(installed) == set()
    assert "harness/guest/native/bin/s390x/stage1" in files(installed)
    assert not (installed / "tests").exists()


def test_programs_stay_programs(installed: Path) -> None:
    for name in files(installed):
        here, there = (bool((top / name).stat().st_mode & 0o100) for top in (paths.TOP, installed))
        assert here == there, name


def test_the_harness_works_from_there(installed: Path, tmp_path: Path) -> None:
    code = """
import sys
from harness import paths
from harness.build.pipeline import _guest_digest
from harness.spec import library, load_image, machines

print(paths.PACKAGE)
print(_guest_digest())
print(load_image([paths.CASES / "images/minimal.yml"]).name, "kernel" in library(), "qemu-arm64" in machines())
"""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    from harness.build.pipeline import _guest_digest

    assert done.stdout.splitlines() == [str(installed / "harness"), _guest_digest(), "minimal True True"]
