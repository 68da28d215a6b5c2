"""`harness build -o` replaces what an earlier build left there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.images.folders import placed
from harness.errors import ImageError, UserError
from harness.image import Image


def fill(folder: Path, cmdline: str = "") -> Image:
    folder.mkdir()
    manifest = f'{{"schema": 1, "name": "os", "arch": "arm64", "format": "raw", "cmdline": "{cmdline}", "files": []}}'
    (folder / "manifest.json").write_text(manifest)
    return Image(folder)


def test_an_image_of_before_is_replaced(tmp_path: Path) -> None:
    assert placed(tmp_path / "out", fill).cmdline == ""
    image = placed(tmp_path / "out", lambda folder: fill(folder, "quiet"))
    assert (image.folder.name, Image(image.folder).cmdline) == ("os-arm64-raw", "quiet")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["os-arm64-raw"]


def test_what_is_no_image_stays(tmp_path: Path) -> None:
    (tmp_path / "os-arm64-raw").mkdir()
    (tmp_path / "os-arm64-raw/letters").write_text("mine")
    with pytest.raises(UserError, match="is there, and is no image"):
        placed(tmp_path, fill)
    assert (tmp_path / "os-arm64-raw/letters").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["os-arm64-raw"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    placed(tmp_path, fill)

    def broken(folder: Path) -> Image:
        fill(folder)
        raise ImageError("it is damaged")

    with pytest.raises(ImageError):
        placed(tmp_path, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["os-arm64-raw"]
