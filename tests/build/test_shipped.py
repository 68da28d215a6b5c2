"""What `pip install` brings: all that the harness needs lies in the package, and works from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

# where each lies here, and where in the wheel
SHIPPED = {"harness/components": "harness/components", "harness/guest": "harness/guest",
           "cases": "harness/_shipped/cases", "machines": "harness/_shipped/machines"}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, made by setuptools itself and without its zip: that needs nothing from the network."""
    work = tmp_path_factory.mktemp("wheel")
    source, out = work / "source", work / "installed"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        if (paths.TOP / name).exists():
            shutil.copy(paths.TOP / name, source)
    for name in ("harness", "cases", "machines"):
        shutil.copytree(paths.TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    argv = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(out)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True)
    return out


def files(top: Path) -> dict[str, Path]:
    """What is shipped, by the name it has here."""
    found = {}
    for name, inside in SHIPPED.items():
        place = top / (name if top == paths.TOP else inside)
        found |= {f"{name}/{path.relative_to(place)}": path for path in place.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if path.suffix != ".pyc"}


@pytest.mark.slow
def test_every_file_is_shipped(installed: Path) -> None:
    assert set(files(paths.TOP)) - set(files(installed)) == set()
    assert "harness/guest/native/bin/s390x/stage1" in files(installed)


def test_nothing_else_is_at_the_top(installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {"harness"}


def test_programs_stay_programs(installed: Path) -> None:
    here = files(paths.TOP)
    for name, there in files(installed).items():
        assert bool(here[name].stat().st_mode & 0o100) == bool(there.stat().st_mode & 0o100), name


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["machine", "list"], "qemu-s390x"),
        (["lint", "{top}/machines", "{top}/cases"], "default.yml: image, fine"),
        (["matrix", "--help"], "--mirror"),
        (["matrix", "--image", "default", "-m", "qemu-arm64", "--", "--collect-only", "-q"], "[default-qemu-arm64]"),
    ],
)
def test_commands_work_from_there_and_leave_nothing(
    installed: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    top = installed / "harness/_shipped"
    argv = [sys.executable, "-c", "from harness.cli import main; main()", *(word.format(top=top) for word in words)]
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert list(tmp_path.iterdir()) == []
