"""Where images are asked for: other locations, mirrors, certificates, proxies, and the settings of a build."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from asking import ARM64, HERE, Make, conf, index_of
from servers import (
    Liar,
    Reply,
    Seen,
    Server,
    docker_registry,
    make_pair,
)

from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import UserError
from harness.oci.registries import find
from harness.oci.trouble import RegistryError
from harness.store import file_digest


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


def test_certificates_on_loopback_count_as_elsewhere(images: Make, stock: Path, tmp_path: Path, home: Path) -> None:
    ours, other = make_pair(tmp_path, "ours"), make_pair(tmp_path, "other")
    with tls(stock, tmp_path / "tls", clientcas=[str(ours.certificate)]) as (host, pair):
        folder = home / ".config/containers/certs.d" / host
        folder.mkdir(parents=True)
        for suffix, path in ((".cert", ours.certificate), (".key", ours.key)):
            shutil.copy(path, folder / f"ours{suffix}")
        images().fetch(f"{host}/app:1", ARM64, HERE)
        shutil.copy(other.certificate, folder / "ca.crt")
        with pytest.raises(RegistryError, match="has a certificate that is not trusted"):
            images("other").fetch(f"{host}/app:1", ARM64, HERE)
        shutil.copy(pair.certificate, folder / "ca.crt")
        images("right").fetch(f"{host}/app:1", ARM64, HERE)
        shutil.copy(other.certificate, folder / "ca.crt")
        conf(home, f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        images("insecure").fetch(f"{host}/app:1", ARM64, HERE)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_is_not_asked_for_what_is_on_loopback(
    images: Make, liar: Liar, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = Server(lambda _: Reply(502, b"I am a proxy"))
    monkeypatch.setenv(variable, f"http://{proxy.host}")
    image = images().fetch(f"{liar.host}/app:1", ARM64, HERE)
    proxy.close()
    assert len(image.layers) == 3 and proxy.seen == []


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
