"""Registries that fail, lie, hang or lead away: what is tried again, what is refused, and what nobody else is told."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import PASSWORD, USER, Fault, Liar, Reply, Seen, Server, make_pair

from harness.arch import by_name
from harness.errors import HarnessError, ImageError, UserError
from harness.oci import fetch as fetching
from harness.oci import transport
from harness.oci.blobs import ContentError
from harness.oci.fetch import Images
from harness.oci.image import OciImage
from harness.oci.trouble import RegistryError
from harness.patience import Patience
from harness.store import file_digest

ARM64 = by_name("arm64")
HERE = Path()
Make = Callable[..., Images]
FOREVER = 1000


def fetch(images: Images, liar: Liar) -> OciImage:
    image = images.fetch(f"{liar.host}/app:1", ARM64, HERE)
    for layer in image.layers:
        assert layer.digest == f"sha256:{file_digest(layer.path)}"
    return image


def largest_layer(layout: Path) -> tuple[str, int]:
    """Return the digest of the largest blob, and its size."""
    path = max((layout / "blobs/sha256").iterdir(), key=lambda one: one.stat().st_size)
    return f"sha256:{path.name}", path.stat().st_size


def status(code: int, **headers: str) -> Fault:
    return lambda _, __: Reply(code, b"oh \x1b[31mno", {name.replace("_", "-"): text for name, text in headers.items()})


def cut(_: Seen, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2], size=len(reply.body))


def short(_: Seen, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def hang(_: Seen, reply: Reply) -> Reply:
    return replace(reply, pause=FOREVER)


@pytest.mark.parametrize("where", ["manifests/", "blobs/"])
@pytest.mark.parametrize(
    "fault",
    [status(500), status(503, Retry_After="0"), status(429, Retry_After="0"), status(408), cut],
    ids=["500", "503", "429", "408", "cut"],
)
def test_what_passes_is_tried_again(images: Make, liar: Liar, where: str, fault: Fault) -> None:
    liar.spoil(where, fault)
    said: list[str] = []
    fetch(images(progress=said.append), liar)
    assert [one for one in said if "trying again" in one]
    assert liar.faults == []


def test_one_that_hangs_is_asked_again(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", hang)
    liar.spoil("blobs/", hang)
    hasty = images()
    hasty.patience = Patience(attempts=3, wait=0.01, timeout=1)
    fetch(hasty, liar)
    assert liar.faults == []


def test_patience_ends(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", status(500), times=99)
    with pytest.raises(RegistryError, match=f"{liar.host} has failed") as caught:
        fetch(images(), liar)
    assert len(liar.asked("manifests/")) == 3
    assert "HTTP status 500" in caught.value.details
    assert "\x1b" not in str(caught.value)


def test_one_that_trickles(images: Make, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=100)
    monkeypatch.setattr(transport, "monotonic", lambda: next(clock))
    with pytest.raises(RegistryError, match="does not answer") as caught:
        fetch(images(), liar)
    assert "bytes came in 100 s" in caught.value.details


@pytest.mark.parametrize("code", [401, 403, 404, 400, 418])
def test_what_does_not_pass_is_not_tried_again(images: Make, liar: Liar, code: int) -> None:
    liar.spoil("manifests/", status(code), times=99)
    with pytest.raises(UserError if code == 404 else RegistryError):
        fetch(images(), liar)
    assert len(liar.asked("manifests/")) == 1


def test_one_that_wants_a_long_pause_gets_none(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", status(429, Retry_After="3600"), times=99)
    with pytest.raises(RegistryError, match="asked too often, and to be asked again after 3600 s"):
        fetch(images(), liar)
    assert len(liar.asked("manifests/")) == 1


def test_a_date_to_wait_for(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"))
    liar.spoil("manifests/", status(503, Retry_After="tomorrow"))
    fetch(images(), liar)


def test_a_long_fetch_says_how_far_it_is(images: Make, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PERIOD", 0.01)
    liar.spoil("blobs/", lambda _, reply: replace(reply, pause=0.2), times=4)
    said: list[str] = []
    fetch(images(progress=said.append), liar)
    assert f"{liar.host}/app:1, linux/arm64: 0 of 0 MB" in said


# resuming


def test_a_download_goes_on_where_it_broke_off(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    liar.spoil(digest, cut)
    fetch(images(), liar)
    first, second = liar.asked(digest)
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={size // 2}-"


def test_it_goes_on_in_another_run(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    hasty = images()
    hasty.patience = Patience(attempts=1)
    liar.spoil(digest, cut)
    with pytest.raises(RegistryError, match="does not answer"):
        fetch(hasty, liar)
    fetch(images(), liar)
    assert liar.asked(digest)[-1].headers["Range"] == f"bytes={size // 2}-"


def _no_range(seen: Seen, reply: Reply, layout: Path) -> Reply:
    return Reply(200, (layout / "blobs/sha256" / seen.path.rpartition(":")[2]).read_bytes())


def test_a_registry_that_knows_no_ranges(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, cut)
    liar.spoil(digest, lambda seen, reply: _no_range(seen, reply, layout))
    fetch(images(), liar)
    assert len(liar.asked(digest)) == 2


def test_another_part_than_was_asked_for(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, cut)
    liar.spoil(digest, lambda _, reply: replace(reply, headers={"Content-Range": "bytes 0-9/10"}))
    with pytest.raises(RegistryError, match="does not answer as a registry"):
        fetch(images(), liar)
    fetch(images(), liar)


def test_bytes_of_before_that_are_damaged(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    made = images()
    partial = made.store.root / "partial" / digest.partition(":")[2]
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"damaged" * 100)
    fetch(made, liar)
    first, second = liar.asked(digest)
    assert first.headers["Range"] == "bytes=700-"
    assert "Range" not in second.headers
    assert list(partial.parent.iterdir()) == []
    # a whole one that is damaged, and one that is too long
    for name, junk in (("whole", bytes(size)), ("long", bytes(size + 1))):
        other = images(name)
        partial = other.store.root / "partial" / digest.partition(":")[2]
        partial.parent.mkdir(parents=True)
        partial.write_bytes(junk)
        fetch(other, liar)


SCRIPT = """
import sys
from pathlib import Path
from harness.arch import by_name
from harness.oci.fetch import Images
from harness.store import Store
image = Images(Store(Path(sys.argv[1]))).fetch(sys.argv[2], by_name("arm64"), Path())
print(image.digest)
"""


def run(cache: Path, liar: Liar) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(cache), f"{liar.host}/app:1"], stdout=subprocess.PIPE, text=True
    )


def test_a_killed_download_is_gone_on_with(images: Make, liar: Liar, layout: Path, tmp_path: Path) -> None:
    digest, size = largest_layer(layout)
    arrived = tmp_path / "cache/partial" / digest.partition(":")[2]
    liar.spoil(digest, lambda _, reply: replace(reply, slow=0.01))
    process = run(tmp_path / "cache", liar)
    while not arrived.exists():
        assert process.poll() is None
    while not (arrived.stat().st_size if arrived.exists() else 0):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = arrived.stat().st_size
    assert 0 < have < size
    fetch(images(), liar)
    assert liar.asked(digest)[-1].headers["Range"] == f"bytes={have}-"


def test_two_at_once_fetch_once(liar: Liar, tmp_path: Path) -> None:
    liar.spoil("blobs/", lambda _, reply: replace(reply, pause=0.1), times=4)
    both = [run(tmp_path / "cache", liar) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert len(answers) == 1
    assert all(process.returncode == 0 for process in both)
    paths = [one.path for one in liar.asked("/blobs/")]
    assert len(paths) == len(set(paths)) == 4  # the config and three layers


def test_a_full_disk_is_said_in_words(liar: Liar, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size=8k disk "$1" || exit 99; shift; exec "$@"'
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path / "disk")]
    argv += [sys.executable, "-c", SCRIPT, str(tmp_path / "disk"), f"{liar.host}/app:1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no small disk without privilege here: {done.stderr.strip()}")
    assert "HostError: the disk is full: could not write " in done.stderr


def test_a_damaged_cache_is_mended(images: Make, liar: Liar) -> None:
    layer = fetch(images(), liar).layers[0]
    layer.path.write_bytes(b"x" * layer.size)
    said: list[str] = []
    fetch(images(progress=said.append), liar)
    assert f"{layer.digest} is damaged in the cache: fetching it again" in said
    assert len(liar.asked(layer.digest)) == 2


# lies


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
        (b"<html>", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"9" * 10_000, "is no JSON"),
        (b'{"schemaVersion": 2, "manifests": [' + b"0," * 60_000 + b"0]}", "more than 50000 values"),
        ([], "is no JSON object"),
        ({"schemaVersion": 1, "fsLayers": []}, "schema 1"),
        ({**OWN, "manifests": []}, "neither a manifest nor an index"),
        ({"schemaVersion": 2}, "neither a manifest nor an index"),
        ({**OWN, "mediaType": "text/\x1b[2Jplain"}, r"its media type is 'text/\?\[2Jplain'"),
        ({**OWN, "schemaVersion": 3}, "schemaVersion"),
        ({**OWN, "config": {**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}}, "no container image"),
        ({**OWN, "config": {**CONFIG, "size": 5 << 20}}, "its config is larger"),
        ({**OWN, "config": {**CONFIG, "digest": "sha256:../../etc/passwd"}}, "config.digest"),
        ({**OWN, "layers": [{**LAYER, "size": -1}]}, "layers.0.size"),
        ({**OWN, "layers": [{**LAYER, "size": 1 << 60}]}, "layers.0.size"),
        ({**OWN, "layers": [{**LAYER, "size": "1"}] * 1001}, "layers"),
        ({**OWN, "layers": [{**LAYER, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]},
         "the layer sha256:.* is 'application"),
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


# away from the registry


@pytest.fixture
def login(home: Path, liar: Liar) -> None:
    """A login for the registry, which asks for it."""
    (home / ".docker").mkdir()
    auths = {liar.host: {"username": USER, "password": PASSWORD}}
    (home / ".docker/config.json").write_text(json.dumps({"auths": auths}))
    liar.challenge = 'Basic realm="tests"'


def test_a_login_does_not_follow_to_another_host(images: Make, liar: Liar, login: None, layout: Path) -> None:
    store = Server(lambda seen: Reply(200, (layout / "blobs/sha256" / seen.path[1:]).read_bytes()))
    away = lambda seen, _: Reply(307, headers={"Location": f"http://{store.host}/{seen.path.rpartition(':')[2]}"})  # noqa: E731
    liar.spoil("blobs/", away, times=99)
    fetch(images(), liar)
    store.close()
    assert len(store.seen) == 4
    assert all("Authorization" not in one.headers for one in store.seen)
    assert len([one for one in liar.asked("blobs/") if "Authorization" in one.headers]) == 4


def test_a_login_follows_within_the_host(images: Make, liar: Liar, login: None) -> None:
    liar.spoil("manifests/1", lambda *_: Reply(307, headers={"Location": "/v2/app/manifests/1?again"}))
    liar.spoil("again", lambda seen, _: liar.honest(replace(seen, path="/v2/app/manifests/1")))
    fetch(images(), liar)
    assert "Authorization" in liar.asked("again")[0].headers


def test_a_redirected_host_cannot_ask_for_the_login(images: Make, liar: Liar, login: None) -> None:
    other = Server(lambda _: Reply(401, headers={"WWW-Authenticate": 'Basic realm="mine"'}))
    liar.spoil("blobs/", lambda *_: Reply(302, headers={"Location": f"http://{other.host}/"}), times=99)
    with pytest.raises(RegistryError, match="refuses to give it"):
        fetch(images(), liar)
    other.close()
    assert all("Authorization" not in one.headers for one in other.seen)


def test_a_login_that_is_refused_is_sent_once(images: Make, liar: Liar, login: None) -> None:
    liar.spoil("manifests/", status(401, WWW_Authenticate=liar.challenge), times=99)
    with pytest.raises(RegistryError, match="refuses the login that is kept for it"):
        fetch(images(), liar)
    assert len([one for one in liar.seen if "Authorization" in one.headers]) == 1


@pytest.mark.parametrize(
    "target", ["/v2/app/manifests/1", "ftp://other.example/", "file:///etc/passwd", "http://[", ""]
)
def test_redirects_that_lead_nowhere(images: Make, liar: Liar, target: str) -> None:
    liar.spoil("manifests/", lambda *_: Reply(302, headers={"Location": target}), times=99)
    with pytest.raises(RegistryError, match="does not answer as a registry"):
        fetch(images(), liar)
    assert len(liar.seen) < 10


def test_what_was_encrypted_stays_so(images: Make, layout: Path, home: Path, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "tls")
    liar, plain = Liar(layout, pair), Server(lambda _: Reply())
    liar.spoil("manifests/", lambda *_: Reply(302, headers={"Location": f"http://{plain.host}/"}), times=99)
    with pytest.raises(RegistryError, match="does not answer as a registry") as caught:
        fetch(images(), liar)
    assert "nothing is encrypted" in caught.value.details
    liar.faults.clear()
    # the realm of a token is where the login would go
    (home / ".docker").mkdir()
    auths = {liar.host: {"username": USER, "password": PASSWORD}}
    (home / ".docker/config.json").write_text(json.dumps({"auths": auths}))
    liar.spoil("manifests/", status(401, WWW_Authenticate=f'Bearer realm="http://{plain.host}/token"'), times=99)
    with pytest.raises(RegistryError, match=r"wants its login sent to .* in the clear"):
        fetch(images(), liar)
    assert plain.seen == []
    plain.close()
    liar.close()


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ("Negotiate", "asks for a login in a way that is not known"),
        ("Bearer", "does not answer as a registry"),
        ('Bearer realm=""', "does not answer as a registry"),
        ('Bearer realm="file:///etc/passwd"', "does not answer as a registry"),
        ('Bearer realm="HOST/none"', "does not answer as a registry"),
        ('Bearer realm="HOST/large"', "does not answer as a registry"),
        ('Bearer realm="HOST/odd"', "gave no token"),
        ('Bearer realm="HOST/lines"', "gave no token"),
        ('Bearer realm="http://[::"', "does not answer as a registry"),
        ('Bearer realm="HOST/token"', "refuses the login"),
    ],
)
def test_challenges(images: Make, liar: Liar, login: None, challenge: str, words: str) -> None:
    answers = {
        "/large": b" " * (2 << 20),
        "/odd": b"[]",
        "/lines": b'{"token": "a\\r\\nX: y"}',
        "/token": b'{"token": "t"}',
    }
    server = Server(
        lambda seen: Reply(200, answers[path]) if (path := seen.path.partition("?")[0]) in answers else Reply(404)
    )
    liar.spoil("manifests/", status(401, WWW_Authenticate=challenge.replace("HOST", f"http://{server.host}")), times=99)
    with pytest.raises(HarnessError, match=words) as caught:
        fetch(images(), liar)
    server.close()
    assert PASSWORD not in str(caught.value)
    assert len(liar.seen) < 10


def test_an_interrupt_ends_the_download(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, lambda _, reply: replace(reply, slow=0.01), times=1)

    def alive() -> None:
        if liar.asked(digest):
            raise KeyboardInterrupt

    made = images(alive=alive)
    with pytest.raises(KeyboardInterrupt):
        fetch(made, liar)
    fetch(images(), liar)
