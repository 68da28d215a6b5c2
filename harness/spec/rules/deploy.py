"""What is judged of how an image gets to a board and is started there: pure, on plain data, at each key's path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.patterns import LONGEST, compiled
from harness.spec.models import forms
from harness.spec.models.board import KEYS, Deploy
from harness.spec.models.packet import PROTOCOLS, packet_pattern
from harness.spec.rules import common as checks
from harness.spec.text.complaints import KeyPath, Problem, nearest

NAMES = ("kernel", "initrd", "cmdline", "folder", "here", "url")  # what is filled in
MOST_STEPS = 50
LAST_PORT = 65535
_BRACED = re.compile(r"(?<!\$)\{(\w+)\}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}")
_RANGE = re.compile(r"[0-9A-Fa-f.:]{2,45},[0-9A-Fa-f.:]{2,45}")
_NUMBERS = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_CONTROL = re.compile(r"ctrl-[a-z]")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_ADDRESS = re.compile(forms.HOST)


def board(data: Mapping[str, Any], at: KeyPath = ("board",)) -> Iterator[Problem]:
    """Judge the part of a machine's `board` that is about images."""
    address = data.get("address")
    if isinstance(address, str) and address and not _ADDRESS.fullmatch(address):
        yield Problem((*at, "address"), f"{address!r} is not a host", "a host's name or address")
    yield from _ports(data, at)
    steps = checks.mappings(data, "loader")
    if len(steps) > MOST_STEPS:
        yield Problem((*at, "loader"), f"has {len(steps)} steps", f"at most {MOST_STEPS}")
    for index, step in steps[:MOST_STEPS]:
        where: KeyPath = (*at, "loader", index)
        if isinstance(step.get("wait"), str) and step["wait"]:
            yield from pattern(step["wait"], (*where, "wait"))
        if isinstance(step.get("send"), str):
            yield from _filled(step["send"], (*where, "send"))
            if not step["send"].isprintable():
                yield Problem((*where, "send"), "has characters that cannot be typed", "one line of text")
        yield from _keys(step, where)
        if "repeat" in step and index == steps[-1][0]:
            yield Problem((*where, "repeat"), "has no next step, whose `wait` would end it", at_key=True)
    console = data.get("console")
    if isinstance(console, dict):
        for index, word in checks.texts(console, "command"):
            yield from _filled(word, (*at, "console", "command", index))
        if isinstance(console.get("ready"), str) and console["ready"]:
            yield from pattern(console["ready"], (*at, "console", "ready"))
    if isinstance(data.get("login"), dict):
        yield from login(data["login"], (*at, "login"))
    if isinstance(data.get("deploy"), dict):
        yield from _deploy(data["deploy"], (*at, "deploy"), data)


def _keys(step: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    key = step.get("key")
    if isinstance(key, str) and key and key not in KEYS and not _CONTROL.fullmatch(key):
        near = nearest(key, (*KEYS, "ctrl-c"))
        yield Problem(
            (*at, "key"), f"there is no key {key!r}", "" if near else "one of enter, esc, f1, ctrl-c, …", near
        )
    if key and "send" in step:
        yield Problem((*at, "key"), "there is 'send' already", "one of the two", at_key=True)
    if "repeat" in step and not key and "send" not in step:
        yield Problem((*at, "repeat"), "means nothing without `key` or `send`", at_key=True)
    if step.get("echo") is True and ("send" not in step or "repeat" in step):
        yield Problem((*at, "echo"), "is for what is sent once", at_key=True)
    for index, text in checks.texts(step, "fail"):
        yield from pattern(text, (*at, "fail", index))


def _ports(data: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    guests: set[str] = set()
    for index, text in checks.texts(data, "ports"):
        there, _, guest = text.partition(":")
        if not all(_PORT.fullmatch(number) and int(number) <= LAST_PORT for number in (there, guest)):
            yield Problem((*at, "ports", index), f"{text!r} is not a pair of ports", "THERE:GUEST, as in 2222:22")
        elif guest in guests:
            yield Problem((*at, "ports", index), f"the guest's port {guest} has one already", "each once")
        guests.add(guest)
    if data.get("ports") and not data.get("address"):
        yield Problem((*at, "ports"), "means nothing without `address`", at_key=True)


def _deploy(deploy: Mapping[str, Any], at: KeyPath, data: Mapping[str, Any]) -> Iterator[Problem]:
    given = [key for key in Deploy.one_of if key in deploy and deploy[key] is not False]
    if not given:
        yield Problem(at, "says nothing of what it is", f"one of: {', '.join(Deploy.one_of)}")
    for key in given[1:]:
        yield Problem((*at, key), f"there is {given[0]!r} already", "one of the two", at_key=True)
    if deploy.get("command") == ():
        yield Problem((*at, "command"), "is not a command", "a program and its arguments")
    for index, word in checks.texts(deploy, "command"):
        yield from _filled(word, (*at, "command", index))
    if deploy.get("kexec") is True and "ssh" not in data:
        yield Problem((*at, "kexec"), "needs `ssh`: the way to the system that runs there", at_key=True)
    netboot = deploy.get("netboot")
    if isinstance(netboot, dict):
        for key, good, what in (
            ("interface", _INTERFACE, "a network interface, as in eth1"),
            ("range", _RANGE, "two addresses: FIRST,LAST"),
            ("file", _FILE, "a file's name"),
        ):
            value = netboot.get(key)
            if isinstance(value, str) and value and not good.fullmatch(value):
                yield Problem((*at, "netboot", key), f"{value!r} is not a valid {key}", what)

    web = deploy.get("http")
    address = web.get("address") if isinstance(web, dict) else None
    if isinstance(address, str) and address and not _NUMBERS.fullmatch(address):
        yield Problem((*at, "http", "address"), f"{address!r} is not an address", "one of this host's, in numbers")


def pattern(text: str, at: KeyPath) -> Iterator[Problem]:
    """Judge a pattern of RE2's that must be found in something."""
    if len(text) > LONGEST:
        yield Problem(at, f"has {len(text)} characters", f"at most {LONGEST}")
        return
    try:
        if compiled(text).search(b"") is not None:
            yield Problem(at, "is found in an empty line", "a pattern that says how the line looks")
    except ValueError as error:
        yield Problem(at, f"is not a pattern: {error}", "a regular expression of RE2's: no look-around, no \\1")


def packet(text: str, at: KeyPath) -> Iterator[Problem]:
    """Judge what says which packet is meant."""
    try:
        packet_pattern(text)
    except ValueError as error:
        yield Problem(
            at, f"is not a packet: {error}", f"one of {', '.join(PROTOCOLS)}; tcp and udp with a port: udp 67"
        )


def _filled(text: str, at: KeyPath) -> Iterator[Problem]:
    """Judge a text in which names are filled in; other braces are the boot loader's or the program's own."""
    for name in _BRACED.findall(text):
        if name not in NAMES and (near := nearest(name, NAMES)):
            yield Problem(at, f"nothing is called {{{name}}}", "", f"{{{near}}}")


def login(data: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    """Judge a login on the console."""
    if "password" in data and "password_env" in data:
        yield Problem((*at, "password_env"), "there is a password already", "one of the two", at_key=True)
    for key, text in data.items():
        if isinstance(text, str) and not text.isprintable():
            yield Problem((*at, key), "has characters that cannot be typed or seen", "one line of text")
