"""How large an image is, and that what is shipped is what was built."""

import hashlib

import pytest

from harness import paths
from harness.suite import judge


def test_size_within_budget(cell, budget):
    size = cell.built.size
    assert size <= budget.size * 1e6, f"{size / 1e6:.2f} MB shipped, {budget.size:g} MB allowed"


def test_files_are_as_the_manifest_says(image):
    for row in image.manifest["files"]:
        data = (image.folder / row["name"]).read_bytes()
        assert len(data) == row["size"], row["name"]
        assert hashlib.sha256(data).hexdigest() == row["sha256"], row["name"]


def test_no_probe_in_what_is_shipped(image):
    beside = [row["name"] for row in image.manifest["files"] if not row["shipped"]]
    probe = [path.read_bytes() for path in (paths.GUEST / "probe").iterdir()]
    if image.parts.initrd:
        assert beside == ["probe"]
        names = judge.cpio_names(image.initrd.read_bytes())
        assert "root.squashfs" in names, f"the initrd's files: {names}"
        assert not [name for name in names if "probe" in name.split("/")]
    else:
        assert beside == []
        shipped = b"".join(path.read_bytes() for path in image.parts.shipped.values())
        if b"root.squashfs" not in shipped:
            pytest.skip("not run: this format is compressed as a whole, and nothing can be looked for in it")
        assert not [text for text in probe if text in shipped]
    ours = {hashlib.sha256(text).hexdigest() for text in probe}
    assert not [path for row in image.manifest["components"] for path, _, digest in row["files"] if digest in ours], (
        "the root has a file of the probe's"
    )
