"""The guest's native programs: their bytes are what their source says, and their complaints can be read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tiers import needs

from harness import paths
from harness.arch import ARCHES
from harness.spec.rules.library import stand_ins
from harness.tree import cpio
from harness.tree.cpio import CpioMember

NATIVE = paths.GUEST / "native"
NAMES = ("stage1", "stage1_bare", "stage1_verity", "stage1_verity_bare", "mark", "await", "power", "libsystemd.so.0")
PROGRAMS = [f"{arch}/{program}" for arch in ARCHES for program in NAMES]
COMPILERS = [f"{triplet}-linux-gnu-gcc-12" for triplet in ("x86_64", "aarch64", "s390x")]


@pytest.fixture(scope="module")
@needs("builds")
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


def last_words(tmp_path: Path, warm: Path, *members: CpioMember, stage: str = "stage1", words: str = "") -> str:
    """Boot the image's kernel with an initrd of `members` after the first stage; return its mark of failure."""
    (image,) = (warm / "images").iterdir()
    initrd = tmp_path / "initrd"
    with initrd.open("wb") as out:
        init = CpioMember("init", 0o755, NATIVE / "bin/arm64" / stage)
        cpio.write(
            out, [CpioMember("dev", 0o755), CpioMember("modules", 0o755), CpioMember("newroot", 0o755), init, *members]
        )
    argv = [ARCHES["arm64"].qemu, "-M", "virt", "-cpu", "cortex-a57", "-m", "128", "-accel", "tcg", "-nographic"]
    argv += ["-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", str(image / "kernel"), "-initrd", str(initrd)]
    argv += ["-append", f"console=ttyAMA0 quiet panic=-1 cryptomgr.notests {words}"]
    console = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=180).stdout
    lines = [line for line in console.decode(errors="replace").splitlines() if "stage1 failed" in line]
    assert len(lines) == 1, console.decode(errors="replace")[-2000:]
    return lines[0].partition("harness: ")[2].strip()


@pytest.mark.skipif(not shutil.which(ARCHES["arm64"].qemu), reason="no QEMU for arm64")
def test_a_failing_first_stage_says_what_and_why(tmp_path: Path, warm: Path) -> None:
    assert last_words(tmp_path, warm) == "stage1 failed: open /root.squashfs: errno 2 (ENOENT)"
    broken = CpioMember("modules/00.ko", 0o644, b"this is not a module")
    told = last_words(tmp_path, warm, broken)
    assert told == "stage1 failed: load module /modules/00.ko: errno 8 (ENOEXEC)"
    no_loop = CpioMember("root.squashfs", 0o400, b"no squashfs")
    assert last_words(tmp_path, warm, no_loop) == "stage1 failed: open /dev/loop7: errno 2 (ENOENT)"


HASH = "0123456789abcdef" * 4


@pytest.mark.skipif(not shutil.which(ARCHES["arm64"].qemu), reason="no QEMU for arm64")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "read roothash=: errno 2 (ENOENT)"),
        (f"roothash={HASH[1:]}", "read roothash=: errno 22 (EINVAL)"),
        *(
            pytest.param(*row, marks=pytest.mark.long)
            for row in (
                (f"roothash={HASH}0", "read roothash=: errno 22 (EINVAL)"),
                (f"roothash={HASH[1:]}g", "read roothash=: errno 22 (EINVAL)"),
                (f"roothash={HASH}", "find partition 01234567-89ab-cdef-0123-456789abcdef: errno 19 (ENODEV)"),
            )
        ),
    ],
)
def test_a_first_stage_without_its_verified_root_says_so(words: str, told: str, tmp_path: Path, warm: Path) -> None:
    """The last waits half a minute for a disk that does not come."""
    assert last_words(tmp_path, warm, stage="stage1_verity", words=words) == f"stage1 failed: {told}"


def test_every_architecture_has_the_same_stand_ins() -> None:
    for arch in ARCHES.values():
        assert sorted(path.name for path in (paths.GUEST / "native/bin" / arch.name).glob("*.so.*")) == stand_ins()
