"""What OpenSSH's own configuration says of a host (~/.ssh/config and the system's), as `ssh -G` reads it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from harness import proc
from harness.errors import HostError, UserError
from harness.spec.models.board import SshTarget

WAIT_S = 20.0
FILES = ("-F", "none")  # instead of the user's and the system's: what is so without any
OWN: tuple[str, ...] = ()  # where they are read from, in the place of where OpenSSH looks


@dataclass(frozen=True)
class Hop:
    """A host to connect to: the target with what OpenSSH's configuration adds where the YAML is silent.

    ``alias`` is the name that its key is known by, ``proxy`` the command that leads there, ``keys`` are more files of
    private keys, ``certificates`` those of their certificates. With ``lax`` an unknown host is accepted, as its user
    has said; one with another key than the known one never is.
    """

    target: SshTarget
    alias: str = ""
    proxy: str = ""
    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    known_hosts: tuple[str, ...] = ()
    lax: bool = False


def configured(target: SshTarget) -> tuple[Hop, tuple[str, ...]]:
    """Return a target as OpenSSH's configuration has it, and the hosts to go over that this names.

    Without the program `ssh` there is none. UserError when it cannot be read.
    """
    said = _said(target)
    fixed = target.model_fields_set
    changes: dict[str, object] = {"host": said.get("hostname", [target.host])[0]}
    if "port" not in fixed and "port" in said:
        changes["port"] = int(said["port"][0])
    if "user" not in fixed and "user" in said:
        changes["user"] = said["user"][0]
    one = target.model_copy(update=changes)
    proxy = "" if target.jump else _none(said.get("proxycommand", [""])[0])
    for sign, value in (("%h", one.host), ("%p", str(one.port)), ("%r", one.user), ("%n", target.host), ("%%", "%")):
        proxy = proxy.replace(sign, value)
    over = _none(said.get("proxyjump", [""])[0])
    own_keys = not target.key and not target.password_env
    hop = Hop(
        one,
        alias=_none(said.get("hostkeyalias", [""])[0]),
        proxy=proxy,
        keys=tuple(said.get("identityfile", ())) if own_keys else (),
        certificates=tuple(said.get("certificatefile", ())),
        known_hosts=tuple(word for row in said.get("userknownhostsfile", ()) for word in shlex.split(row)),
        lax=said.get("stricthostkeychecking", [""])[0] in ("no", "false", "off", "accept-new"),
    )
    return hop, tuple(over.split(",")) if over and not target.jump else ()


def _said(target: SshTarget) -> Mapping[str, list[str]]:
    """Return what is said of a host over what is so without any configuration."""
    try:
        proc.resolve("ssh")
    except HostError:
        return {}
    given = ["-p", str(target.port)] if "port" in target.model_fields_set else []
    given += ["-l", target.user] if "user" in target.model_fields_set else []
    usual, own = (_rows(["ssh", "-G", *files, *given, "--", target.host]) for files in (FILES, OWN))
    return {key: rows for key, rows in own.items() if rows != usual.get(key)}


def _rows(argv: list[str]) -> dict[str, list[str]]:
    try:
        done = proc.run(argv, timeout=WAIT_S)
    except proc.CommandError as error:
        raise UserError(
            "OpenSSH's configuration cannot be read", details=error.stderr.strip()[-500:], hint="see ~/.ssh/config"
        ) from error
    found: dict[str, list[str]] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def _none(text: str) -> str:
    return "" if text == "none" else text
