"""What is attached to images: attestations of builders, referrers, cosign's tags; found, pinned, kept, told of."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import ARM64, HERE, Make, index_of
from handmade import M, layout, packed, tar
from servers import Liar, Reply, Seen, docker_registry, push, skopeo

from harness.build import attestations
from harness.build.lock import PackageLock
from harness.errors import HostError, UserError
from harness.exports import export, take
from harness.oci import attached
from harness.oci.image import OciImage

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
IN_TOTO, DSSE = "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json"
SLSA, OTHER = "https://slsa.dev/provenance/v1", "https://spdx.dev/Document"
REF = "org.opencontainers.image.ref.name"


def statement(subject: str, predicate: str = SLSA) -> dict[str, Any]:
    name = {"name": "pkg:oci/app", "digest": {"sha256": subject.removeprefix("sha256:")}}
    return {"_type": "https://in-toto.io/Statement/v1", "subject": [name], "predicateType": predicate, "predicate": {}}


def put(folder: Path, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Put a blob into a layout; return its descriptor."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}


def put_json(folder: Path, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return put(folder, json.dumps(value).encode(), value["mediaType"], **more)


def artifact(folder: Path, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Put the manifest of an attachment into a layout; return its descriptor."""
    config = put(folder, b"{}", "application/vnd.oci.empty.v1+json")
    return put_json(
        folder, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": list(parts), **more}
    )


def dsse(said: dict[str, Any]) -> bytes:
    payload = base64.b64encode(json.dumps(said).encode()).decode()
    return json.dumps({"payloadType": IN_TOTO, "payload": payload, "signatures": [{"sig": "x"}]}).encode()


def top(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "index.json").read_text()))


def read(folder: Path, digest: str) -> dict[str, Any]:
    return dict(json.loads((folder / "blobs" / digest.replace(":", "/")).read_text()))


def listed(folder: Path, *rows: dict[str, Any]) -> None:
    """Add rows to a layout's index.json."""
    index = top(folder)
    (folder / "index.json").write_text(json.dumps({**index, "manifests": [*index["manifests"], *rows]}))


def promise(folder: Path, *rows: dict[str, Any]) -> str:
    """Let the image's own index, as buildkit's, have more rows; return the image's digest."""
    index = top(folder)
    old = index["manifests"][0]
    inner = read(folder, old["digest"])
    inner["manifests"] += rows
    new = put_json(folder, inner, annotations=old["annotations"])
    (folder / "index.json").write_text(json.dumps({**index, "manifests": [new]}))
    return index_of(folder)["arm64"]


def buildkit(subject: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an index as buildkit writes it."""
    said = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject}
    return {**row, "platform": {"os": "unknown", "architecture": "unknown"}, "annotations": said}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An image of arm64 without anything attached."""
    return layout(tmp_path / "img", packed(tar(M("x", mode=0o755))), Cmd=["/x"])


@pytest.fixture
def attested(made: Path) -> Path:
    """An image with everything: buildkit's, a referrer to the image and one to its index, cosign's three tags."""
    subject = index_of(made)["arm64"]
    slsa = put(made, json.dumps(statement(subject)).encode(), IN_TOTO)
    promise(made, buildkit(subject, artifact(made, slsa)))
    outer = top(made)["manifests"][0]["digest"]
    image, index = ({"mediaType": kind, "digest": digest, "size": len(json.dumps(read(made, digest)))}
                    for kind, digest in ((MANIFEST, subject), (INDEX, outer)))  # fmt: skip
    other = put(made, dsse(statement("sha256:" + "00" * 32, OTHER)), DSSE)
    listed(made, artifact(made, other, subject=image, artifactType="application/vnd.x"))
    listed(made, artifact(made, subject=index, artifactType="application/vnd.empty"))
    for ending in ("sig", "att", "sbom"):
        part = put(made, f'{{"{ending}": 1}}'.encode(), "text/spdx+json", annotations={"predicateType": ending})
        name = subject.replace(":", "-")
        listed(made, {**artifact(made, part), "annotations": {REF: f"{name}.{ending}"}})
    return made


def said(image: OciImage) -> list[tuple[str, bool]]:
    """Return what the parts of attachments are said to be, and whether they are about another image."""
    rows = attestations.rows(image)
    return sorted((part["predicate"], part["other"]) for row in rows for part in row["parts"])


EVERYTHING = sorted([(SLSA, False), (OTHER, True), ("att", False), ("sbom", False), ("sig", False)])


def test_all_that_is_attached_is_kept_and_read(images: Make, attested: Path, tmp_path: Path) -> None:
    image = images().fetch(f"oci:{attested}:1", ARM64, HERE)
    assert said(image) == EVERYTHING
    assert "application/vnd.empty" in {row["kind"] for row in attestations.rows(image)}, "of the index; without parts"
    (tmp_path / "made").mkdir()
    attestations.gather([image, image], tmp_path / "made")
    for row in attestations.rows(image):
        for one in (row, *row["parts"]):
            data = (tmp_path / "made" / attestations.FOLDER / one["file"]).read_bytes()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == one["digest"]


@pytest.mark.servers
def test_a_registry_without_referrers_has_them_by_tags(images: Make, attested: Path, tmp_path: Path) -> None:
    subject = index_of(attested)["arm64"]
    name = subject.replace(":", "-")
    with docker_registry(tmp_path / "run", tmp_path / "data") as host:
        push(attested, host, "app:1")
        for ending in ("sig", "att", "sbom"):
            skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{attested}:{name}.{ending}",
                   f"docker://{host}/app:{name}.{ending}")  # fmt: skip
        image = images().fetch(f"{host}/app:1", ARM64, HERE)
        assert said(image) == [one for one in EVERYTHING if one[0] != OTHER]
        lock = PackageLock(tmp_path / "image.lock")
        images(lock=lock).fetch(f"{host}/app:1", ARM64, HERE)
        lock.save()
    # a lock names all of it: another host takes them from an exported cache, and asks nobody
    here = images()
    export(here.store, tmp_path / "exported")
    there = images("elsewhere", lock=PackageLock(tmp_path / "image.lock"), offline=True)
    take(there.store, tmp_path / "exported")
    assert said(there.fetch(f"{host}/app:1", ARM64, HERE)) == said(image)
    for row in attestations.rows(image):
        shutil.rmtree(there.store.path("blobs", row["digest"].partition(":")[2]))
    with pytest.raises(HostError, match="is not in the cache, and this build is offline"):
        there.fetch(f"{host}/app:1", ARM64, HERE)


def test_referrers_are_asked_for(images: Make, attested: Path) -> None:
    subject = index_of(attested)["arm64"]
    liar = Liar(attested)
    try:
        rows = [row for row in top(attested)["manifests"] if "annotations" not in row]
        about = [row for row in rows if read(attested, row["digest"])["subject"]["digest"] == subject]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": about}
        liar.spoil("/referrers/", lambda _, __: Reply(body=json.dumps(index).encode()))
        image = images().fetch(f"{liar.host}/app:1", ARM64, HERE)
        assert said(image) == EVERYTHING
        asked = len(liar.seen)
        assert said(images().fetch(f"{liar.host}/app:1", ARM64, HERE)) == EVERYTHING
        assert len(liar.seen) == asked, "what is known is not asked for again"
        assert said(images("cache", lock=None, offline=True).fetch(f"{liar.host}/app:1", ARM64, HERE)) == EVERYTHING
    finally:
        liar.close()


def test_a_list_of_referrers_has_pages_and_no_end(images: Make, attested: Path) -> None:
    subject = index_of(attested)["arm64"]
    rows = [row for row in top(attested)["manifests"] if "annotations" not in row]
    liar = Liar(attested)

    def paged(seen: Seen, _: Reply) -> Reply:
        page = int(seen.fields.get("page", "0"))
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows[page : page + 1]}
        link = f'</v2/app/referrers/{subject}?page={page + 1}>; rel="next"'
        return Reply(body=json.dumps(index).encode(), headers={"Link": link})

    try:
        liar.spoil(f"/referrers/{subject}", paged, times=50)
        image = images().fetch(f"{liar.host}/app:1", ARM64, HERE)
        assert {one.manifest.digest for one in image.attached} >= {row["digest"] for row in rows}
        assert len(liar.asked(f"/referrers/{subject}")) == 4
        elsewhere = f"<http://{liar.host}/v2/app/blobs/x>; rel=next, </v2/other/referrers/x>; rel=next"
        liar.spoil(f"/referrers/{subject}", lambda _, reply: replace(paged(_, reply), headers={"Link": elsewhere}))
        liar.faults.reverse()
        images("elsewhere").fetch(f"{liar.host}/app:1", ARM64, HERE)
        assert not liar.asked("/blobs/x") and not liar.asked("/other/")
    finally:
        liar.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 503])
def test_a_registry_that_knows_no_attachments_gives_its_images(images: Make, liar: Liar, status: int) -> None:
    told: list[str] = []
    liar.spoil("/referrers/", lambda _, __: Reply(status, b"no"), times=50)
    liar.spoil("/manifests/sha256-", lambda _, __: Reply(status, b"no"), times=50)
    image = images(progress=told.append).fetch(f"{liar.host}/app:1", ARM64, HERE)
    assert image.layers and image.attached == ()
    assert any("could not be asked" in line for line in told) == (status >= 500)


def page(_: object, __: object) -> Reply:
    return Reply(body=b"<!doctype html><p>hello", headers={"Content-Type": "text/html"})


def test_pages_for_people_are_no_attachments(images: Make, liar: Liar) -> None:
    for word in ("/referrers/", "/manifests/sha256-"):
        liar.spoil(word, page, times=50)
    assert images().fetch(f"{liar.host}/app:1", ARM64, HERE).attached == ()


BLOB = {"mediaType": IN_TOTO, "digest": "sha256:" + "ab" * 32, "size": 5}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "its part is nowhere": ({"layers": [BLOB]}, "no"),
    "a part without end": ({"layers": [{**BLOB, "size": attached.LARGEST_PART + 1}]}, "a part of more than 32 MiB"),
    "parts without end": ({"layers": [BLOB] * 65}, "more than 64 parts"),
    "a digest that is none": ({"layers": [{**BLOB, "digest": "sha256:../../etc"}]}, "layers.0.digest"),
    "an index": ({"layers": [], "manifests": []}, "is no manifest"),
    "of another kind": ({"mediaType": "application/x"}, "is no manifest"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_attestation_is_left_out_by_name(images: Make, made: Path, kind: str) -> None:
    change, words = BAD[kind]
    subject = index_of(made)["arm64"]
    value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": put(made, b"{}", "a/b"), **change}
    row = put(made, json.dumps(value).encode(), MANIFEST)
    promise(made, buildkit(subject, row))
    told: list[str] = []
    image = images(progress=told.append).fetch(f"oci:{made}:1", ARM64, HERE)
    assert image.attached == () and image.layers
    (line,) = [line for line in told if row["digest"] in line]
    assert "is left out" in line and words in line


def test_a_sparse_copy_of_an_image_is_taken_and_false_bytes_are_not(images: Make, attested: Path) -> None:
    subject = index_of(attested)["arm64"]
    inner = read(attested, top(attested)["manifests"][0]["digest"])["manifests"][1]
    told: list[str] = []
    liar = Liar(attested)
    try:
        path = attested / "blobs" / inner["digest"].replace(":", "/")
        good = path.read_bytes()
        path.write_bytes(good + b" ")
        with pytest.raises(HostError, match="another manifest than"):
            images("false").fetch(f"{liar.host}/app:1", ARM64, HERE)
        path.unlink()
        image = images(progress=told.append).fetch(f"{liar.host}/app:1", ARM64, HERE)
        assert image.digest == subject and (SLSA, False) not in said(image)
        assert any(inner["digest"] in line and "is left out" in line for line in told)
    finally:
        liar.close()


def test_what_a_lock_names_and_nobody_has_any_more_is_said(images: Make, attested: Path, tmp_path: Path) -> None:
    liar = Liar(attested)
    try:
        lock = PackageLock(tmp_path / "image.lock")
        whole = images(lock=lock).fetch(f"{liar.host}/app:1", ARM64, HERE)
        lock.save()
        gone = whole.attached[0].manifest.digest
        (attested / "blobs" / gone.replace(":", "/")).unlink()
        with pytest.raises(UserError, match=f"the attestation {gone}, which was attached to it, is not there any more"):
            images("elsewhere", lock=PackageLock(tmp_path / "image.lock")).fetch(f"{liar.host}/app:1", ARM64, HERE)
    finally:
        liar.close()


def test_no_more_than_a_few_are_taken(images: Make, made: Path) -> None:
    subject = index_of(made)["arm64"]
    many = [put(made, str(number).encode(), "a/b") for number in range(attached.MOST + 1)]
    promise(made, *(buildkit(subject, artifact(made, one)) for one in many))
    told: list[str] = []
    image = images(progress=told.append).fetch(f"oci:{made}:1", ARM64, HERE)
    assert len(image.attached) == attached.MOST and any("more than 32 attestations" in line for line in told)


def test_those_of_others_are_not_taken(images: Make, made: Path) -> None:
    row = artifact(made, put(made, b"{}", IN_TOTO))
    promise(made, buildkit("sha256:" + "ab" * 32, row))
    assert images().fetch(f"oci:{made}:1", ARM64, HERE).attached == ()


def test_a_lock_keeps_what_it_named_and_one_of_before_says_nothing(images: Make, attested: Path, made: Path) -> None:
    path = made.parent / "image.lock"
    lock = PackageLock(path)
    whole = images(lock=lock).fetch(f"oci:{attested}:1", ARM64, HERE)
    lock.save()
    kept = json.loads(path.read_text())
    # a signature that comes later is not in the lock
    part = put(attested, b"later", "a/b")
    subject = {"mediaType": MANIFEST, "digest": whole.digest, "size": 1}
    listed(attested, artifact(attested, part, subject=subject))
    assert len(images("two").fetch(f"oci:{attested}:1", ARM64, HERE).attached) == len(whole.attached) + 1
    again = images("three", lock=PackageLock(path)).fetch(f"oci:{attested}:1", ARM64, HERE)
    assert attestations.rows(again) == attestations.rows(whole)
    told: list[str] = []
    path.write_text(json.dumps({**kept, "attached": {}}))
    old = images("four", lock=PackageLock(path), progress=told.append).fetch(f"oci:{attested}:1", ARM64, HERE)
    assert old.attached == () and any("is not known" in line for line in told)
    for rows in ([{"digest": "sha256:no", "size": 1, "subject": whole.digest}], "text", [1]):
        path.write_text(json.dumps({**kept, "attached": {whole.digest: rows}}))
        with pytest.raises(UserError, match="not usable"):
            images("five", lock=PackageLock(path)).fetch(f"oci:{attested}:1", ARM64, HERE)
