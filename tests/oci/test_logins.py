"""Logins: where they are looked for, and how a registry is told."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from asking import ARM64, HERE, Make, docker_config
from servers import (
    IDENTITY,
    PASSWORD,
    USER,
    TokenServer,
    docker_registry,
    htpasswd,
)
from tiers import needs

from harness.errors import HostError, UserError
from harness.oci.auth import is_own
from harness.oci.trouble import RegistryError

pytestmark = pytest.mark.servers

BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def helper(home: Path, monkeypatch: pytest.MonkeyPatch, user: str = USER, secret: str = PASSWORD) -> None:
    """Put a credential helper named `tests` into the PATH."""
    program = home / "bin/docker-credential-tests"
    program.parent.mkdir(exist_ok=True)
    answer = json.dumps({"ServerURL": "?", "Username": user, "Secret": secret})
    program.write_text(f"#!/bin/sh\n[ $1 = get ] || exit 2\nread host\necho $host >>{home}/asked\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


@pytest.fixture(scope="session")
@needs("servers")
def basic(tmp_path_factory: pytest.TempPathFactory, stock: Path):
    """A registry that asks for a password."""
    folder = tmp_path_factory.mktemp("basic")
    with docker_registry(folder, stock, auth=htpasswd(folder / "users")) as host:
        yield host


@pytest.fixture(scope="session")
@needs("servers")
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
    with pytest.raises(RegistryError, match=rf"{host} (asks for a login|refuses access to it)") as caught:
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
        ('{"credsStore": "../evil"}', "is not a name of a credential helper"),
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


@pytest.mark.parametrize(
    ("registry", "server", "own"),
    [
        ("127.0.0.1:5000", "127.0.0.1", True),
        ("registry.example.com", "registry.example.com", True),
        ("registry.example.com:5000", "registry.example.com", True),
        ("registry.example.com:5000", "auth.registry.example.com", True),
        ("registry.example.com", "auth.example.com", False),
        ("mine.cloud.example", "thief.cloud.example", False),
        ("registry.example.com:5000", "example.com", False),
        ("registry.example.com", "thiefregistry.example.com", False),
        ("registry.example.com", "example.org", False),
        ("registry.example.com", "notexample.com", False),
        ("registry.co.uk", "thief.co.uk", False),
        ("127.0.0.1:5000", "9.0.0.1", False),
        ("localhost:5000", "thief", False),
        ("localhost:5000", "thief.localhost", False),
        ("127.0.0.1:5000", "9.127.0.0.1", False),
    ],
)
def test_a_login_goes_to_the_registrys_own_token_server(registry: str, server: str, own: bool) -> None:
    assert is_own(registry, server) == own


def test_a_token_server_that_is_listed_may_have_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TOKEN_SERVERS", "tokens.example.org, other.example.org")
    assert is_own("registry.example.com", "tokens.example.org")
    assert not is_own("registry.example.com", "thief.example.org")
