"""OCI images in a build: what it is made of, what it is known by, and what is refused only then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import index_of
from click.testing import CliRunner
from handmade import M, d, layout, layout_of, ln, packed, tar
from test_attached import IN_TOTO, artifact, buildkit, promise, put, statement

from harness.arch import by_name
from harness.build import attestations
from harness.build.explain import lines
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.cli import app
from harness.commands.images.build import BuildRequest
from harness.commands.images.build import build as build_command
from harness.commands.specs import private_part
from harness.errors import EXIT_IMAGE, EXIT_USER, UserError
from harness.image import Image
from harness.spec import load_image

pytestmark = pytest.mark.builds

ARM = by_name("arm64")
BASE = packed(tar(d("bin"), M("bin/tool", b"tool" * 1000, mode=0o4755), M("etc/old", b"old")))
TOP = packed(tar(M("etc/.wh.old"), M("etc/new", b"new")))
X = M("x", mode=0o755)  # the program of an image whose command is /x
YAML = "kernel: {image: kernel}\ninit: [init]\nservices: [{name: a, image: 'oci:img:1'}]\n"


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    """An image whose service is an OCI image, in a layout beside it."""
    layout(tmp_path / "img", BASE, TOP, Cmd=["/bin/tool"], Labels={"org.opencontainers.image.licenses": "MIT"})
    path = tmp_path / "image.yml"
    path.write_text(YAML)
    return path


def build(yaml: Path, **settings: Any) -> Image:
    return Builder(Settings(**settings)).build(load_image([yaml]), ARM)


def files_of(image: Image) -> dict[str, int]:
    """The container's files and their sizes."""
    rows = next(row for row in image.manifest["components"] if row["section"] == "services")["files"]
    return {path.split("/", 4)[-1]: size for path, size, _ in rows}


PLAIN = "kernel: {image: kernel}\ninit: [init]\n"


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o077 for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("private", [True, False])
def test_a_copy_that_has_an_oci_image_is_its_users_alone(yaml: Path, tmp_path: Path, private: bool) -> None:
    if not private:
        yaml.write_text(PLAIN)
    assert build_command([str(yaml)], Settings(), BuildRequest(arches="arm64", output=tmp_path / "out")) == 0
    assert (modes(tmp_path / "out/image-arm64") == {0}) == private


@pytest.mark.parametrize(("source", "private"), [("../elsewhere", "etc/x"), ("beside", "")])
def test_a_file_from_elsewhere_makes_an_image_private(tmp_path: Path, source: str, private: str) -> None:
    path = tmp_path / "folder/image.yml"
    path.parent.mkdir()
    (path.parent / source).write_text("of the host")
    path.write_text(f"{PLAIN}files: [{{path: etc/x, source: {source}}}]\n")
    assert private_part(load_image([path])) == private


def test_its_layers_make_the_container_and_the_manifest_names_them(yaml: Path) -> None:
    image = build(yaml)
    assert {"bin/tool": 4000, "etc/new": 3}.items() <= files_of(image).items() and "etc/old" not in files_of(image)
    (row,) = image.manifest["images"]
    assert (row["reference"], row["platform"], row["licences"]) == ("oci:img:1", "linux/arm64", "MIT")
    assert [layer["size"] for layer in row["layers"]] == [len(BASE), len(TOP)]
    index = json.loads((yaml.parent / "img/index.json").read_text())["manifests"][0]["digest"]
    assert row["digest"] != index, "the platform's manifest, not the index"
    assert (yaml.parent / "img/blobs/sha256" / row["digest"].removeprefix("sha256:")).is_file()


def test_an_image_is_known_by_what_its_tag_means_now(yaml: Path) -> None:
    first = build(yaml)
    assert build(yaml).folder == first.folder
    layout(yaml.parent / "img", BASE, Cmd=["/bin/tool"])
    second = build(yaml)
    assert second.folder != first.folder and "etc/old" in files_of(second)


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_whatever_carries_it_the_root_is_the_same(yaml: Path, tmp_path: Path) -> None:
    roots = {build(yaml).manifest["root"]["sha256"]}
    for transport in ("oci-archive", "docker-archive"):
        target = f"{transport}:{tmp_path}/{transport}.tar:registry.example/x:1"
        copy = [
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--override-arch",
            "arm64",
            f"oci:{tmp_path}/img:1",
            target,
        ]
        subprocess.run(copy, check=True)
        yaml.write_text(YAML.replace("oci:img:1", f"{transport}:{transport}.tar"))
        roots.add(build(yaml).manifest["root"]["sha256"])
    assert len(roots) == 1


def test_files_of_several_folders_each_name_their_own_layout(yaml: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    layout(tmp_path / "sub/img", TOP, tar(X), Cmd=["/x"])
    more = tmp_path / "sub/more.yml"
    more.write_text("services: [{name: b, image: 'oci:img:1'}]\n")
    image = Builder(Settings()).build(load_image([yaml, more]), ARM)
    assert [row["reference"] for row in image.manifest["images"]] == ["oci:img:1", "oci:sub/img:1"]


def test_names_that_are_no_text_are_built_and_can_be_shown(yaml: Path) -> None:
    layout(yaml.parent / "img", tar(X, M("x\udcff\u202e", b"odd" * 9000)), Cmd=["/x"])
    image = build(yaml)
    assert files_of(image)["x\\udcff\\u202e"] == 27_000
    assert any("x\\udcff" in line for line in lines(image.manifest, 100))
    lower = unpacked(image, yaml.parent) / "containers/services/a/lower"
    assert "x\udcff\u202e" in [path.name for path in lower.iterdir()]


def test_the_folder_that_it_starts_in_is_made_and_odd_roots_end_in_plain_words(yaml: Path) -> None:
    layout(yaml.parent / "img", tar(X), Cmd=["/x"], WorkingDir="/srv/app")
    assert (unpacked(build(yaml), yaml.parent) / "containers/services/a/lower/srv/app").is_dir()
    for layer, words in ((tar(X, M("etc")), "/etc is in the way"), (tar(X, ln("etc", "etc")), "links go in a circle")):
        layout(yaml.parent / "img", layer, Cmd=["/x"])
        with pytest.raises(UserError, match="services: a: oci:img:1: /etc") as caught:
            build(yaml)
        assert words in str(caught.value)


def test_an_architecture_that_is_not_there_is_refused(yaml: Path) -> None:
    with pytest.raises(UserError, match="is not there for linux/s390x") as caught:
        Builder(Settings()).build(load_image([yaml]), by_name("s390x"))
    assert "linux/arm64" in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "code", "words"),
    [
        (tar(M("../x")), EXIT_IMAGE, "'../x': leads out of the root"),
        (tar(M("x")), EXIT_USER, "services: a: oci:img:1 has no command"),
    ],
)
def test_what_shows_only_in_the_build_ends_in_plain_words(yaml: Path, layer: bytes, code: int, words: str) -> None:
    layout(yaml.parent / "img", layer)
    main = "import sys; from harness.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", main, "build", str(yaml), "--arch", "arm64"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in yaml.parent.iterdir()) == ["image.yml", "img"]


def test_the_limit_is_a_setting(yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_OCI_LIMIT", "12")
    assert Settings().oci_limit == 12
    for wrong in ("0", "8G", "-1", "1025", "²"):
        monkeypatch.setenv("HARNESS_OCI_LIMIT", wrong)
        with pytest.raises(UserError, match="whole GiB, 1 to 1024"):
            Settings()


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_a_volume_holds_the_layout_of_each_platform_that_it_names(yaml: Path, tmp_path: Path) -> None:
    layout_of(tmp_path / "two", {"arm64": [BASE, TOP], "s390x": [BASE]}, Cmd=["/x"])
    volumes = (
        "volumes:\n  - {name: here, image: 'oci:two:1', format: oci, readonly: true}\n"
        "  - {name: all, image: 'oci:two:1', format: oci, readonly: true, platforms: [linux/s390x, linux/arm64]}\n"
    )
    yaml.write_text(YAML + volumes)
    image = build(yaml)
    assert [row["platform"] for row in image.manifest["images"][1:]] == ["linux/arm64", "linux/s390x", "linux/arm64"]
    for name, platforms in (("here", ["arm64"]), ("all", ["arm64", "s390x"])):
        folder = unpacked(image, tmp_path) / f"containers/volumes/{name}/merged"
        for platform in platforms:
            copy = ["skopeo", "copy", "-q", "--insecure-policy", "--override-arch", platform, f"oci:{folder}:1"]
            subprocess.run([*copy, f"dir:{tmp_path}/{name}-{platform}"], check=True)
            assert len(list((tmp_path / f"{name}-{platform}").glob("?" * 64))) == {"arm64": 3, "s390x": 2}[platform]


def test_a_volumes_layout_is_part_of_what_the_image_is_known_by(yaml: Path, tmp_path: Path) -> None:
    """Even where the architecture that is built has no part in it."""
    yaml.write_text(YAML + "volumes: [{name: v, image: 'oci:other:1', format: oci, platforms: [linux/s390x]}]\n")
    folders = set()
    for layer in (BASE, TOP):
        layout_of(tmp_path / "other", {"s390x": [layer]})
        folders.add(build(yaml).folder)
    assert len(folders) == 2


def unpacked(image: Image, folder: Path) -> Path:
    """Unpack the root of an image."""
    cpio = folder / "initrd"
    if not cpio.exists():
        cpio.mkdir()
        subprocess.run(["bsdtar", "-xf", image.initrd, "-C", cpio, "root.squashfs"], check=True)
        root = ["rdsquashfs", "-q", "-u", "/", "-p", folder / "root", cpio / "root.squashfs"]
        subprocess.run(root, check=True)
    return folder / "root"


def test_what_is_attached_to_an_image_is_beside_its_bill_and_can_be_taken_out(yaml: Path, tmp_path: Path) -> None:
    img = tmp_path / "img"
    subject = index_of(img)["arm64"]
    part = put(img, json.dumps(statement(subject)).encode(), IN_TOTO)
    before = build(yaml)
    assert not (before.folder / attestations.FOLDER).exists()
    promise(img, buildkit(subject, artifact(img, part)))
    image = build(yaml)
    assert image.folder != before.folder, "it is of the image's key"
    assert (image.folder / "initrd").read_bytes() == (before.folder / "initrd").read_bytes(), "the root is the same"
    name = f"{part['digest'].partition(':')[2]}.json"
    assert json.loads((image.folder / attestations.FOLDER / name).read_text()) == statement(subject)
    words = ["sbom", str(yaml), "--arch", "arm64", "-o", str(tmp_path / "b"), "--attestations", str(tmp_path / "a")]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "oci:img:1: 1 attached to it" in done.stderr) == (0, True)
    assert (tmp_path / "a/image-arm64" / name).is_file() and name in (tmp_path / "b").read_text()
