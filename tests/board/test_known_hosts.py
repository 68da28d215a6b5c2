"""Which host is the one that is meant: known_hosts as OpenSSH has it, its configuration, and certificates of hosts."""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiers import needs

from harness import tools
from harness.board.connection import Connection, route
from harness.board.knownhosts import Known, known, name_of
from harness.board.ssh import SshShell
from harness.errors import HarnessError, MachineError, UserError
from harness.spec.models.board import SshTarget

from .lab_servers import Sshd, free_port, running, sshd

KEYS = {word: base64.b64encode(word.encode()).decode() for word in ("one", "two", "old", "ca")}


def hashed(name: str) -> str:
    digest = hmac.digest(b"salt", name.encode(), hashlib.sha1)
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (b"salt", digest))


def test_which_lines_are_of_a_host(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        f"# a comment\n\nbroken\n@unknown board ssh-ed25519 {KEYS['one']}\nboard ssh-ed25519 n=t-base64\n"
        f"Board,other ssh-ed25519 {KEYS['one']} me@desk\n*.lab,!bad.lab ssh-rsa {KEYS['two']}\n"
        f"{hashed('[10.0.0.1]:2222')} ssh-ed25519 {KEYS['one']}\n@revoked * ssh-ed25519 {KEYS['old']}\n"
        f"@cert-authority *.lab,[b]:22 ssh-ed25519 {KEYS['ca']}\n"
    )
    files = [tmp_path / "none", tmp_path / "hosts"]
    assert known(files, "board") == Known([b"one"], [b"old"], [])
    assert known(files, "a.lab") == Known([b"two"], [b"old"], [b"ca"])
    assert known(files, "bad.lab") == Known([], [b"old"], [b"ca"])
    assert known(files, name_of("10.0.0.1", 2222)) == Known([b"one"], [b"old"], [])
    assert known(files, "10.0.0.1") == Known([], [b"old"], [])


@pytest.fixture(scope="module")
@needs("servers")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd whose key an authority vouches for."""
    if not tools.find("sshd"):
        pytest.skip("no sshd")
    folder = tmp_path_factory.mktemp("sshd")
    with sshd(folder, f"HostCertificate {folder}/host-cert.pub\nTrustedUserCAKeys {folder}/ca.pub\n") as one:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "ca")], check=True)
        yield one


def sign(server: Sshd, key: str, *more: str) -> None:
    there = server.folder
    argv = ["ssh-keygen", "-q", "-s", str(there / "ca"), "-I", "lab", *more, str(there / f"{key}.pub")]
    subprocess.run(argv, check=True)


def told(server: Sshd, hosts: str, **changes: object) -> str:
    (server.folder / "hosts").write_text(hosts)
    on = SshShell(Connection(server.target(known_hosts="hosts", **changes), server.folder))
    try:
        return on.run("echo in").text
    finally:
        on.close()


def test_a_revoked_key_is_refused_though_it_is_known(server: Sshd) -> None:
    mine = (server.folder / "known_hosts").read_text()
    assert told(server, mine) == "in\n"
    key = (server.folder / "host.pub").read_text()
    with pytest.raises(MachineError, match="marked as revoked"):
        told(server, f"{mine}@revoked * {key}")
    # one of several keys, whichever its place
    assert told(server, f"{mine.split()[0]} {(server.folder / 'id.pub').read_text()}{mine}") == "in\n"


@pytest.mark.parametrize(
    ("signed", "said"),
    [
        (("-h", "-n", "127.0.0.1"), ""),
        (("-h", "-n", "another"), "is not known"),
        (("-h", "-n", "127.0.0.1", "-V", "19990101:20000101"), "is not known"),
        (("-n", "127.0.0.1"), "is not known"),  # a user's
    ],
)
def test_an_authority_vouches_for_a_host(server: Sshd, tmp_path: Path, signed: tuple[str, ...], said: str) -> None:
    hosts = f"@cert-authority * {(server.folder / 'ca.pub').read_text()}"
    (server.folder / "host-cert.pub").unlink(missing_ok=True)
    sign(server, "host", *signed)
    port = free_port()
    argv = [tools.find("sshd") or "", "-D", "-e", "-f", str(server.folder / "config"), "-p", str(port)]
    with running(argv, port, tmp_path / "log"):  # it reads its certificate when it starts
        if not said:
            assert told(server, hosts, port=port) == "in\n"
            return
        with pytest.raises(HarnessError, match=said):
            told(server, hosts, port=port)


def test_a_users_certificate_beside_the_key(server: Sshd) -> None:
    mine = (server.folder / "known_hosts").read_text()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(server.folder / "mine")], check=True)
    with pytest.raises(UserError, match="refuses the login"):
        told(server, mine, key="mine")
    sign(server, "mine", "-n", getpass.getuser())
    assert told(server, mine, key="mine") == "in\n"


def test_what_opensshs_configuration_says_of_a_host(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    monkeypatch.setattr("harness.board.sshconfig.OWN", ("-F", str(config)))
    there = server.folder
    config.write_text(
        f"Include {tmp_path}/more\nHost board\n  HostName 127.0.0.1\n  Port {server.port}\n"
        f"  User {getpass.getuser()}\n  IdentityFile {there}/id\n  UserKnownHostsFile {there}/known_hosts\n"
        "Host far\n  HostName 127.0.0.1\n  ProxyJump board\n  HostKeyAlias desk\n"
    )
    (tmp_path / "more").write_text(f"Host far\n  UserKnownHostsFile {tmp_path}/hosts\n  IdentityFile {there}/id\n")
    (tmp_path / "hosts").write_text(f"desk {(there / 'host.pub').read_text()}")
    on = SshShell(Connection(SshTarget(host="board"), tmp_path))
    assert on.run("echo in").text == "in\n"
    on.close()
    far = SshTarget(host="far", port=server.port, user=getpass.getuser())
    on = SshShell(Connection(far, tmp_path))
    assert on.run("echo in").text == "in\n"
    on.close()
    over, last = route(far)
    assert (over.target.host, over.target.port, last.alias) == ("127.0.0.1", server.port, "desk")
    # what the YAML says stands
    said = route(SshTarget(host="board", port=1, user="me"))[0].target
    assert (said.host, said.port, said.user) == ("127.0.0.1", 1, "me")
    config.write_text("Host board\n  Nonsense yes\n")
    with pytest.raises(UserError, match="configuration cannot be read") as caught:
        route(SshTarget(host="board"))
    assert "nonsense" in caught.value.details.lower()
