"""A connection over SSH: host keys checked, keys from files and the agent, hosts to go over."""

from __future__ import annotations

import logging
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, MachineError, UserError
from harness.spec.models.board import SshTarget

if TYPE_CHECKING:
    from paramiko import Channel, SSHClient

SYSTEM_KEYS = Path("/etc/ssh/ssh_known_hosts")
CONNECT_S = 20.0  # for each of a connection's steps
KEEPALIVE_S = 10
AGAIN_S = 0.5  # between attempts at a machine that does not answer yet
_JUMP = re.compile(r"(?:(?P<user>[^@]+)@)?(?:\[(?P<six>[^]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?")


class UnreachableError(MachineError):
    """A machine does not answer over SSH (yet)."""


class NoSessionError(UnreachableError):
    """A machine is connected and opens no further session: it may allow few, and not have closed the last one yet."""


def jumps(target: SshTarget) -> tuple[SshTarget, ...]:
    """Return the hosts to go over: with the target's own user and keys where nothing else is said."""
    found = []
    for text in target.jump:
        match = _JUMP.fullmatch(text)
        assert match, text  # `harness.spec.rules.board` lets no other through
        host = match["six"] or match["host"]
        user, port = match["user"] or target.user, int(match["port"] or 22)
        found.append(target.model_copy(update={"host": host, "user": user, "port": port, "jump": ()}))
    return tuple(found)


def located(text: str, base: Path) -> Path:
    """Return a file that the machine's YAML names: relative to the YAML's folder `base`, or to the home folder."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else base / path


def secret(variable: str, whose: str) -> str | None:
    """Return a secret from the environment, None when no variable is named; UserError when it is not set."""
    if not variable:
        return None
    value = os.environ.get(variable)
    if value is None:
        raise UserError(f"the password of {whose} is not in the environment", hint=f"set {variable}")
    return value


class Connection:
    """A connection over SSH, made when it is first needed and again when it was lost."""

    def __init__(self, target: SshTarget, base: Path) -> None:
        self.target, self._base = target, base
        self._clients: list[SSHClient] = []

    def open(self) -> SSHClient:
        """Return the connected client.

        UnreachableError when nothing answers, MachineError when another host answers, UserError when the host's key is
        unknown or the login is refused.
        """
        if self._clients and (transport := self._clients[-1].get_transport()) and transport.is_active():
            return self._clients[-1]
        self.close()
        try:
            for hop in (*jumps(self.target), self.target):
                self._clients.append(self._connect(hop))
        except BaseException:
            self.close()
            raise
        return self._clients[-1]

    def channel(self) -> Channel:
        """Return a new session; errors as `open`'s."""
        import paramiko

        transport = self.open().get_transport()
        try:
            assert transport is not None
            return transport.open_session(timeout=CONNECT_S)
        except paramiko.ChannelException as error:
            raise NoSessionError(f"{_name(self.target)} opens no session: {error.text}") from error
        except (paramiko.SSHException, OSError) as error:
            raise UnreachableError(f"{_name(self.target)} opens no session: {error}") from error

    def close(self) -> None:
        """End it."""
        while self._clients:
            self._clients.pop().close()

    def _connect(self, hop: SshTarget) -> SSHClient:
        import paramiko

        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # its errors are told here
        client, name = paramiko.SSHClient(), _name(hop)
        self._trust(client, hop)
        key = located(hop.key, self._base) if hop.key else None
        password = secret(hop.password_env, name)
        own = key is None and password is None  # else too many keys are tried before it
        if key and not key.is_file():
            raise UserError(f"there is no key {hop.key!r} for {name}", hint="see `key` in the machine's YAML")
        passphrase = secret(hop.key_password_env, f"the key of {name}")
        if key:
            _see_key(key, passphrase, hop)
        try:
            client.connect(
                hop.host,
                hop.port,
                hop.user,
                password=password,
                key_filename=str(key) if key else None,
                passphrase=passphrase,
                look_for_keys=own,
                allow_agent=own,
                timeout=CONNECT_S,
                banner_timeout=CONNECT_S,
                auth_timeout=CONNECT_S,
                sock=self._over(hop),
            )
            transport = client.get_transport()
            assert transport is not None
            transport.set_keepalive(KEEPALIVE_S)
        except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
            client.close()
            raise _explained(error, hop) from error
        except HarnessError:
            client.close()
            raise
        return client

    def _trust(self, client: SSHClient, hop: SshTarget) -> None:
        import paramiko

        try:
            if hop.known_hosts:
                client.load_system_host_keys(str(located(hop.known_hosts, self._base)))
            else:
                client.load_system_host_keys()
                if SYSTEM_KEYS.is_file():
                    client.load_system_host_keys(str(SYSTEM_KEYS))
        except OSError as error:
            raise UserError(f"cannot read the known host keys: {error}") from error
        client.set_missing_host_key_policy(paramiko.RejectPolicy())

    def _over(self, hop: SshTarget) -> Channel | None:
        if not self._clients:
            return None
        transport = self._clients[-1].get_transport()
        assert transport is not None
        return transport.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=CONNECT_S)


def _see_key(key: Path, passphrase: str | None, hop: SshTarget) -> None:
    """See, before anything is reached, that a key is a private one and its password right; else UserError."""
    import paramiko

    if key.read_bytes()[:4096].startswith((b"ssh-", b"ecdsa-", b"sk-")):
        raise UserError(
            f"{hop.key!r} is a public key", hint=f"`key` is the private one: {hop.key.removesuffix('.pub')}?"
        )
    if passphrase is None:
        return  # what has a password is told of when it is used
    try:
        paramiko.PKey.from_path(key, passphrase.encode())  # type: ignore[arg-type]  # it takes bytes alone
    except (paramiko.SSHException, ValueError) as error:
        raise UserError(
            f"the key {hop.key!r} for {_name(hop)} does not open with its password",
            hint=f"see {hop.key_password_env}",
        ) from error
    except (TypeError, UnicodeError):
        return  # one without a password, or of a kind that is judged when it is used


def _name(hop: SshTarget) -> str:
    return f"{hop.user}@{hop.host}" + (f":{hop.port}" if hop.port != 22 else "")


def _explained(error: Exception, hop: SshTarget) -> HarnessError:
    import paramiko

    name = _name(hop)
    if isinstance(error, paramiko.BadHostKeyException):
        return MachineError(
            f"{name} shows another host key than the known one",
            details=f"known: {error.expected_key.get_base64()[-24:]}, shown: {error.key.get_base64()[-24:]} (the ends)",
            hint="another machine answers there, or it was installed anew: compare, then put its key into known_hosts",
        )
    if isinstance(error, socket.gaierror):
        return MachineError(f"there is no host {hop.host}: {error.strerror}")
    reasons: dict[str | type[Exception], tuple[str, str]] = {
        "not found in known_hosts": (
            f"the host key of {name} is not known",
            f"ssh-keyscan -p {hop.port} {hop.host}, compare it with the machine's own, and add it to known_hosts",
        ),
        paramiko.PasswordRequiredException: (f"the key for {name} has a password", "give `key_password_env`"),
        paramiko.AuthenticationException: (f"{name} refuses the login: {error}", "see `user`, `key`, `password_env`"),
        ValueError: (f"the key for {name} cannot be read: {error}", "a private key as ssh-keygen makes it"),
    }
    for what, (said, hint) in reasons.items():
        if what in str(error) if isinstance(what, str) else isinstance(error, what):
            return UserError(said, hint=hint)
    return UnreachableError(f"{name} does not answer over SSH: {error or type(error).__name__}")
