"""Images from the host's files: OCI layouts and archives, and what `docker save` writes; made by skopeo, and spoilt."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from handmade import M, layout_of, tar
from servers import lacks_programs, skopeo
from tiers import needs

from harness.arch import by_name
from harness.errors import HarnessError, ImageError, UserError
from harness.oci import hostfiles
from harness.oci.blobs import ContentError
from harness.oci.fetch import Images
from harness.oci.image import OciImage
from harness.store import file_digest

ARM64 = by_name("arm64")
Make = Callable[..., Images]


def plain(image: OciImage) -> list[str]:
    """Return the digests of what the layers unpack to: the same wherever an image comes from."""
    found = []
    for layer in image.layers:
        assert layer.digest == f"sha256:{file_digest(layer.path)}"
        data = layer.path.read_bytes()
        packed = data[:2] == b"\x1f\x8b"
        assert layer.media_type.endswith("+gzip") == packed
        found.append(f"sha256:{hashlib.sha256(gzip.decompress(data) if packed else data).hexdigest()}")
    assert found == image.config["rootfs"]["diff_ids"]
    return found


@pytest.fixture(scope="session")
@needs("servers")
def kept(tmp_path_factory: pytest.TempPathFactory, layout: Path) -> Path:
    """A folder with the image in each of the ways it can lie there."""
    missing = lacks_programs()
    if missing:
        pytest.skip(f"not installed: {missing}")
    folder = tmp_path_factory.mktemp("kept")
    source = f"oci:{layout}:1"
    one = ("--override-arch", "arm64")
    skopeo("copy", "--all", "--preserve-digests", source, f"oci:{folder}/layout:1")
    skopeo("copy", "--all", "--preserve-digests", source, f"oci-archive:{folder}/oci.tar:1")
    skopeo(*one, "copy", source, f"docker-archive:{folder}/docker.tar:registry.example/app:1")
    for name in ("oci", "docker"):
        (folder / f"{name}.tgz").write_bytes(gzip.compress((folder / f"{name}.tar").read_bytes()))
    return folder


@pytest.mark.parametrize(
    "reference",
    [
        "oci:layout:1", "oci:layout", "oci-archive:oci.tar:1", "oci-archive:oci.tar", "oci-archive:oci.tgz",
        "docker-archive:docker.tar", "docker-archive:docker.tar:registry.example/app:1",
        "docker-archive:docker.tar:app:1",
        "docker-archive:docker.tgz",
    ],
)  # fmt: skip
def test_the_same_image_from_everywhere(images: Make, layout: Path, kept: Path, reference: str) -> None:
    whole = images("other").fetch(f"oci:{layout}:1", ARM64, Path())
    made = images()
    image = made.fetch(reference, ARM64, kept)
    assert plain(image) == plain(whole)
    assert image.config == whole.config
    assert image.reference == reference
    assert reference.startswith("docker") or image.digest == whole.digest
    assert images().fetch(reference, ARM64, kept) == image  # a cache of before gives the same
    assert list((made.store.root / "tmp").iterdir()) == []


def test_paths_are_relative_to_the_file_that_names_them(images: Make, kept: Path, tmp_path: Path) -> None:
    assert images().resolve("oci:../layout:1", ARM64, kept / "layout")
    assert images().resolve(f"oci:{kept}/layout:1", ARM64, tmp_path)
    with pytest.raises(UserError, match=r"oci:layout:1: No such file or directory"):
        images().resolve("oci:layout:1", ARM64, tmp_path)


def test_an_archive_that_has_changed_is_read_again(images: Make, kept: Path, newer: Path, tmp_path: Path) -> None:
    shutil.copy(kept / "oci.tar", tmp_path)
    old = images().resolve("oci-archive:oci.tar", ARM64, tmp_path)
    (tmp_path / "oci.tar").unlink()
    skopeo("copy", "--all", "--preserve-digests", f"oci:{newer}:1", f"oci-archive:{tmp_path}/oci.tar:1")
    assert images().resolve("oci-archive:oci.tar", ARM64, tmp_path) != old


def test_a_known_archive_is_not_read(images: Make, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = images().fetch("docker-archive:docker.tar", ARM64, kept)
    monkeypatch.setattr(hostfiles.Archive, "__init__", lambda *_: pytest.fail("it was read"))
    assert images(offline=True).fetch("docker-archive:docker.tar", ARM64, kept) == known


def test_a_layout_of_several_images(images: Make, tmp_path: Path) -> None:
    for tag, text in (("1", b"one"), ("2", b"two")):
        layout_of(tmp_path / tag, {"arm64": [tar(M("a", text))]}, tag)
    shutil.copytree(tmp_path / "2/blobs", tmp_path / "1/blobs", dirs_exist_ok=True)
    both = [json.loads((tmp_path / tag / "index.json").read_text())["manifests"][0] for tag in ("1", "2")]
    (tmp_path / "1/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": both}))
    first, second = (images().resolve(f"oci:1:{tag}", ARM64, tmp_path) for tag in ("1", "2"))
    assert first != second
    with pytest.raises(UserError, match="holds several images: '1', '2'"):
        images().resolve("oci:1", ARM64, tmp_path)
    with pytest.raises(UserError, match="oci:1:3 is not there") as caught:
        images().resolve("oci:1:3", ARM64, tmp_path)
    assert "its tags are: '1', '2'" in caught.value.details
    # without names they are one image's platforms
    for row in both:
        del row["annotations"]
    both[0]["platform"] = {"os": "linux", "architecture": "amd64"}
    both[1]["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    (tmp_path / "1/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": both}))
    assert images().resolve("oci:1", ARM64, tmp_path) == second


def docker_archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)


LAYER = tar(M("a", b"a"))
DIFF = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
CONFIG = {"os": "linux", "architecture": "arm64", "rootfs": {"type": "layers", "diff_ids": [DIFF, DIFF]}}
ROWS = [{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]


def members(config: object = CONFIG, rows: object = ROWS, layer: bytes = LAYER) -> dict[str, bytes]:
    return {"c.json": json.dumps(config).encode(), "manifest.json": json.dumps(rows).encode(), "1/layer.tar": layer}


@pytest.mark.parametrize("layer", [LAYER, gzip.compress(LAYER)], ids=["plain", "packed"])
def test_a_layer_that_is_a_link_to_another(images: Make, tmp_path: Path, layer: bytes) -> None:
    docker_archive(tmp_path / "d.tar", members(layer=layer), {"2/layer.tar": "../1/layer.tar"})
    image = images().fetch("docker-archive:d.tar", ARM64, tmp_path)
    assert plain(image) == [DIFF, DIFF]
    assert image.layers[0].path == image.layers[1].path


def test_an_archive_of_several_images(images: Make, tmp_path: Path) -> None:
    rows = [
        {**ROWS[0], "RepoTags": [f"registry.example/{name}"], "Layers": ["1/layer.tar"] * 2} for name in ("a:1", "b:1")
    ]
    docker_archive(tmp_path / "d.tar", members(rows=rows))
    assert images().resolve("docker-archive:d.tar:b:1", ARM64, tmp_path)
    with pytest.raises(UserError, match=r"holds several images: 'registry.example/a:1', 'registry.example/b:1'"):
        images().resolve("docker-archive:d.tar", ARM64, tmp_path)
    with pytest.raises(UserError, match=r"docker-archive:d.tar:c:1 is not there"):
        images().resolve("docker-archive:d.tar:c:1", ARM64, tmp_path)


@pytest.mark.parametrize(
    ("made", "links", "words"),
    [
        (members(rows=[{}]), {}, "manifest.json is none of `docker save`"),
        (members(rows={}), {}, "manifest.json is none of `docker save`"),
        ({"c.json": b""}, {}, "has no 'manifest.json'"),
        (members(rows=[{**ROWS[0], "Config": "../../../etc/passwd"}]), {}, "has no '../../../etc/passwd'"),
        (members(), {}, "has no '2/layer.tar'"),
        (members(), {"2/layer.tar": "/etc/passwd"}, "has no '2/layer.tar'"),
        (members(), {"2/layer.tar": "../2/layer.tar"}, "has no '2/layer.tar'"),
        (members(config={**CONFIG, "rootfs": {"diff_ids": [DIFF]}}), {}, "has 2 layers, its config speaks of 1"),
        (members(layer=tar(M("b"))), {"2/layer.tar": "../1/layer.tar"}, "has another digest|bytes came"),
        ({**members(), "manifest.json": b" " * (5 << 20)}, {}, "is larger than"),
    ],
)
def test_archives_that_are_refused(
    images: Make, tmp_path: Path, made: dict[str, bytes], links: dict[str, str], words: str
) -> None:
    docker_archive(tmp_path / "d.tar", made, links)
    with pytest.raises((ImageError, ContentError), match=words):
        images().fetch("docker-archive:d.tar", ARM64, tmp_path)


def _blob(layout: Path, size: Callable[..., Path] = max) -> Path:
    return size((layout / "blobs/sha256").iterdir(), key=lambda one: one.stat().st_size)


def spoil_digest(layout: Path) -> None:
    path = _blob(layout)
    path.write_bytes(bytes(path.stat().st_size))


def spoil_size(layout: Path) -> None:
    _blob(layout).write_bytes(b"short")


def spoil_absent(layout: Path) -> None:
    _blob(layout).unlink()


def spoil_pipe(layout: Path) -> None:
    path = _blob(layout)
    path.unlink()
    os.mkfifo(path)


def spoil_folder(layout: Path) -> None:
    path = _blob(layout)
    path.unlink()
    path.mkdir()


def spoil_link(layout: Path) -> None:
    path = _blob(layout)
    path.unlink()
    path.symlink_to("/etc/passwd")


def spoil_manifests(layout: Path) -> None:
    for path in (layout / "blobs/sha256").iterdir():
        if b'"manifests"' in path.read_bytes():
            path.write_bytes(path.read_bytes() + b" ")


def spoil_index(layout: Path) -> None:
    (layout / "index.json").write_text('{"schemaVersion": 2, "config": 1, "layers": []}')


def spoil_no_index(layout: Path) -> None:
    (layout / "index.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_digest, "what came has another digest"),
        (spoil_size, "5 of its [0-9]+ bytes came"),
        (spoil_absent, "has no 'blobs/sha256/"),
        (spoil_pipe, "is not a file"),
        (spoil_folder, "is not a file"),
        (spoil_link, "bytes came|another digest"),
        (spoil_manifests, "is not what its name says"),
        (spoil_index, "index.json: config"),
        (spoil_no_index, "has no 'index.json'"),
    ],
)
@pytest.mark.timeout(60)
def test_layouts_that_are_spoilt(
    images: Make, layout: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    shutil.copytree(layout, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")
    made = images()
    with pytest.raises(HarnessError, match=words):
        made.fetch("oci:spoilt", ARM64, tmp_path)
    # what was right of it is of use as soon as the rest is
    assert len(made.fetch(f"oci:{layout}", ARM64, tmp_path).layers) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no 'index.json'"),
        (b"x" * 2048, "is not a tar archive"),
        (b"\x1f\x8bx", "is not a tar archive"),
        (gzip.compress(b"x" * 5000, mtime=0)[:-9], "is not a tar archive"),
        (gzip.compress(bytes(1 << 20), mtime=0), "is not a tar archive: it unpacks to more than"),
        (tar(*(M(str(number)) for number in range(50))), "more than 20 members"),
    ],
    ids=["empty", "text", "three bytes", "cut", "bomb", "many"],
)
def test_files_that_are_no_archives(
    images: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    monkeypatch.setattr(hostfiles, "LARGEST_ARCHIVE", 1 << 19)
    monkeypatch.setattr(hostfiles, "MOST_MEMBERS", 20)
    (tmp_path / "a.tar").write_bytes(content)
    made = images()
    for kind in ("oci-archive", "docker-archive"):
        with pytest.raises(ImageError, match=words.replace("index", "index|manifest")):
            made.fetch(f"{kind}:a.tar", ARM64, tmp_path)
    tmp = made.store.root / "tmp"
    assert not tmp.exists() or list(tmp.iterdir()) == []


@pytest.mark.timeout(60)
def test_what_is_no_file(images: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(UserError, match=f"{name} is not a file"):
            images().fetch(f"oci-archive:{name}", ARM64, tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        images().fetch("oci:pipe", ARM64, tmp_path)
