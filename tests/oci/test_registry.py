"""Images from a real registry: Debian's docker-registry, filled by skopeo."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from servers import (
    IDENTITY,
    PASSWORD,
    USER,
    Liar,
    Reply,
    Seen,
    Server,
    TokenServer,
    docker_registry,
    htpasswd,
    make_pair,
    push,
)

from harness.arch import ARCHES, by_name
from harness.build.lock import Lock
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import HostError, UserError
from harness.exports import export, take
from harness.oci.fetch import Images
from harness.oci.registries import find
from harness.oci.trouble import RegistryError
from harness.store import file_digest

HERE = Path()
ARM64 = by_name("arm64")
Make = Callable[..., Images]
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def index_of(layout: Path) -> dict[str, str]:
    """Return the digests of a layout's manifests by architecture, as it says itself."""
    top = json.loads((layout / "index.json").read_text())["manifests"][0]
    rows = json.loads((layout / "blobs" / top["digest"].replace(":", "/")).read_text())["manifests"]
    return {row["platform"]["architecture"]: row["digest"] for row in rows}


@pytest.mark.parametrize("arch", ARCHES)
def test_each_architecture_gets_its_own(images: Make, registry: str, layout: Path, arch: str) -> None:
    row = by_name(arch)
    image = images().fetch(f"{registry}/app:1", row, HERE)
    assert image.digest == index_of(layout)[row.oci]
    assert str(image.platform) == f"linux/{row.oci}"
    assert image.config["config"]["Labels"] == {"a": "b"}
    manifest = json.loads((layout / "blobs" / image.digest.replace(":", "/")).read_text())
    assert [layer.digest for layer in image.layers] == [one["digest"] for one in manifest["layers"]]
    for layer in image.layers:
        assert layer.digest == f"sha256:{file_digest(layer.path)}"
        assert layer.size == layer.path.stat().st_size
    assert image.layers[0].media_type.endswith("+gzip")


def test_what_was_fetched_needs_no_registry(images: Make, stock: Path, tmp_path: Path) -> None:
    with docker_registry(tmp_path / "short", stock) as host:
        first = images().fetch(f"{host}/app:1", ARM64, HERE)
    assert images().fetch(f"{host}/app:1", ARM64, HERE) == first
    assert images(offline=True).fetch(f"{host}/app:1", ARM64, HERE) == first
    with pytest.raises(HostError, match=r"s390x is not in the cache, and this build is offline"):
        images(offline=True).fetch(f"{host}/app:1", by_name("s390x"), HERE)


def test_resolving_fetches_no_layer(images: Make, liar: Liar, layout: Path) -> None:
    assert images().resolve(f"{liar.host}/app:1", ARM64, HERE) == index_of(layout)["arm64"]
    assert len(liar.asked("/blobs/")) == 1  # the config


def test_a_tag_is_asked_about_again_only_when_told(
    images: Make, stock: Path, layout: Path, newer: Path, tmp_path: Path
) -> None:
    shutil.copytree(stock, tmp_path / "stock")
    with docker_registry(tmp_path / "moving", tmp_path / "stock") as host:
        name = f"{host}/app:1"
        pinned = f"{name}@{index_of(layout)['arm64']}"
        old, by_digest = images().resolve(name, ARM64, HERE), images().resolve(pinned, ARM64, HERE)
        push(newer, host, "app:1")
        assert images().resolve(name, ARM64, HERE) == old == by_digest
        fresh = images(refresh=True)
        assert fresh.resolve(name, ARM64, HERE) == index_of(newer)["arm64"] != old
        assert fresh.resolve(pinned, ARM64, HERE) == old
        assert images().resolve(name, ARM64, HERE) == index_of(newer)["arm64"]


def test_an_index_by_its_digest(images: Make, registry: str, layout: Path) -> None:
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    assert images().resolve(f"{registry}/app@{digest}", ARM64, HERE) == index_of(layout)["arm64"]


def test_platforms_there_are(images: Make, registry: str, newer: Path) -> None:
    with pytest.raises(UserError, match="app:2 is not there for linux/s390x") as caught:
        images().fetch(f"{registry}/app:2", by_name("s390x"), HERE)
    assert "it is there for: linux/arm64" in str(caught.value)
    # the manifest itself says it by its config
    name = f"{registry}/app@{index_of(newer)['arm64']}"
    with pytest.raises(UserError, match="is not there for linux/amd64") as caught:
        images().fetch(name, by_name("x86_64"), HERE)
    assert "it is there for: linux/arm64" in str(caught.value)


@pytest.mark.parametrize("name", ["app:none", "nothing:1", "app@sha256:" + "0" * 64])
def test_what_is_not_there(images: Make, registry: str, name: str) -> None:
    with pytest.raises(UserError, match=f"there is no {registry}/{name} on {registry}"):
        images().fetch(f"{registry}/{name}", ARM64, HERE)


def test_nobody_is_there(images: Make) -> None:
    with pytest.raises(RegistryError, match=r"127.0.0.1:1 does not answer"):
        images().fetch("127.0.0.1:1/app:1", ARM64, HERE)


def test_unqualified_names(images: Make, registry: str) -> None:
    with pytest.raises(UserError, match="no default registry is set") as caught:
        images().fetch("app:1", ARM64, HERE)
    assert "HARNESS_REGISTRY" in caught.value.hint
    for default in (registry, f"http://{registry}"):
        made = images(registries=partial(find, default))
        # a bare name stands for library/NAME, and app:2 is not there
        assert made.resolve("app:1", ARM64, HERE) == made.resolve("team/deep/app:1", ARM64, HERE)
        with pytest.raises(UserError, match=f"there is no {registry}/library/app:2"):
            made.resolve("app:2", ARM64, HERE)


# logins


def docker_config(home: Path, **config: object) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps(config))


def helper(home: Path, monkeypatch: pytest.MonkeyPatch, user: str = USER, secret: str = PASSWORD) -> None:
    """Put a credential helper named `tests` into the PATH."""
    program = home / "bin/docker-credential-tests"
    program.parent.mkdir(exist_ok=True)
    answer = json.dumps({"ServerURL": "?", "Username": user, "Secret": secret})
    program.write_text(f"#!/bin/sh\n[ $1 = get ] || exit 2\nread host\necho $host >>{home}/asked\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


@pytest.fixture(scope="session")
def basic(tmp_path_factory: pytest.TempPathFactory, stock: Path):
    """A registry that asks for a password."""
    folder = tmp_path_factory.mktemp("basic")
    with docker_registry(folder, stock, auth=htpasswd(folder / "users")) as host:
        yield host


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory, stock: Path):
    """A registry that asks for a token, and the server that gives them."""
    folder = tmp_path_factory.mktemp("tokens")
    server = TokenServer(folder)
    with docker_registry(folder, stock, auth=server.setting) as host:
        yield host, server
    server.server.close()


@pytest.mark.parametrize("kind", ["basic", "tokens"])
@pytest.mark.parametrize(
    "kept",
    ["host", "url", "name", "in-auth.json", "namespace", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "helper", "store"],
)
def test_a_login_is_found(
    images: Make, request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, kept: str
) -> None:
    host = request.getfixturevalue(kind)
    host = host if isinstance(host, str) else host[0]
    auth, wrong = {"auth": BASIC}, {"auth": base64.b64encode(b"robin:wrong").decode()}
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    if kept == "host":
        docker_config(home, auths={host: auth, "other.example": wrong})
    elif kept == "url":
        docker_config(home, auths={f"https://{host}/v1/": auth})
    elif kept == "name":
        docker_config(home, auths={host: {"username": USER, "password": PASSWORD}})
    elif kept == "namespace":
        docker_config(home, auths={f"{host}/team/deep": auth, f"{host}/team": wrong, host: wrong})
    elif kept == "in-auth.json":
        (home / ".config/containers").mkdir(parents=True)
        (home / ".config/containers/auth.json").write_text(json.dumps({"auths": {host: auth}}))
    elif kept == "DOCKER_CONFIG":
        (elsewhere / "config.json").write_text(json.dumps({"auths": {host: auth}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(elsewhere))
        docker_config(home, auths={host: wrong})
    elif kept == "REGISTRY_AUTH_FILE":
        (elsewhere / "any.json").write_text(json.dumps({"auths": {host: auth}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(elsewhere / "any.json"))
        docker_config(home, auths={host: wrong})
    else:
        helper(home, monkeypatch)
        settings = {"helper": {"credHelpers": {host: "tests"}}, "store": {"credsStore": "tests"}}
        docker_config(home, auths={host: wrong}, **settings[kept])
    name = f"{host}/team/deep/app:1"
    assert len(images().fetch(name, ARM64, HERE).layers) == 3
    if kept in ("helper", "store"):
        assert set((home / "asked").read_text().split()) == {host}


@pytest.mark.parametrize("kind", ["basic", "tokens"])
def test_a_login_that_lacks_or_is_refused(images: Make, request: pytest.FixtureRequest, home: Path, kind: str) -> None:
    host = request.getfixturevalue(kind)
    host = host if isinstance(host, str) else host[0]
    with pytest.raises(RegistryError, match=rf"{host} (asks for a login|refuses to give it)") as caught:
        images().fetch(f"{host}/app:1", ARM64, HERE)
    assert "docker login" in caught.value.hint
    docker_config(home, auths={host: {"username": USER, "password": "no-such-Password"}})
    with pytest.raises(RegistryError, match=rf"{host} refuses") as caught:
        images().fetch(f"{host}/app:1", ARM64, HERE)
    assert "Password" not in str(caught.value)


def test_an_identity_token(
    images: Make, tokens: tuple[str, TokenServer], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = tokens
    docker_config(home, auths={host: {"identitytoken": IDENTITY}})
    assert images("one").resolve(f"{host}/app:1", ARM64, HERE)
    helper(home, monkeypatch, "<token>", IDENTITY)
    docker_config(home, credsStore="tests")
    assert images("two").resolve(f"{host}/app:1", ARM64, HERE)


def test_a_token_without_a_login_and_one_that_expires(images: Make, stock: Path, tmp_path: Path) -> None:
    server = TokenServer(tmp_path / "tokens", anonymous=True)
    server.lives[0] = -300
    with docker_registry(tmp_path / "run", stock, auth=server.setting) as host:
        images().fetch(f"{host}/app:1", ARM64, HERE)
    asked = server.server.seen
    server.server.close()
    assert len(asked) == 2 + 1  # resolving with one that had expired and another; the layers with one of their own
    assert {one.fields["scope"] for one in asked} == {"repository:app:pull"}
    assert not any("Authorization" in one.headers for one in asked)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "logins cannot be read: .*config.json"),
        ('{"auths": {"HOST": {"auth": "c2VjcmV0"}}}', "the login of HOST in .* is damaged"),
        ('{"auths": {"HOST": {"auth": "%%%"}}}', "the login of HOST in .* is damaged"),
        ('{"auths": ["c2VjcmV0"]}', "logins cannot be read: .*auths"),
        ('{"credsStore": "../evil"}', "is no name of a credential helper"),
        ('{"credsStore": "absent"}', "docker-credential-absent is not installed"),
        ('{"credsStore": "tests"}', "docker-credential-tests gave no login for HOST"),
    ],
)
def test_logins_that_cannot_be_understood(
    images: Make, basic: str, home: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    helper(home, monkeypatch)
    program = home / "bin/docker-credential-tests"
    program.write_text("#!/bin/sh\necho c2VjcmV0\n")
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(text.replace("HOST", basic))
    with pytest.raises((UserError, HostError), match=words.replace("HOST", basic)) as caught:
        images().fetch(f"{basic}/app:1", ARM64, HERE)
    assert "c2VjcmV0" not in str(caught.value)


# places


def conf(home: Path, text: str) -> None:
    path = home / ".config/containers/registries.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_name_that_lives_elsewhere(images: Make, registry: str, home: Path) -> None:
    conf(home, f'[[registry]]\nprefix = "registry.example/ours"\nlocation = "{registry}/team/deep"\n')
    assert images().fetch("registry.example/ours/app:1", ARM64, HERE).layers


def test_mirrors_are_asked_in_their_order(images: Make, registry: str, liar: Liar, home: Path) -> None:
    # the first is down, the second lies about a layer, the third has it not, the place itself has all
    liar.spoil("blobs/", lambda _, reply: type(reply)(200, b"x" * len(reply.body)), times=99)
    conf(
        home,
        f"""
[[registry]]
location = "{registry}"
mirror = [{{ location = "127.0.0.1:1" }}, {{ location = "{liar.host}" }}, {{ location = "{registry}/nowhere" }}]
""",
    )
    said: list[str] = []
    image = images(progress=said.append).fetch(f"{registry}/app:1", ARM64, HERE)
    assert all(layer.digest == f"sha256:{file_digest(layer.path)}" for layer in image.layers)
    text = "\n".join(said)
    assert "127.0.0.1:1 does not answer" in text
    assert "what came has another digest; going on without" in text


def test_a_mirror_for_digests_alone(images: Make, registry: str, liar: Liar, home: Path, layout: Path) -> None:
    conf(
        home,
        f"""
[[registry]]
location = "{registry}"
mirror-by-digest-only = true
mirror = [{{ location = "{liar.host}" }}]
""",
    )
    images("tag").fetch(f"{registry}/app:1", ARM64, HERE)
    assert liar.seen == []
    images("digest").fetch(f"{registry}/app@{index_of(layout)['arm64']}", ARM64, HERE)
    assert len(liar.asked("/blobs/")) == 4


def test_a_blocked_name(images: Make, home: Path) -> None:
    conf(home, '[[registry]]\nprefix = "bad.example"\nblocked = true\n')
    with pytest.raises(UserError, match=r"bad.example/app:1 is blocked"):
        images().fetch("bad.example/app:1", ARM64, HERE)


@contextmanager
def tls(stock: Path, folder: Path, **more: object):
    folder.mkdir()
    pair = make_pair(folder, "registry")
    files = {"certificate": str(pair.certificate), "key": str(pair.key), **more}
    with docker_registry(folder, stock, http={"tls": files}) as host:
        yield host, pair


def test_certificates(images: Make, stock: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # loopback is trusted as it is: here it shall be as strict as any other host
    monkeypatch.setattr("harness.oci.registries.is_loopback", lambda _: False)
    with tls(stock, tmp_path / "tls") as (host, pair):
        with pytest.raises(RegistryError, match="has a certificate that is not trusted") as caught:
            images().fetch(f"{host}/app:1", ARM64, HERE)
        assert "certs.d" in caught.value.hint
        folder = home / ".config/containers/certs.d" / host
        folder.mkdir(parents=True)
        shutil.copy(pair.certificate, folder / "ca.crt")
        images("trusted").fetch(f"{host}/app:1", ARM64, HERE)
        (folder / "ca.crt").unlink()
        conf(home, f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        images("insecure").fetch(f"{host}/app:1", ARM64, HERE)


def test_a_certificate_of_ours(images: Make, stock: Path, tmp_path: Path, home: Path) -> None:
    ours = make_pair(tmp_path, "ours")
    with tls(stock, tmp_path / "tls", clientcas=[str(ours.certificate)]) as (host, pair):
        folder = home / ".config/containers/certs.d" / host
        folder.mkdir(parents=True)
        shutil.copy(pair.certificate, folder / "ca.crt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness.oci.registries.is_loopback", lambda _: False)
            with pytest.raises(RegistryError, match="does not answer"):
                images().fetch(f"{host}/app:1", ARM64, HERE)
            shutil.copy(ours.certificate, folder / "ours.cert")
            with pytest.raises(UserError, match=r"ours\.cert"):
                images().fetch(f"{host}/app:1", ARM64, HERE)
            shutil.copy(ours.key, folder / "ours.key")
            images().fetch(f"{host}/app:1", ARM64, HERE)
            (folder / "ca.crt").write_text("junk")
            with pytest.raises(UserError, match=r"ca\.crt"):
                images("other").fetch(f"{host}/app:1", ARM64, HERE)


def test_plain_http_only_where_it_is_said(
    images: Make, registry: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.oci.registries.is_loopback", lambda _: False)
    with pytest.raises(RegistryError, match="does not answer"):
        images().fetch(f"{registry}/app:1", ARM64, HERE)
    images("default", registries=partial(find, f"http://{registry}")).fetch("app:1", ARM64, HERE)
    conf(home, f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    images("conf").fetch(f"{registry}/app:1", ARM64, HERE)


def test_the_hosts_own_authorities(images: Make, stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.oci.registries.is_loopback", lambda _: False)
    with tls(stock, tmp_path / "tls") as (host, pair):
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        images().fetch(f"{host}/app:1", ARM64, HERE)


def test_a_proxy(images: Make, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(seen: Seen) -> Reply:
        return liar.honest(replace(seen, path=seen.path.partition("registry.example")[2]))

    proxy = Server(forward)
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
    image = images(registries=partial(find, "http://registry.example")).fetch("registry.example/app:1", ARM64, HERE)
    proxy.close()
    assert len(image.layers) == 3
    assert all(one.path.startswith("http://registry.example/v2/") for one in proxy.seen)
    assert liar.seen == []


def test_a_build_has_the_settings(registry: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str) -> str:
        return Builder(Settings(cache=tmp_path / "cache")).images.resolve(name, ARM64, HERE)

    monkeypatch.setenv("HARNESS_REGISTRY", registry)
    digest = resolve("app:1")
    (tmp_path / "own.conf").write_text(
        f'[[registry]]\nprefix = "registry.example"\nlocation = "{registry}/team/deep"\n'
    )
    monkeypatch.setenv("HARNESS_REGISTRIES_CONF", str(tmp_path / "own.conf"))
    assert resolve("registry.example/app:1") == digest
    monkeypatch.setenv("HARNESS_REGISTRIES_CONF", str(tmp_path / "none.conf"))
    with pytest.raises(UserError, match=r"there is no .*none.conf"):
        resolve("registry.example/app:1")


def test_a_lock_holds_what_a_tag_once_meant(images: Make, stock: Path, newer: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.lock"
    shutil.copytree(stock, tmp_path / "stock")
    with docker_registry(tmp_path / "moving", tmp_path / "stock") as host:
        name = f"{host}/app:1"
        lock = Lock(path)
        old = images(lock=lock).resolve(name, ARM64, HERE)
        lock.save()
        push(newer, host, "app:1")
        # another host, which has never seen the image
        assert images("elsewhere", lock=Lock(path)).fetch(name, ARM64, HERE).digest == old
        for reference, arch in ((f"{host}/app:2", ARM64), (name, by_name("s390x"))):
            with pytest.raises(UserError, match=f"does not list {reference} for {arch.name}"):
                images("elsewhere", lock=Lock(path)).resolve(reference, arch, HERE)
        update = Lock(path, update=True)
        new = images("elsewhere", lock=update, refresh=True).resolve(name, ARM64, HERE)
        update.save()
        assert images("other", lock=Lock(path)).resolve(name, ARM64, HERE) == new != old


def test_a_lock_knows_a_layout_that_has_changed(images: Make, layout: Path, newer: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.lock"
    (tmp_path / "img").symlink_to(layout)
    lock = Lock(path)
    images(lock=lock).resolve("oci:img", ARM64, tmp_path)
    lock.save()
    assert images(lock=Lock(path)).fetch("oci:img", ARM64, tmp_path).layers
    (tmp_path / "img").unlink()
    (tmp_path / "img").symlink_to(newer)
    with pytest.raises(UserError, match="oci:img, linux/arm64 is not what the lock says"):
        images(lock=Lock(path)).resolve("oci:img", ARM64, tmp_path)


def test_a_lock_of_before_there_were_images(tmp_path: Path) -> None:
    path = tmp_path / "image.lock"
    Lock(path).save()
    data = json.loads(path.read_text())
    del data["images"]
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="does not list app:1 for arm64"):
        Lock(path).find_image("arm64", "app:1")


def test_a_lock_and_an_exported_cache_need_no_registry(images: Make, stock: Path, tmp_path: Path) -> None:
    lock = Lock(tmp_path / "image.lock")
    with docker_registry(tmp_path / "short", stock) as host:
        name = f"{host}/app:1"
        here = images(lock=lock)
        image = here.fetch(name, ARM64, HERE)
        lock.save()
    assert export(here.store, tmp_path / "exported")["blobs"] == 5  # the manifest, the config, three layers
    there = images("elsewhere", lock=Lock(tmp_path / "image.lock"), offline=True)
    with pytest.raises(HostError, match="is not in the cache, and this build is offline"):
        there.fetch(name, ARM64, HERE)
    take(there.store, tmp_path / "exported")
    assert there.fetch(name, ARM64, HERE).digest == image.digest


def test_a_digest_is_never_asked_about_again(images: Make, liar: Liar, layout: Path) -> None:
    name = f"{liar.host}/app@{index_of(layout)['arm64']}"
    images().fetch(name, ARM64, HERE)
    asked = len(liar.seen)
    images(refresh=True).fetch(name, ARM64, HERE)
    assert len(liar.seen) == asked


def test_a_name_that_has_moved_is_asked_about_again(images: Make, registry: str, home: Path) -> None:
    name = "registry.example/app:1"
    conf(home, f'[[registry]]\nprefix = "registry.example"\nlocation = "{registry}/team/deep"\n')
    images().resolve(name, ARM64, HERE)
    conf(home, f'[[registry]]\nprefix = "registry.example"\nlocation = "{registry}/nowhere"\n')
    with pytest.raises(UserError, match=r"there is no registry\.example/app:1"):
        images().resolve(name, ARM64, HERE)
