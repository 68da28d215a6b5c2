"""Whether a host that answers over SSH is the one that is meant: the keys that are known of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.board.knownhosts import known, name_of, vouched
from harness.board.programs import located
from harness.board.sshconfig import Hop
from harness.errors import HostError, MachineError, UserError
from harness.text import of_error

if TYPE_CHECKING:
    from paramiko import PKey, SSHClient, Transport

SYSTEM = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
OWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
RSA = ("rsa-sha2-512", "rsa-sha2-256")


class HostTrust:
    """Judges the key that a host shows: paramiko's policy, for a client that knows no key itself.

    ``scanned`` says that this host can reach it straight, and so have its certificates shown.
    """

    def __init__(self, hop: Hop, base: Path, *, scanned: bool) -> None:
        """UserError when the known hosts' files cannot be read."""
        target = hop.target
        self._hop, self._scanned = hop, scanned
        self._name = f"{target.user}@{target.host}" + (f":{target.port}" if target.port != 22 else "")
        said = (target.known_hosts,) if target.known_hosts else (*(hop.known_hosts or OWN), *SYSTEM)
        try:
            self._known = known([located(one, base) for one in said], hop.alias or name_of(target.host, target.port))
        except OSError as error:
            raise UserError(f"cannot read the known host keys: {of_error(error)}") from error

    def transport(self, sock: Any, **more: Any) -> Transport:
        """Return a transport that asks for a key of a kind that is known first."""
        import paramiko

        made = paramiko.Transport(sock, **more)
        options = made.get_security_options()
        kinds = [kind for key in self._known.keys for kind in _kinds(key) if kind in options.key_types]
        options.key_types = list(dict.fromkeys([*kinds, *options.key_types]))
        return made

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        """Judge a key. MachineError: it is revoked, or another one than is known; UserError: none is known."""
        wire, target = key.asbytes(), self._hop.target
        if wire in self._known.revoked:
            raise MachineError(
                f"{self._name} shows a host key that is marked as revoked",
                hint="whoever has that key may pretend to be the host: see @revoked in known_hosts",
            )
        if wire in self._known.keys or (self._known.authorities and wire in self._vouched()):
            return
        if self._known.keys:
            raise MachineError(
                f"{self._name} shows another host key than the known one",
                details=f"known: {_end(self._known.keys[0])}, shown: {_end(wire)} (the ends)",
                hint="another machine answers there, or it was installed anew: compare, then put its key into "
                "known_hosts",
            )
        if self._hop.lax and not target.known_hosts:
            return
        raise UserError(
            f"the host key of {self._name} is not known",
            hint="it shows no certificate of the authority that known_hosts names"
            if self._known.authorities
            else f"ssh-keyscan -p {target.port} {target.host}, compare it with the machine's own, and add it to "
            "known_hosts",
        )

    def _vouched(self) -> list[bytes]:
        if not self._scanned:
            raise UserError(
                f"the host key of {self._name} is not known: its certificate cannot be seen over another host",
                hint="add the host's own key to known_hosts beside @cert-authority",
            )
        target = self._hop.target
        try:
            names = [self._hop.alias or target.host]
            found = vouched(target.host, target.port, self._known.authorities, names)
        except HostError as error:
            raise UserError(
                f"the certificate of {self._name} cannot be seen: {error.message}", hint=error.hint
            ) from error
        return [key for key in found if key not in self._known.revoked]


def _kinds(key: bytes) -> tuple[str, ...]:
    kind = key[4 : 4 + int.from_bytes(key[:4], "big")].decode(errors="replace")
    return RSA if kind == "ssh-rsa" else (kind,)


def _end(key: bytes) -> str:
    return base64.b64encode(key).decode()[-24:]
