"""A connection over SSH: host keys checked, keys from files and the agent, hosts to go over."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.board.programs import located
from harness.board.sshconfig import Hop, configured
from harness.board.trust import HostTrust
from harness.errors import HarnessError, MachineError, UserError
from harness.files import read
from harness.spec.models.board import SshTarget
from harness.text import of_error

if TYPE_CHECKING:
    from paramiko import Channel, PKey, SSHClient

LARGEST_KEY = 1 << 20  # bytes
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
    own = target.model_dump(include=target.model_fields_set - {"host", "port", "jump", "command"})
    return tuple(_hop(text, own) for text in target.jump)


def _hop(text: str, own: Mapping[str, Any]) -> SshTarget:
    match = _JUMP.fullmatch(text)
    if match is None:  # `harness.spec.rules.board` lets no such one through: it is of ~/.ssh/config
        raise UserError(f"{text!r} is no host to go over", hint="see ProxyJump in ~/.ssh/config")
    said = {"user": match["user"], "port": match["port"] and int(match["port"])}
    told = {key: value for key, value in said.items() if value}
    return SshTarget.model_validate({**own, **told, "host": match["six"] or match["host"]}, by_alias=True, by_name=True)


def route(target: SshTarget) -> list[Hop]:
    """Return all hosts on the way to a target, itself the last, as OpenSSH's configuration has them."""
    last, over = configured(target)
    before = jumps(target) or tuple(_hop(text, {}) for text in over)
    return [*(configured(one)[0] for one in before), last]


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
        self._route: list[Hop] = []

    def open(self) -> SSHClient:
        """Return the connected client.

        UnreachableError when nothing answers, MachineError when another host answers, UserError when the host's key is
        unknown or the login is refused.
        """
        if self._clients and (transport := self._clients[-1].get_transport()) and transport.is_active():
            return self._clients[-1]
        self.close()
        try:
            self._route = self._route or route(self.target)
            for hop in self._route:
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
            raise UnreachableError(f"{_name(self.target)} opens no session: {of_error(error)}") from error

    def close(self) -> None:
        """End it."""
        while self._clients:
            self._clients.pop().close()

    def _connect(self, hop: Hop) -> SSHClient:
        import paramiko

        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # its errors are told here
        target = hop.target
        client, name = paramiko.SSHClient(), _name(target)
        trust = HostTrust(hop, self._base, scanned=not self._clients and not hop.proxy)
        client.set_missing_host_key_policy(cast(Any, trust))  # asked of every key: the client itself knows none
        keys, passphrase = self._keys(hop)
        password = secret(target.password_env, name)
        own = not keys and password is None  # else too many keys are tried before it
        try:
            client.connect(
                target.host,
                target.port,
                target.user,
                password=password,
                key_filename=cast(Any, keys or None),
                pkey=_certified(hop, keys, passphrase),
                passphrase=passphrase,
                look_for_keys=own,
                allow_agent=own or not target.key,
                timeout=CONNECT_S,
                banner_timeout=CONNECT_S,
                auth_timeout=CONNECT_S,
                sock=paramiko.ProxyCommand(hop.proxy) if hop.proxy else self._over(target),
                transport_factory=trust.transport,
            )
            transport = client.get_transport()
            assert transport is not None
            transport.set_keepalive(KEEPALIVE_S)
        except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
            client.close()
            raise _explained(error, target) from error
        except HarnessError:
            client.close()
            raise
        return client

    def _keys(self, hop: Hop) -> tuple[list[str], str | None]:
        """Return the files of the private keys to be tried, and the password of the YAML's."""
        target, name = hop.target, _name(hop.target)
        passphrase = secret(target.key_password_env, f"the key of {name}")
        if not target.key:
            paths = [Path(key).expanduser() for key in hop.keys]
            return [str(path) for path in paths if path.is_file()], passphrase
        key = located(target.key, self._base)
        if not key.is_file():
            raise UserError(f"there is no key {target.key!r} for {name}", hint="see `key` in the machine's YAML")
        _see_key(key, passphrase, target)
        return [str(key)], passphrase

    def _over(self, hop: SshTarget) -> Channel | None:
        if not self._clients:
            return None
        transport = self._clients[-1].get_transport()
        assert transport is not None
        return transport.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=CONNECT_S)


def _certified(hop: Hop, keys: list[str], passphrase: str | None) -> PKey | None:
    """Return the key that a certificate of the configuration belongs to; one beside its key is found by itself."""
    import paramiko

    for certificate in hop.certificates:
        for path in keys:
            with suppress(paramiko.SSHException, OSError, ValueError, TypeError):
                password = passphrase.encode() if passphrase else None
                key = paramiko.PKey.from_path(path, password)  # type: ignore[arg-type]  # it takes bytes alone
                key.load_certificate(str(Path(certificate).expanduser()))
                return key
    return None


def _see_key(key: Path, passphrase: str | None, hop: SshTarget) -> None:
    """See, before anything is reached, that a key is a private one and its password right; else UserError."""
    import paramiko

    if read(key, LARGEST_KEY).startswith((b"ssh-", b"ecdsa-", b"sk-")):
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
    if isinstance(error, socket.gaierror):
        return MachineError(f"there is no host {hop.host}: {error.strerror}")
    reasons: dict[type[Exception], tuple[str, str]] = {
        paramiko.PasswordRequiredException: (f"the key for {name} has a password", "give `key_password_env`"),
        paramiko.AuthenticationException: (f"{name} refuses the login: {error}", "see `user`, `key`, `password_env`"),
        ValueError: (f"the key for {name} cannot be read: {error}", "a private key as ssh-keygen makes it"),
    }
    for what, (said, hint) in reasons.items():
        if isinstance(error, what):
            return UserError(said, hint=hint)
    return UnreachableError(f"{name} does not answer over SSH: {error or type(error).__name__}")
