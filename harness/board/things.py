"""What a board's lock is on: each console and each outlet, by its address, however many files describe them."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from harness.board.loader import filled
from harness.board.programs import located_argv
from harness.spec.models.board import Board, BoardConsole, SshTarget
from harness.spec.models.machine import MachineSpec
from harness.spec.models.power import BoardPower
from harness.store import digest_of

_SIGNS = re.compile(r"[^A-Za-z0-9.:_-]+")
MOST_SIGNS = 48  # of a thing's words in the name of its lock


def names(machine: MachineSpec) -> tuple[str, ...]:
    """Return the names of a board's things, sorted: file names, equal where two files mean one console or outlet.

    A thing has a name for each way of naming it that can be seen from here: a host's name and its addresses, a device
    and what it links to. A switch whose programs for on and off are one and the same switches nothing, and is no thing.
    """
    board = machine.board
    assert board is not None
    base = machine.path.parent.absolute()
    found = {*_places(board, machine), *_console(board, base), *_outlet(board.power, base)}
    return tuple(sorted(f"{_SIGNS.sub('-', one)[:MOST_SIGNS].strip('-.')}-{digest_of([one])[:8]}" for one in found))


@lru_cache(maxsize=256)
def hosts(name: str) -> tuple[str, ...]:
    """Return a host's name and the addresses that it has from here; the name alone where it has none."""
    plain = name.strip("[]").lower().rstrip(".")
    found = {plain}
    with suppress(OSError, UnicodeError):
        found |= {str(row[4][0]) for row in socket.getaddrinfo(plain, None, type=socket.SOCK_STREAM)}
    return tuple(sorted(_address(one) for one in found))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return text


def _places(board: Board, machine: MachineSpec) -> Iterator[str]:
    if board.lab is not None:
        place = board.lab.labgrid
        # a reserved place is the lab's to give: what is shared is this description of what may be had
        own = place.place or f"any for {machine.name} {digest_of([place.tags])[:8]}"
        yield f"labgrid {place.coordinator} {own}"


def _console(board: Board, base: Path) -> Iterator[str]:
    console = board.console
    if console.serial is not None:
        yield from _serial(console, base)
    elif console.command is not None:
        words = (filled(word, _Self(here=str(base))) for word in console.command)
        yield f"program {located_argv(list(words), base)}"
    elif console.ssh is not None:
        yield from _over_ssh(console.ssh, f"{console.ssh.command or console.ssh.user}")
    elif console.log and board.ssh is not None:
        yield from _over_ssh(board.ssh, "log")


class _Self(dict[str, str]):
    """Names to fill in; one that is known for a boot alone stands for itself."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def _serial(console: BoardConsole, base: Path) -> Iterator[str]:
    text = console.serial or ""
    url = urlsplit(text)
    if "://" not in text:
        device = base / text
        yield from {f"device {device}", f"device {device.resolve()}"}
    elif url.hostname:
        with suppress(ValueError):  # a port that is none is told when the line is opened
            yield from (f"line {host} {url.port}" for host in hosts(url.hostname))
    else:
        yield f"line {text}"


def _over_ssh(target: SshTarget, what: str) -> Iterator[str]:
    way = " over ".join(("", *target.jump))
    # behind another host a name has another meaning
    for host in hosts(target.host) if not target.jump else (target.host,):
        yield f"ssh {host} {target.port}{way} {what}"


def _outlet(power: BoardPower, base: Path) -> Iterator[str]:
    if power.command is not None and power.command.on != power.command.off:
        yield f"switch {located_argv(power.command.on, base)}"
    elif power.http is not None:
        body = f" {power.http.on_body}" if power.http.on_body else ""
        yield from (f"outlet {url}{body}" for url in _urls(power.http.on))
    elif power.snmp is not None:
        oid = power.snmp.oid.lstrip(".")
        yield from (f"snmp {host} {power.snmp.port} {oid}" for host in hosts(power.snmp.host))
    elif power.pdudaemon is not None:
        outlet = f"{power.pdudaemon.pdu} {power.pdudaemon.outlet}"
        yield from (f"pdu {url} {outlet}" for url in _urls(power.pdudaemon.url))
    elif power.ipmi is not None:
        yield from (f"ipmi {host} {power.ipmi.port}" for host in hosts(power.ipmi.host))
    elif power.redfish is not None:
        yield from (f"redfish {url} {power.redfish.system}" for url in _urls(power.redfish.url))


def _urls(text: str) -> Iterator[str]:
    """Return an address of the web under each of its host's names."""
    try:
        url = urlsplit(text)
        port = url.port or {"https": 443}.get(url.scheme, 80)
    except ValueError:
        yield text
        return
    rest = url.path.rstrip("/") + (f"?{url.query}" if url.query else "")
    yield from (f"{host} {port}{rest}" for host in hosts(url.hostname or ""))
