from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.build import explain, manifest
from harness.build.outputs import OutputFiles
from harness.build.rootfs import RootTree
from harness.image import Image
from harness.store import file_digest
from harness.tree.tree import Tree, plain


def sample(tmp_path: Path) -> dict[str, Any]:
    tree = Tree()
    tree.put("usr/bin/init", plain(b"i" * 300_000))
    tree.put("containers/services/a/rootfs/lib", plain(b"l" * 600_000))
    tree.put("containers/services/b/rootfs/lib", plain(b"l" * 600_000))
    tree.put("containers/services/b/rootfs/own", plain(b"o" * 100_000))
    root = RootTree(tree, [("init", "init", "init", ""), ("services", "a", "x", "containers/services/a"),
                       ("services", "b", "y", "containers/services/b")])  # fmt: skip
    for name, size in (("kernel", 1_000_000), ("initrd", 600_000), ("probe", 50_000), ("squashfs", 500_000)):
        (tmp_path / name).write_bytes(b"\0" * size)
    packages = [{"name": "z", "version": "1"}, {"name": "a", "version": "2"}]
    facts = {"name": "sample", "arch": "arm64", "compression": "lz4"}
    files = OutputFiles(("kernel", "initrd"), "initrd", 500_000, ("probe",), {"kernel": "kernel"})
    return manifest.make(facts, tmp_path, files, tmp_path / "squashfs", root, {"x": ("a",)}, packages)


def test_every_byte_is_somebodys_and_shared_ones_the_firsts(tmp_path: Path) -> None:
    data = sample(tmp_path)
    rows = {row["name"]: row for row in data["components"]}
    assert {name: (row["size"], row["own"]) for name, row in rows.items()} == {
        "init": (300_000, 300_000),
        "a": (600_000, 600_000),
        "b": (700_000, 100_000),
    }
    assert rows["a"]["packages"] == ["a"] and rows["b"]["packages"] == []
    assert [row["name"] for row in data["packages"]] == ["a", "z"]
    assert [(row["name"], row["shipped"]) for row in data["files"]] == [
        ("kernel", True), ("initrd", True), ("probe", False)
    ]  # fmt: skip
    assert data["root"] == {"sha256": file_digest(tmp_path / "squashfs"), "size": 500_000, "paths": 12,
                            "file": "initrd", "stored": 500_000}  # fmt: skip


def test_the_explanation_adds_up(tmp_path: Path) -> None:
    rows = list(explain.rows(sample(tmp_path)))
    assert (rows[0].label, rows[0].size, rows[0].share) == ("sample arm64", 1_600_000, 1.0)
    parts = [row for row in rows if row.depth == 1]
    assert sum(row.size for row in parts) == 1_600_000
    assert [row.label for row in parts] == ["kernel", "root filesystem", "first stage and its modules"]
    components = [row for row in rows if row.depth == 2]
    assert sum(row.size for row in components) == 500_000
    assert [(row.label, row.note) for row in components] == [
        ("services/a", ""), ("init/init", ""), ("services/b", "+0.30 MB shared")
    ]  # fmt: skip
    files = [row for row in rows if row.depth == 3]
    assert sum(row.size for row in files) == 500_000, "a shared file is shown once"


def test_many_files_are_summed_up(tmp_path: Path) -> None:
    data = sample(tmp_path)
    rows = list(explain.rows(data, files_shown=0))
    assert [row.label for row in rows if row.depth == 3] == ["1 file"] * 3


def test_what_is_too_small_to_matter_is_summed_up(tmp_path: Path) -> None:
    data = sample(tmp_path)
    data["components"][0]["files"] = [["usr/bin/init", 290_000, "x"], *([f"etc/{name}", 5_000, name] for name in "yz")]
    labels = [row.label for row in explain.rows(data) if row.depth == 3]
    assert labels == ["lib", "usr/bin/init", "2 smaller files", "own"]


def test_paths_are_as_their_component_has_them(tmp_path: Path) -> None:
    data = sample(tmp_path)
    paths = {
        "containers/onboot/000-a/lower/usr/bin/a": "usr/bin/a",
        "containers/services/b/rootfs/usr/bin/b": "usr/bin/b",
        "containers/services/c/config.json": "config.json",
        "containers/volumes/d/merged/containers/services/x/rootfs/y": "containers/services/x/rootfs/y",
        "usr/lib/modules/6.1.0-9-cloud-arm64/kernel/fs/ext4.ko": "kernel/fs/ext4.ko",
        "usr/lib/harness/mark": "usr/lib/harness/mark",
    }
    data["components"] = [{"section": "s", "name": path, "own": 10**6, "size": 10**6, "files": [[path, 10**6, path]]}
                          for path in paths]  # fmt: skip
    assert {row.label for row in explain.rows(data) if row.is_path} == set(paths.values())


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_every_line_fits_and_names_what_it_is_about(tmp_path: Path, width: int) -> None:
    data = sample(tmp_path)
    libraries = [f"usr/lib/aarch64-linux-gnu/security/lib{name}.so.3" for name in ("crypto", "ssl", "c")]
    rows = [[f"containers/services/a/rootfs/{path}", 10**6, path] for path in libraries]
    data["components"][1] |= {"own": 3 * 10**6, "size": 3 * 10**6, "files": rows}
    lines = list(explain.lines(data, width))
    assert max(map(len, lines)) <= width
    assert len({line.rindex("%") for line in lines}) == 1, "one column"
    labels = [re.sub(r" +\d+\.\d\d MB .*", "", line).strip() for line in lines]
    for path in libraries:
        (label,) = [label for label in labels if path.endswith(label.removeprefix("…"))]
        assert label.endswith(path.rpartition("/")[2][-9:]), "what tells it from the next one"
        assert label == path or width < 100


def test_a_name_that_is_too_long_keeps_its_end(tmp_path: Path) -> None:
    data = sample(tmp_path)
    data["components"] = [
        {"section": "init", "name": "x" * 80, "own": 1, "size": 1, "files": [["a/" + "b" * 90 + ".so", 1, "1"]]}
    ]
    lines = list(explain.lines({**data, "root": {"size": 500_000}}, 40))
    assert any(line.strip().startswith("init/xxx") and "… " in line for line in lines)
    assert any(line.strip().startswith("…bbb") and "b.so " in line for line in lines)


def test_an_empty_root_divides_by_nothing(tmp_path: Path) -> None:
    data = sample(tmp_path)
    data["components"] = []
    assert [row.depth for row in explain.rows(data)] == [0, 1, 1, 1]


def test_every_key_is_documented(warm: Path) -> None:
    text = (paths.TOP / "docs/manifest.md").read_text()
    (folder,) = (warm / "images").iterdir()
    known = set(re.findall(r"`([a-z0-9_]+)`", text))
    free = {"onboot", "onshutdown", "services"}  # below these: the image's own names

    def keys(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value)) if value else set()
        if not isinstance(value, dict):
            return set()
        below = (keys(list(one.values())) if key in free else keys(one) for key, one in value.items())
        return set(value).union(*below)

    assert keys(Image(folder).manifest) - known == set()
