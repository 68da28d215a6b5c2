"""Images of runs before, found in the cache by what they ship and by their command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.build.kept import image_of
from harness.image import SCHEMA
from harness.store import digest_of

WANTED = digest_of({"kernel": "6" * 64})


@pytest.mark.parametrize(
    ("booted", "found"),
    [
        ("quiet console=x", "quiet"),
        ("quiet audit=1 console=x", "quiet audit=1"),
        ("quiet audit=10 console=x", "quiet"),
        ("quiet", "quiet"),
        ("loud console=x", ""),
    ],
)
def test_the_words_are_in_no_file_so_the_line_of_the_boot_tells_which_image(
    booted: str, found: str, tmp_path: Path
) -> None:
    files = [{"name": "kernel", "size": 7, "sha256": "6" * 64, "shipped": True}]
    for line in ("quiet audit=1", "quiet"):
        folder = tmp_path / "images" / digest_of(line)
        folder.mkdir(parents=True)
        manifest = {"schema": SCHEMA, "files": files, "cmdline": line}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "images/damaged").mkdir()
    (tmp_path / "images/damaged/manifest.json").write_text("{")
    image = image_of(tmp_path, WANTED, booted)
    assert (image.cmdline if image else "") == found
    assert image_of(tmp_path, "5" * 64, booted) is image_of(tmp_path, "", booted) is None
