"""Output formats: each a file, all made of one root; and no image is given out against its manifest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from offline import Offline

from harness import paths
from harness.build import outputs
from harness.errors import ImageError, UserError
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.store import file_digest
from harness.system.options import BootOptions

ROOT = Path(__file__).parents[2]
MACHINE = paths.MACHINES / "qemu-arm64.yml"


@pytest.fixture
def cache(warm: Path, tmp_path: Path) -> Path:
    """A copy of a cache with everything made."""
    return Path(shutil.copytree(warm, tmp_path / "cache", ignore=shutil.ignore_patterns("locks", "tmp")))


def test_the_docs_list_the_formats() -> None:
    text = (ROOT / "docs/build.md").read_text()
    table = text.partition("| `--format` | files |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) == outputs.names()


@pytest.mark.parametrize("name", ["vhdx", "../tar", "kernel_initrd", "", "__init__", "_media"])
def test_an_unknown_format_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="unknown format") as caught:
        outputs.find(name)
    assert "iso, kernel+initrd, qcow2" in caught.value.hint


def test_another_format_is_made_of_the_same_root(cache: Path, offline: Offline) -> None:
    before = {path: path.stat().st_mtime_ns for path in (cache / "roots").rglob("root.squashfs")}
    (image,) = offline.build(cache, format="tar")
    assert {path: path.stat().st_mtime_ns for path in (cache / "roots").rglob("root.squashfs")} == before
    (row,) = image.manifest["files"]
    assert (row["name"], row["shipped"], image.manifest["boot"]) == ("root.tar", True, {})
    with tarfile.open(image.folder / "root.tar") as archive:
        assert "usr/bin/busybox" in archive.getnames()
    with (
        pytest.raises(UserError, match="no file that boots") as caught,
        boot(image, load_machine(MACHINE), BootOptions(mode="wall", out=cache)),
    ):
        pass
    assert "kernel+initrd" in caught.value.hint


def test_a_new_format_is_one_file(tmp_path: Path, warm: Path, offline: Offline) -> None:
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "harness/build/outputs/kernel_cmdline.py").write_text(
        "from harness.build.outputs import OutputFiles\n"
        'FORMAT = "kernel-cmdline"\n'
        "def make(parts, folder):\n"
        '    (folder / "words").write_text(parts.cmdline)\n'
        '    return OutputFiles(shipped=("words",), root="words", root_size=0)\n'
    )
    code = "import sys; from harness.cli import main; sys.exit(main())"
    cache = shutil.copytree(warm, tmp_path / "cache", ignore=shutil.ignore_patterns("locks", "tmp"))
    argv = [sys.executable, "-c", code, "build", str(offline.spec), "--arch", "arm64", "--offline", "--lock",
            str(offline.lock), "--format", "kernel-cmdline"]  # fmt: skip
    made = subprocess.run(
        argv, cwd=tmp_path, env={**os.environ, "HARNESS_CACHE": str(cache), "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    folder = Path(made.stdout.split()[-1])
    assert (folder / "words").read_text() == Image(folder).cmdline


@pytest.mark.parametrize("name", ["kernel", "initrd"])
def test_no_image_boots_against_its_manifest(cache: Path, name: str, tmp_path: Path) -> None:
    (folder,) = (cache / "images").iterdir()
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with (
        pytest.raises(ImageError, match=f"{name} is not the file that its manifest names"),
        boot(Image(folder), load_machine(MACHINE), BootOptions(mode="wall", out=tmp_path)),
    ):
        pass


def flips(cache: Path) -> list[Path]:
    """Return a file of every kind and name that the cache has, but those that are another's notes."""
    kinds = ("images", "roots", "layers", "kernels", "kernel-index", "debs", "resolved", "checked")
    found: dict[tuple[str, str], Path] = {}
    for kind in kinds:
        for path in sorted((cache / kind).rglob("*")):
            if path.is_file() and path.stat().st_size:
                name = path.name if kind in ("images", "roots", "layers", "kernels") else ""
                found.setdefault((kind, "licence" if path.parent.name == "licences" else name), path)
    return list(found.values())


def test_one_byte_flipped_anywhere_in_the_cache_is_never_used(cache: Path, offline: Offline) -> None:
    (good,) = offline.build(cache)
    want = {path.name: file_digest(path) for path in good.folder.iterdir() if path.is_file()}
    files = flips(cache)
    assert len(files) > 15
    for path in files:
        before, data = path.stat(), bytearray(path.read_bytes())
        at = (len(data) * 7) // 13
        data[at] ^= 1
        path.unlink()  # another file may be the same on the disk
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        kind = path.relative_to(cache).parts[0]
        if kind not in ("images", "checked"):
            shutil.rmtree(cache / "images")
        if kind not in ("images", "roots", "checked"):
            shutil.rmtree(cache / "roots")
        (made,) = offline.build(cache)
        assert made.folder == good.folder
        assert {one.name: file_digest(one) for one in made.folder.iterdir() if one.is_file()} == want, path
