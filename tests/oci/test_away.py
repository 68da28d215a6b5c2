"""Registries that lead away: redirects and challenges, and what nobody else is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from asking import Make, fetch, status
from servers import PASSWORD, USER, Liar, Reply, Server, make_pair

from harness.errors import HarnessError
from harness.oci.trouble import RegistryError


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
    with pytest.raises(RegistryError, match="refuses access to it"):
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
        ('Bearer realm="HOST/round"', "its token server: HTTP status 302"),
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
        lambda seen: (
            Reply(302, headers={"Location": seen.path})
            if seen.path.startswith("/round")
            else Reply(200, answers[path])
            if (path := seen.path.partition("?")[0]) in answers
            else Reply(404)
        )
    )
    liar.spoil("manifests/", status(401, WWW_Authenticate=challenge.replace("HOST", f"http://{server.host}")), times=99)
    with pytest.raises(HarnessError, match=words) as caught:
        fetch(images(), liar)
    server.close()
    assert PASSWORD not in str(caught.value)
    assert len(liar.seen) < 10
