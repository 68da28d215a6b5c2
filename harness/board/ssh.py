"""A machine over SSH: host keys checked, keys from files and the agent, hosts to go over, commands and files."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.errors import HarnessError, MachineError, UserError
from harness.spec.models.board import SshTarget
from harness.system.shell import MOST_COMMAND, MOST_OUTPUT, CommandResult, LineDeadError, judge, seconds

if TYPE_CHECKING:
    from paramiko import Channel, SFTPClient, SSHClient

SYSTEM_KEYS = Path("/etc/ssh/ssh_known_hosts")
CONNECT_S = 20.0  # for each of a connection's steps
KEEPALIVE_S = 10
GRACE_S = 15.0  # for the answer to come once a command's time is over
TICK_S = 0.2
AGAIN_S = 0.5  # between attempts at a machine that does not answer yet
PIECE = 1 << 20
# Output goes to a file first: a program left in the background does not hold its end back.
RUN = (
    'd=$(mktemp -d /tmp/.shell.XXXXXX) || d=$(mktemp -d /run/.shell.XXXXXX) || exit 125; '
    'printf %s {text} | base64 -d >"$d/cmd"; '
    'timeout -s KILL {limit} /bin/sh "$d/cmd" </dev/null >"$d/out" 2>&1; code=$?; '
    'head -c {most} "$d/out"; rm -rf "$d"; exit $code'
)  # fmt: skip
_JUMP = re.compile(r"(?:(?P<user>[^@]+)@)?(?:\[(?P<six>[^]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?")


class UnreachableError(MachineError):
    """A machine does not answer over SSH (yet)."""


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
        except (paramiko.SSHException, OSError) as error:
            raise UnreachableError(f"{_name(self.target)} opens no session: {error}") from error

    def sftp(self) -> SFTPClient:
        """Return a file transfer; MachineError when the machine offers none."""
        import paramiko

        client = self.open()
        try:
            return client.open_sftp()
        except (paramiko.SSHException, OSError) as error:
            raise MachineError(
                f"{_name(self.target)} takes no files: {error}", hint="has it an sftp-server?"
            ) from error

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
        try:
            client.connect(
                hop.host,
                hop.port,
                hop.user,
                password=password,
                key_filename=str(key) if key else None,
                passphrase=secret(hop.key_password_env, f"the key of {name}"),
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


@dataclass
class SshShell:
    """`run` over SSH, and files.

    Its files are those of the login, whatever ``enter`` says.
    ``check_machine`` is called while waiting and raises when waiting is vain.
    """

    fast: ClassVar = True
    connection: Connection
    check_machine: Callable[[], None] = lambda: None
    multiplier: float = 1.0
    enter: str = ""  # what leads from where the login is to where commands are to run, as a prefix
    _dead: str = field(default="", init=False)

    def start(self, timeout: float = 60) -> None:
        """Wait until the machine lets us in; LineDeadError when it does not within `timeout` seconds."""
        deadline = time.monotonic() + timeout * self.multiplier
        while True:
            self.check_machine()
            try:
                self.connection.open()
                return
            except UnreachableError as error:
                if time.monotonic() >= deadline:
                    raise LineDeadError(f"no shell over SSH within {timeout:g} s: {error.message}") from error
            time.sleep(AGAIN_S)

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` (see `Shell.run`)."""
        if not cmd.strip() or len(cmd.encode()) > MOST_COMMAND or "\0" in cmd:
            raise UserError(f"not a command: empty, over {MOST_COMMAND >> 10} KiB, or with a NUL")
        limit = timeout * self.multiplier
        self.start(limit + GRACE_S)
        text = b64encode(cmd.encode()).decode()
        script = RUN.format(text=text, limit=seconds(limit), most=MOST_OUTPUT)
        began = time.monotonic()
        words = f"exec {self.enter} /bin/sh -c {shlex.quote(script)}"
        output, code = self._exec(words, limit + GRACE_S * self.multiplier)
        late = time.monotonic() - began >= limit
        return judge(CommandResult(cmd, output, code), late=late, timeout=limit, check=check)

    def put(self, local: Path, remote: str) -> None:
        """Copy a file onto the machine; MachineError when it does not arrive whole."""
        with self.connection.sftp() as files:
            try:
                files.put(str(local), remote)
            except OSError as error:
                raise MachineError(f"{local.name} cannot be put to {remote}: {error}") from error

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the machine; MachineError when it cannot be read or is over 64 MiB."""
        with self.connection.sftp() as files:
            try:
                if (files.stat(remote).st_size or 0) > MOST_OUTPUT:
                    raise MachineError(f"{remote} is over {MOST_OUTPUT >> 20} MiB")
                files.get(remote, str(local))
            except OSError as error:
                raise MachineError(f"{remote} cannot be got: {error}") from error

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    def _exec(self, command: str, patience: float) -> tuple[bytes, int]:
        import paramiko

        deadline = time.monotonic() + patience
        output = bytearray()
        with self._session(deadline) as channel:
            try:
                channel.exec_command(command)
                channel.settimeout(TICK_S)
                while True:
                    try:
                        piece = channel.recv(PIECE)
                    except TimeoutError:
                        self.check_machine()
                        if time.monotonic() > deadline:
                            raise LineDeadError("the shell over SSH does not answer") from None
                        continue
                    if not piece:
                        break
                    output += piece
                    deadline = max(deadline, time.monotonic() + GRACE_S)
                    if len(output) > MOST_OUTPUT:
                        raise LineDeadError(f"the shell over SSH said more than {MOST_OUTPUT >> 20} MiB")
                channel.status_event.wait(max(TICK_S, deadline - time.monotonic()))
            except (paramiko.SSHException, OSError, EOFError) as error:
                self.check_machine()
                raise LineDeadError(f"the connection was lost: {error or type(error).__name__}") from error
            if not channel.exit_status_ready() or channel.recv_exit_status() < 0:
                self.check_machine()
                raise LineDeadError("the connection was lost before the command's end")
            return bytes(output), channel.recv_exit_status()

    def _session(self, deadline: float) -> Channel:
        """Return a new session, of a new connection where the server of the old one has ended: nothing was run yet."""
        while True:
            try:
                return self.connection.channel()
            except UnreachableError as error:
                self.check_machine()
                if time.monotonic() >= deadline:
                    raise LineDeadError(error.message) from error
            self.connection.close()
            time.sleep(AGAIN_S)
