"""How large an image is, and that what is shipped is what was built."""

import hashlib

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
    assert [row["name"] for row in image.manifest["files"] if not row["shipped"]] == ["probe"]
    names = judge.cpio_names(image.initrd.read_bytes())
    assert "root.squashfs" in names, f"the initrd's files: {names}"
    assert not [name for name in names if "probe" in name.split("/")]
    ours = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (paths.GUEST / "probe").iterdir()}
    assert not [path for row in image.manifest["components"] for path, _, digest in row["files"] if digest in ours], (
        "the root has a file of the probe's"
    )
