"""Images through a real registry: pushed, found by others' tools, pulled as they were, signed, and not believed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result
from servers import PASSWORD, USER, Reply, Seen, Server, TokenServer, docker_registry, lacks_programs, skopeo

from harness import paths, store
from harness.build import artifact
from harness.certify import keys, release
from harness.cli import app
from harness.errors import ImageError
from harness.image import Image
from harness.oci.attached import AttachedManifest
from harness.oci.document import INDEX
from harness.oci.image import Blob
from harness.store import damage_of

Run = Callable[..., Result]


def handmade(folder: Path, arch: str = "arm64", kernel: bytes = b"a kernel", **more: object) -> Path:
    """An image's folder as a build leaves it, of a few bytes; `more` is what its manifest says otherwise."""
    folder.mkdir(parents=True)
    files = {"kernel": kernel, "initrd": b"a root" * 1000, "probe": b"probe"}
    (folder / "licences").mkdir()
    (folder / "licences/crun_1.8.1-1+deb12u1").write_text("GPL")
    (folder / "licences/busybox_1%3A1.35").write_text("GPL, too")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    rows = [{"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "shipped": name != "probe"}
            for name, data in files.items()]  # fmt: skip
    manifest = {"schema": 1, "name": "os", "arch": arch, "format": "kernel+initrd", "cmdline": "", "files": rows,
                "packages": [], "components": [], "spec": {"sha256": "5" * 64, "files": []}, "expect": {},
                "root": {"sha256": "5" * 64, "size": 1}, **more}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    store.seal(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.commands.images.sbom.of", lambda image, supplier="": {"SPDXID": "x", "packages": []})
    monkeypatch.setattr("harness.sbom.cyclonedx.document", lambda bill: {"bomFormat": "CycloneDX"})
    return lambda *words: CliRunner().invoke(app, [str(one) for one in words])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    if missing := lacks_programs():
        pytest.skip(f"not installed: {missing}")
    with docker_registry(tmp_path / "run", tmp_path / "data") as host:
        yield host


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.servers
def test_what_was_pushed_comes_back_as_it_was(run: Run, registry: str, tmp_path: Path) -> None:
    image, reference = handmade(tmp_path / "made"), f"{registry}/team/os:1"
    pushed = run("push", image, reference, "--json")
    assert pushed.exit_code == 0, pushed.output
    again = run("push", image, reference, "--json")
    said = json.loads(pushed.stdout)
    assert json.loads(again.stdout) == said and said["signed"] is None, "the same image has the same digest"
    assert "were there" in again.stderr
    for wanted in (reference, said["reference"], f"{registry}/team/os@{said['digest']}"):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        pulled = run("pull", wanted, "-o", "got", "--json")
        assert pulled.exit_code == 0, pulled.output
        (row,) = json.loads(pulled.stdout)
        assert (row["name"], row["arch"], row["digest"]) == ("os", "arm64", said["digest"])
        assert content(Path(row["folder"])) == content(image) and damage_of(Path(row["folder"])) == ""
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["os-arm64"]


@pytest.mark.servers
def test_other_tools_find_it_and_what_is_about_it(run: Run, registry: str, tmp_path: Path) -> None:
    reference = f"{registry}/team/os:1"
    assert run("push", handmade(tmp_path / "made"), reference).exit_code == 0
    index = httpx2.get(f"http://{registry}/v2/team/os/manifests/1", headers={"Accept": INDEX}).json()
    (entry,) = index["manifests"]
    assert entry["platform"] == {"os": "linux", "architecture": "arm64"}
    of = f"docker://{reference}@{entry['digest']}".replace(":1@", "@")
    skopeo("copy", "--preserve-digests", "--src-tls-verify=false", of, f"oci:{tmp_path}/copy:1")
    blobs = tmp_path / "copy/blobs/sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    titles = {layer["annotations"]["org.opencontainers.image.title"] for layer in manifest["layers"]}
    assert titles == {"kernel", "initrd", "probe", "manifest.json", "SHA256SUMS", "licences"}
    about = httpx2.get(f"http://{registry}/v2/team/os/manifests/sha256-{entry['digest'][7:]}",
                       headers={"Accept": INDEX})  # fmt: skip
    kinds = [row["artifactType"] for row in about.json()["manifests"]]
    assert kinds == ["application/spdx+json", "application/vnd.cyclonedx+json"]


@pytest.mark.servers
def test_who_gives_it_out_is_asked_for(run: Run, registry: str, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for path in (mine, other):
        keys.make(path)
    image, reference = handmade(tmp_path / "made"), f"{registry}/os:1"
    unsigned = run("push", image, reference)
    assert run("pull", reference, "--key", f"{mine}.pub").exit_code == 2
    assert unsigned.exit_code == run("push", image, reference, "--key", mine).exit_code == 0
    assert (
        run("push", handmade(tmp_path / "next", kernel=b"another"), f"{registry}/os:2", "--key", other).exit_code == 0
    )
    pulled = run("pull", reference, "--key", f"{other}.pub", "--key", f"{mine}.pub", "-o", "got")
    assert (pulled.exit_code, f"given out by {keys.load(str(mine)).public.id}" in pulled.stderr) == (0, True), (
        pulled.output
    )
    refused = run("pull", reference, "--key", f"{other}.pub", "-o", "none")
    assert refused.exit_code == 2 and "by none of the keys" in refused.stderr and not (tmp_path / "none").exists()
    # somebody who may write to the registry puts another image under the tag
    assert run("push", handmade(tmp_path / "forged", kernel=b"evil"), reference).exit_code == 0
    assert run("pull", reference, "--key", f"{mine}.pub", "-o", "none").exit_code == 2
    assert "--key asks for more" in run("pull", reference, "-o", "got").stderr


@pytest.mark.servers
def test_a_login_is_asked_for_and_used(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := lacks_programs():
        pytest.skip(f"not installed: {missing}")
    import bcrypt

    (tmp_path / "htpasswd").write_text(f"ann:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    auth = {"htpasswd": {"realm": "r", "path": str(tmp_path / "htpasswd")}}
    image = handmade(tmp_path / "made")
    with docker_registry(tmp_path / "run", tmp_path / "data", auth=auth) as host:
        refused = run("push", image, f"{host}/os:1")
        assert refused.exit_code == 3 and "asks for a login" in refused.stderr, refused.output
        login = {"auths": {host: {"auth": base64.b64encode(b"ann:secret").decode()}}}
        (tmp_path / "auth.json").write_text(json.dumps(login))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        assert run("push", image, f"{host}/os:1").exit_code == 0
        assert run("pull", f"{host}/os:1", "-o", "got").exit_code == 0


@pytest.mark.servers
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"name": "../../elsewhere"}, "no name of a folder"),
        ({"name": "/etc/os"}, "no name of a folder"),
        ({"format": "../x"}, "no name of a folder"),
        ({"name": "a\nb"}, "no name of a folder"),
        ({"name": 7}, "none of the harness's"),
        ({"files": "x"}, "none of the harness's"),
        ({"boot": {"kernel": "kernel", "initrd": "../../../../etc/shadow"}}, "which is none of its files"),
        ({"boot": {"kernel": "/etc/shadow"}}, "which is none of its files"),
        ({"boot": {"argv": "kernel"}}, "which is none of its files"),
        ({"files": [{"name": "kernel", "size": 1, "sha256": "0" * 64, "shipped": True}]}, "it has not the 'kernel'"),
        ({"files": [{"name": "../kernel", "size": 1, "sha256": "0" * 64, "shipped": True}]}, "it has not the"),
    ],
)
def test_a_strangers_manifest_names_nothing_outside_of_its_folder(
    more: dict[str, object], said: str, run: Run, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere-arm64").mkdir()
    (tmp_path / "elsewhere-arm64/manifest.json").write_text("mine")
    monkeypatch.setattr("harness.build.artifact.damage_of", lambda folder: "")  # whoever pushes it is no harness
    honest = json.loads((handmade(tmp_path / "honest") / "manifest.json").read_text())
    image = handmade(tmp_path / "made", **{key: value for key, value in more.items() if key not in ("name", "files")})
    (image / "manifest.json").write_text(json.dumps({**honest, **more}))
    store.seal(image)
    pushed = pushed_as_it_is(run, image, f"{registry}/os:1", monkeypatch)
    assert pushed.exit_code == 0, pushed.output
    pulled = run("pull", f"{registry}/os:1", "-o", "in/got")
    assert (pulled.exit_code, said in pulled.stderr) == (5, True), pulled.output
    assert (tmp_path / "elsewhere-arm64/manifest.json").read_text() == "mine"
    assert list((tmp_path / "in/got").iterdir()) == []


def pushed_as_it_is(run: Run, image: Path, reference: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Push a folder as a stranger's program would: with whatever its manifest says."""
    with monkeypatch.context() as patch:
        patch.setattr(Image, "name", "os")
        patch.setattr(Image, "size", 1)
        return run("push", image, reference)


@pytest.mark.servers
def test_a_token_that_may_write_is_asked_for(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := lacks_programs():
        pytest.skip(f"not installed: {missing}")
    tokens = TokenServer(tmp_path / "tokens")
    try:
        with docker_registry(tmp_path / "run", tmp_path / "data", auth=tokens.setting) as host:
            login = {"auths": {host: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}}
            (tmp_path / "auth.json").write_text(json.dumps(login))
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
            pushed = run("push", handmade(tmp_path / "made"), f"{host}/os:1")
            assert pushed.exit_code == 0, pushed.output
            assert run("pull", f"{host}/os:1", "-o", "got").exit_code == 0
            asked = {one.fields["scope"].rpartition(":")[2] for one in tokens.server.seen}
            assert {"pull"} < asked and any("push" in one for one in asked)
    finally:
        tokens.server.close()


def test_where_a_registry_sends_us_gets_the_bytes_and_no_login(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Server(lambda seen: Reply(201))

    def answer(seen: Seen) -> Reply:
        if "Authorization" not in seen.headers:
            return Reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        if seen.method == "HEAD":
            return Reply(404)
        return Reply(202, headers={"Location": f"http://{storage.host}/elsewhere?state=1"})

    registry = Server(answer)
    try:
        login = {"auths": {registry.host: {"auth": base64.b64encode(b"ann:secret").decode()}}}
        (tmp_path / "auth.json").write_text(json.dumps(login))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        run("push", handmade(tmp_path / "made"), f"{registry.host}/os:1")
        assert storage.seen and all("Authorization" not in one.headers for one in storage.seen)
        assert all("state=1" in one.path and "digest=sha256" in one.path for one in storage.seen)
    finally:
        registry.close()
        storage.close()


@pytest.mark.parametrize("where", ["", "ftp://x/y", "http://[", "file:///etc/passwd"])
def test_a_registry_that_sends_us_nowhere_is_an_odd_one(where: str, run: Run, tmp_path: Path) -> None:
    registry = Server(lambda seen: Reply(404) if seen.method == "HEAD" else Reply(202, headers={"Location": where}))
    try:
        done = run("push", handmade(tmp_path / "made"), f"{registry.host}/os:1")
        assert (done.exit_code, "does not answer as a registry" in done.stderr) == (3, True), done.output
    finally:
        registry.close()


@pytest.mark.servers
def test_architectures_are_chosen(run: Run, registry: str, tmp_path: Path) -> None:
    reference = f"{registry}/os:1"
    assert run("push", handmade(tmp_path / "made"), reference).exit_code == 0
    missing = run("pull", reference, "--arch", "s390x")
    assert (missing.exit_code, "is not for s390x: it is for arm64" in missing.stderr) == (2, True)
    assert run("pull", reference, "--arch", "arm64", "-o", "got").exit_code == 0
    (tmp_path / "got/os-arm64/manifest.json").unlink()
    there = run("pull", reference, "-o", "got")
    assert (there.exit_code, "is no image" in there.stderr) == (2, True), "what is not known is not replaced"
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == ["os-arm64"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["push", "made"], "takes an image and where it goes"),
        (["push", "made", "oci:here"], "is a file here"),
        (["push", "made", "127.0.0.1:1/os@sha256:" + "a" * 64], "has a digest"),
        (["pull", "docker-archive:x.tar"], "is a file here"),
        (["pull", "127.0.0.1:1/os", "--key", "nothing.pub"], "nothing.pub"),
        (["pull", "127.0.0.1:1/os", "--arch", "vax"], "vax"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(words: list[str], said: str, run: Run, tmp_path: Path) -> None:
    handmade(tmp_path / "made")
    done = run(*words)
    assert (done.exit_code, said in done.stderr) == (2, True), done.output


def test_a_damaged_folder_is_not_pushed(run: Run, tmp_path: Path) -> None:
    image = handmade(tmp_path / "made")
    (image / "kernel").write_bytes(b"flipped!")
    done = run("push", image, "127.0.0.1:1/os:1")
    assert (done.exit_code, "is damaged: kernel" in done.stderr) == (5, True), done.output


def blob(folder: Path, data: bytes, **said: str) -> tuple[dict[str, Any], Blob]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = folder / digest
    path.write_bytes(data)
    row = {"mediaType": artifact.FILE, "digest": digest, "size": len(data), "annotations": said}
    return row, Blob(path, artifact.FILE, digest, len(data))


def archive(*members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as stream:
        for member in members:
            stream.addfile(member, io.BytesIO(bytes(member.size)))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.size, found.linkname = kind, size, "/etc/passwd"
    return found


TITLE, UNPACK, LARGEST = artifact.TITLE, artifact.UNPACK, 4096  # the real limit's archive takes seconds to make
HOSTILE: dict[str, list[tuple[bytes, dict[str, str]]]] = {
    "a way up": [(b"x", {TITLE: "../x"})],
    "a path": [(b"x", {TITLE: "a/b"})],
    "an absolute path": [(b"x", {TITLE: "/etc/x"})],
    "no name": [(b"x", {})],
    "a hidden name": [(b"x", {TITLE: ".x"})],
    "a line": [(b"x", {TITLE: "a\nb"})],
    "two of a name": [(b"x", {TITLE: "x"}), (b"y", {TITLE: "x"})],
    "no archive": [(b"x", {TITLE: "x", UNPACK: "true"})],
    "a link": [(archive(member("x/y", tarfile.SYMTYPE)), {TITLE: "x", UNPACK: "true"})],
    "a hard link": [(archive(member("x/y", tarfile.LNKTYPE)), {TITLE: "x", UNPACK: "true"})],
    "a device": [(archive(member("x/y", tarfile.CHRTYPE)), {TITLE: "x", UNPACK: "true"})],
    "a way out": [(archive(member("x/../../y")), {TITLE: "x", UNPACK: "true"})],
    "another folder": [(archive(member("z/y")), {TITLE: "x", UNPACK: "true"})],
    "too much": [(archive(member("x/y", size=LARGEST + 1)), {TITLE: "x", UNPACK: "true"})],
    "nothing": [],
}


@pytest.mark.parametrize("rows", HOSTILE.values(), ids=HOSTILE)
def test_a_strangers_artifact_leaves_nothing_outside(
    rows: list[tuple[bytes, dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "LARGEST_FOLDER", LARGEST)
    (tmp_path / "blobs").mkdir()
    made = [blob(tmp_path / "blobs", data, **said) for data, said in rows]
    manifest = AttachedManifest.model_validate({"artifactType": artifact.IMAGE, "layers": [row for row, _ in made]})
    (tmp_path / "in/folder").mkdir(parents=True)
    with pytest.raises(ImageError):
        artifact.restore(manifest, [one for _, one in made], tmp_path / "in/folder")
    assert {path.name for path in tmp_path.iterdir()} == {"blobs", "in"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"folder"}


def test_what_is_no_image_of_the_harness_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="it is no image of the harness: its type is 'application/x'"):
        artifact.restore(AttachedManifest.model_validate({"artifactType": "application/x"}), [], tmp_path)


def test_files_that_are_not_what_their_sums_say_are_refused(tmp_path: Path) -> None:
    image = Image(handmade(tmp_path / "made"))
    sent = artifact.of_image(image)
    (tmp_path / "blobs").mkdir()
    manifest = json.loads(sent.manifest)
    kept = []
    for row, out in zip(manifest["layers"], sent.blobs[1:], strict=True):
        data = out.source if isinstance(out.source, bytes) else out.source.read_bytes()
        if row["annotations"][TITLE] == "kernel":
            data = b"evil"
        kept.append(blob(tmp_path / "blobs", data)[1])
    (tmp_path / "got").mkdir()
    with pytest.raises(ImageError, match="not what its build has left: kernel"):
        artifact.restore(AttachedManifest.model_validate(manifest), kept, tmp_path / "got")


def test_a_signature_is_of_one_digest_and_one_key(tmp_path: Path) -> None:
    mine, other = keys.make(tmp_path / "mine"), keys.make(tmp_path / "other")
    key = keys.load(str(tmp_path / "mine"))
    one, two = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    envelope = release.signed(one, "127.0.0.1:1/os", key)
    assert envelope == release.signed(one, "127.0.0.1:1/os", key)
    assert release.signer(envelope, one, [other, mine]) == mine
    assert release.signer(envelope, two, [mine]) is None
    assert release.signer(envelope, one, [other]) is None
    changed = json.loads(envelope)
    changed["payload"] = json.loads(release.signed(two, "127.0.0.1:1/os", key))["payload"]
    assert release.signer(json.dumps(changed).encode(), two, [mine]) is None
    for data in (b"", b"{}", b"[]", b'{"payload": 1, "signatures": [1]}', b"x" * (release.LARGEST + 1)):
        assert release.signer(data, one, [mine]) is None


@pytest.mark.boots
@pytest.mark.builds
@pytest.mark.servers
def test_an_image_boots_elsewhere_without_its_yaml(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "os.yml").write_text((paths.CASES / "images/minimal.yml").read_text())
    pushed = CliRunner().invoke(app, ["push", "os.yml", f"{registry}/os:1", "--arch", "arm64"])
    assert pushed.exit_code == 0, pushed.output
    (tmp_path / "os.yml").unlink()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))  # another host's
    pulled = CliRunner().invoke(app, ["pull", pushed.stdout.strip(), "-o", "os"])
    assert pulled.exit_code == 0, pulled.output
    booted = CliRunner().invoke(app, ["boot", "os/os-arm64", "-m", "qemu-arm64", "--run", "cat /etc/hostname"])
    assert booted.exit_code == 0, booted.output
    bill = httpx2.get(f"http://{registry}/v2/os/tags/list").json()["tags"]
    assert "1" in bill and any(tag.startswith("sha256-") for tag in bill)
