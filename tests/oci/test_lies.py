"""Registries that lie: blobs, manifests and configs that are refused."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import ARM64, HERE, Make, fetch, index_of, largest_layer, status
from handmade import M, tar
from servers import Fault, Liar, Reply, Seen, Server

from harness.build.lock import PackageLock
from harness.errors import ImageError, UserError
from harness.oci.blobs import ContentError
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.oci.trouble import RegistryError
from harness.store import Store


def short(_: Seen, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda _, reply: replace(reply, body=b"x" * len(reply.body)), "what came has another digest"),
        (lambda _, reply: replace(reply, body=reply.body + b"x"), "more than its [0-9]+ bytes came"),
    ],
    ids=["digest", "size"],
)
def test_a_blob_that_is_another(images: Make, liar: Liar, layout: Path, fault: Fault, words: str) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, fault)
    made = images()
    with pytest.raises(ContentError, match=f"{digest}: {words}"):
        fetch(made, liar)
    assert len(liar.asked(digest)) == 1
    assert not made.store.has("blobs", digest.partition(":")[2])
    assert not (made.store.root / "partial" / digest.partition(":")[2]).exists()


def test_a_blob_that_is_packed_on_the_way(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    packed = {"Content-Encoding": "gzip"}
    liar.spoil(digest, lambda _, reply: Reply(200, gzip.compress(reply.body), packed), times=99)
    # nobody asked for it, and what came is not unpacked to make it right
    with pytest.raises((ContentError, RegistryError)):
        fetch(images(), liar)
    assert {one.headers["Accept-Encoding"] for one in liar.seen} == {"identity"}


def test_a_blob_that_never_ends_short(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, short, times=99)
    with pytest.raises(RegistryError, match="does not answer") as caught:
        fetch(images(), liar)
    assert "it broke off after" in caught.value.details


def test_a_blob_that_is_not_there(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, status(404), times=99)
    with pytest.raises(UserError, match=f"there is no {liar.host}/app:1"):
        fetch(images(), liar)


def test_a_manifest_that_is_another(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/sha256", lambda _, reply: replace(reply, body=reply.body + b" "))
    with pytest.raises(ContentError, match="gives another manifest than sha256"):
        fetch(images(), liar)


def test_a_manifest_without_end(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", lambda _, __: Reply(200, b" " * (5 << 20)))
    with pytest.raises(RegistryError, match="does not answer as a registry") as caught:
        fetch(images(), liar)
    assert "more than 4194304 bytes" in caught.value.details


DIGEST = "sha256:" + hashlib.sha256(b"").hexdigest()
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 2}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": 0}
OWN = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
ARM = {"os": "linux", "architecture": "arm64"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"nothing", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b'{"schemaVersion": 2, "manifests": [' + b"0," * 60_000 + b"0]}", "more than 50000 values"),
        ([], "is not a JSON object"),
        ({"schemaVersion": 1, "fsLayers": []}, "schema 1"),
        ({**OWN, "manifests": []}, "neither a manifest nor an index"),
        ({"schemaVersion": 2}, "neither a manifest nor an index"),
        ({**OWN, "mediaType": "text/\x1b[2Jplain"}, r"its media type is 'text/\\x1b\[2Jplain'"),
        ({**OWN, "schemaVersion": 3}, "schemaVersion"),
        ({**OWN, "config": {**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}},
         "not a container image"),
        ({**OWN, "config": {**CONFIG, "size": 5 << 20}}, "its config is larger"),
        ({**OWN, "config": {**CONFIG, "digest": "sha256:../../etc/passwd"}}, "config.digest"),
        ({**OWN, "layers": [{**LAYER, "size": -1}]}, "layers.0.size"),
        ({**OWN, "layers": [{**LAYER, "size": 1 << 60}]}, "layers.0.size"),
        ({**OWN, "layers": [{**LAYER, "size": "1"}] * 1001}, "layers"),
        ({**OWN, "layers": [{**LAYER, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]},
         "the layer sha256:.* is a foreign one"),
        ({**OWN, "layers": [{**LAYER, "mediaType": "application/zip"}]}, "the layer sha256:.* is 'application/zip"),
        ({"schemaVersion": 2, "manifests": [LAYER, {**LAYER, "size": 1}]}, "2 of its index's entries say no platform"),
        ({"schemaVersion": 2, "manifests": [{**LAYER, "platform": ARM, "size": 5 << 20}]}, "larger than"),
        ({"schemaVersion": 2, "manifests": [{**LAYER, "platform": {**ARM, "os": "win\x1b[2J"}}]}, "is not there for"),
        ({"schemaVersion": 2, "manifests": []}, "is not there for linux/arm64"),
    ],
)  # fmt: skip
def test_documents_that_are_refused(images: Make, liar: Liar, document: Any, words: str) -> None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    liar.spoil("manifests/1", lambda _, __: Reply(200, data))
    with pytest.raises((ImageError, UserError), match=words) as caught:
        fetch(images(), liar)
    assert "\x1b" not in str(caught.value)
    assert f"{liar.host}/app:1" in caught.value.message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"{}", "the config of .*: os"),
        ({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}, "has 1 layers, but its config .* 0"),
        ({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": ["x"]}}, "rootfs.diff_ids.0"),
        ({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": [DIGEST]}, "config": {"Env": "A=b"}}, "Env"),
        ({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": [DIGEST]}, "config": {"Cmd": [1]}}, "Cmd"),
        ({"os": "plan9", "architecture": "arm64", "rootfs": {"diff_ids": [DIGEST]}}, "not there for linux/arm64"),
    ],
)
def test_configs_that_are_refused(images: Make, liar: Liar, config: Any, words: str) -> None:
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    described = {**CONFIG, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    liar.spoil("manifests/1", lambda _, __: Reply(200, json.dumps({**OWN, "config": described}).encode()))
    liar.spoil(described["digest"], lambda _, __: Reply(200, data))
    with pytest.raises((ImageError, UserError), match=words):
        fetch(images(), liar)


PAGE = b"\n<!DOCTYPE html><html><title>Sign in \x1b[2J</title></html>"


@pytest.mark.parametrize("where", ["manifests/1", "blobs/"])
def test_a_page_for_people_is_no_registrys_answer(images: Make, liar: Liar, where: str) -> None:
    liar.spoil(where, lambda _, __: Reply(200, PAGE, {"Content-Type": "text/html"}), times=99)
    with pytest.raises(RegistryError, match="does not answer as a registry") as caught:
        fetch(images(), liar)
    assert "it sends a page: <!DOCTYPE html>" in caught.value.details and "\x1b" not in str(caught.value)


def test_an_index_whose_only_entry_says_no_platform_is_judged_by_its_config(
    images: Make, liar: Liar, layout: Path
) -> None:
    digests = index_of(layout)
    for arch, fits in (("arm64", True), ("amd64", False)):
        size = (layout / "blobs" / digests[arch].replace(":", "/")).stat().st_size
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digests[arch], "size": size}
        index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        liar.spoil("manifests/1", lambda _, __, index=index: Reply(200, index))
        if fits:
            assert fetch(images(arch), liar).digest == digests[arch]
        else:
            with pytest.raises(UserError, match="is not there for linux/arm64"):
                fetch(images(arch), liar)


def test_indexes_within_one_another(images: Make, liar: Liar) -> None:
    data = b'{"schemaVersion": 2, "manifests": []}'
    documents: dict[str, bytes] = {}
    for _ in range(9):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        documents[digest] = data
        entry = {"mediaType": "", "digest": digest, "size": len(data), "platform": ARM}
        data = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    liar.spoil("manifests/", lambda seen, _: Reply(200, documents.get(seen.path.rpartition("/")[2], data)), times=99)
    with pytest.raises(ImageError, match="more than 3 indexes within one another"):
        fetch(images(), liar)


@pytest.mark.parametrize("off", [1, -1])
def test_a_blob_of_another_length_than_is_announced(images: Make, liar: Liar, layout: Path, off: int) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, lambda _, reply: replace(reply, size=len(reply.body) + off))
    fetch(images(), liar)  # it is asked again for what is missing, and what is there was what was wanted
    liar.spoil(digest, lambda _, reply: replace(reply, size=len(reply.body) // 3), times=99)
    with pytest.raises(RegistryError, match="does not answer"):
        fetch(images("other"), liar)


def test_an_image_whose_digests_are_sha512(images: Make, tmp_path: Path) -> None:
    kind = "application/vnd.oci.image"
    kept: dict[str, bytes] = {}

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
        kept[digest] = data
        return {"mediaType": f"{kind}.{media_type}", "digest": digest, "size": len(data)}

    layer = tar(M("etc/x", b"x"))
    config = {"os": "linux", "architecture": "arm64",
              "rootfs": {"type": "layers", "diff_ids": [put(layer, "layer.v1.tar")["digest"]]}}  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
                "config": put(json.dumps(config).encode(), "config.v1+json"),
                "layers": [put(layer, "layer.v1.tar")]}  # fmt: skip
    top = put(json.dumps(manifest).encode(), "manifest.v1+json")["digest"]
    spoilt: list[str] = []

    def answer(seen: Seen) -> Reply:
        wanted = seen.path.rpartition("/")[2]
        data = kept.get(wanted)
        return Reply(404) if data is None else Reply(200, data + b" " * (wanted in spoilt))

    server = Server(answer)
    one = images().fetch(f"{server.host}/app@{top}", ARM64, HERE)
    assert one.digest == top and merge(one, Limits(), Store(tmp_path / "merged")).nodes.keys() == {"etc", "etc/x"}
    spoilt.append(top)
    with pytest.raises(ContentError, match="gives another manifest than sha512"):
        images("other").fetch(f"{server.host}/app@{top}", ARM64, HERE)
    spoilt.clear()
    lock = PackageLock(tmp_path / "lock")
    images("third", lock=lock).fetch(f"{server.host}/app@{top}", ARM64, HERE)
    lock.save()
    # what the lock names is what the registry can be asked for
    locked = images("fourth", lock=PackageLock(tmp_path / "lock"))
    assert locked.fetch(f"{server.host}/app@{top}", ARM64, HERE).digest == top
    server.close()
