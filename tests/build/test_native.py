"""The guest's native programs: their bytes are what their source says, and their complaints can be read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES

NATIVE = paths.GUEST / "native"
PROGRAMS = [f"{arch}/{program}" for arch in ARCHES for program in ("stage1", "mark")]
COMPILERS = [f"{triplet}-linux-gnu-gcc-12" for triplet in ("x86_64", "aarch64", "s390x")]


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    absent = [name for name in COMPILERS if not shutil.which(name)]
    if absent and not os.environ.get("CI"):
        pytest.skip(f"not installed: {', '.join(absent)}")
    out = tmp_path_factory.mktemp("native")
    subprocess.run(["sh", str(NATIVE / "build.sh"), str(out)], check=True)
    return out


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_checked_in_bytes_are_what_the_source_makes(rebuilt: Path, program: str) -> None:
    assert (rebuilt / program).read_bytes() == (NATIVE / "bin" / program).read_bytes()


def test_every_checked_in_program_is_known() -> None:
    found = sorted(str(path.relative_to(NATIVE / "bin")) for path in (NATIVE / "bin").rglob("*") if path.is_file())
    assert found == sorted(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_small_and_executable(program: str) -> None:
    path = NATIVE / "bin" / program
    assert path.stat().st_size < 8192 and os.access(path, os.X_OK)
