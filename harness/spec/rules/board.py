"""What is judged of a board beyond its shape: pure, on plain data, at each key's path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.spec.models import forms
from harness.spec.models.board import BoardConsole, LabgridPlace
from harness.spec.models.power import BoardPower
from harness.spec.rules import common as checks
from harness.spec.text.complaints import KeyPath, Problem, nearest

# pySerial's handlers of URLs; a text without :// is a device's path
SCHEMES = ("rfc2217", "socket", "hwgrep", "cp2110", "alt", "spy", "loop")
# Names reach the command lines of programs: the patterns keep options out.
_HOST = re.compile(forms.HOST)
_OID = re.compile(r"[A-Za-z0-9.][A-Za-z0-9.:_-]{0,250}")
_WORD = re.compile(r"[A-Za-z0-9[][]A-Za-z0-9_.:-]{0,100}")
_VARIABLE = re.compile(forms.VARIABLE)
_USER = re.compile(r"[^\s\x00-\x1f\x7f:@-][^\s\x00-\x1f\x7f]{0,63}")
_JUMP = re.compile(
    r"(?:[^\s@:-][^\s@:]{0,63}@)?(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9._-]{0,252})(?::\d{1,5})?"
)


def board(data: Mapping[str, Any], at: KeyPath = ("board",)) -> Iterator[Problem]:
    """Judge the data of a machine's `board`."""
    yield from _secrets(data, at)
    for index, name in checks.texts(data, "secrets_env"):
        yield from _variable(name, (*at, "secrets_env", index))
    console = data.get("console")
    if isinstance(console, dict):
        yield from _console(console, (*at, "console"))
        yield from _log(console, data, at)
    power = data.get("power")
    if isinstance(power, dict):
        yield from _power(power, (*at, "power"))
    if isinstance(data.get("ssh"), dict):
        yield from _target(data["ssh"], (*at, "ssh"))
    yield from _lab(data, at)


def _lab(data: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    for key in ("console", "power"):
        if "lab" not in data and isinstance(data.get(key), dict) and data[key].get("labgrid") is True:
            yield Problem((*at, key, "labgrid"), "there is no place to take it from", "`lab: {labgrid: {place: NAME}}`")
    lab = data.get("lab")
    place = lab.get("labgrid") if isinstance(lab, dict) else None
    if isinstance(place, dict):
        yield from _one_of(place, LabgridPlace.one_of, (*at, "lab", "labgrid"))
        for key in ("place", "coordinator"):
            value = place.get(key)
            if isinstance(value, str) and not _WORD.fullmatch(value):
                yield Problem((*at, "lab", "labgrid", key), f"{value!r} is not a valid {key}", "a word, without spaces")
        tags = place.get("tags")
        for key, value in tags.items() if isinstance(tags, dict) else ():
            if not (
                isinstance(key, str) and isinstance(value, str) and _WORD.fullmatch(key) and _WORD.fullmatch(value)
            ):
                yield Problem((*at, "lab", "labgrid", "tags", key), "is not a tag", "words of letters, digits and _.:-")


def _one_of(data: Mapping[str, Any], keys: tuple[str, ...], at: KeyPath) -> Iterator[Problem]:
    given = [key for key in keys if key in data and data[key] is not False]
    if not given:
        yield Problem(at, "says nothing of what it is", f"one of: {', '.join(keys)}")
    for key in given[1:]:
        yield Problem((*at, key), f"there is {given[0]!r} already", "one of the two", at_key=True)


def _console(console: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    yield from _one_of(console, BoardConsole.one_of, at)
    serial = console.get("serial")
    if isinstance(serial, str):
        scheme, colon, _ = serial.partition("://")
        if not serial or not serial.isprintable():
            yield Problem(
                (*at, "serial"), "is not a serial line", "a device such as /dev/ttyUSB0, or a URL of pySerial's"
            )
        elif colon and scheme not in SCHEMES:
            near = nearest(scheme, SCHEMES)
            yield Problem((*at, "serial"), f"unknown kind of line {scheme!r}",
                          "" if near else f"a device, or one of: {', '.join(SCHEMES)}", near)  # fmt: skip
    elif "serial" not in console and "rtscts" in console:
        yield Problem((*at, "rtscts"), "means nothing without `serial`", at_key=True)
    for key in ("command", "after"):
        yield from _argv(console, key, at)
    for key in ("ready", "after"):
        if key in console and "command" not in console:
            yield Problem((*at, key), "means nothing without `command`", at_key=True)
    if isinstance(console.get("ssh"), dict):
        yield from _target(console["ssh"], (*at, "ssh"))


def _log(console: Mapping[str, Any], data: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    if console.get("log") is not True:
        return
    if "ssh" not in data:
        yield Problem((*at, "console", "log"), "needs `ssh`: the way to the log", at_key=True)
    for key in ("loader", "login"):
        if data.get(key):
            yield Problem((*at, key), "needs a console, and there is only the kernel's log", at_key=True)


def _power(power: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    yield from _one_of(power, BoardPower.one_of, at)
    for way in BoardPower.one_of:
        given = power.get(way)
        if not isinstance(given, dict):
            continue
        for key in ("on", "off", "cycle", "status"):
            yield from _argv(given, key, (*at, way))
        for key in ("url",) if way != "http" else ("on", "off"):
            yield from _url(given.get(key), (*at, way, key))
        yield from _host(given.get("host"), (*at, way, "host"))
        oid = given.get("oid")
        if isinstance(oid, str) and not _OID.fullmatch(oid):
            yield Problem(
                (*at, way, "oid"), f"{oid!r} is not an object of SNMP's", "numbers with dots, or MIB::name.index"
            )
        user = given.get("user")
        if isinstance(user, str) and user and not _USER.fullmatch(user):
            yield Problem((*at, way, "user"), f"{user!r} is not a user's name", "a name without spaces")
    snmp = power.get("snmp")
    if isinstance(snmp, dict):
        third = snmp.get("version") == "3"
        for key in ("user", "auth", "auth_password_env", "privacy", "privacy_password_env"):
            if key in snmp and not third:
                yield Problem((*at, "snmp", key), "is for SNMP's version 3", at_key=True)
        if third and not snmp.get("user"):
            yield Problem((*at, "snmp"), "SNMP's version 3 without its `user`", "a user's name")


def _target(target: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    yield from _host(target.get("host"), (*at, "host"))
    user = target.get("user")
    if isinstance(user, str) and user and not _USER.fullmatch(user):
        yield Problem((*at, "user"), f"{user!r} is not a user's name", "a name without spaces")
    for index, jump in checks.texts(target, "jump"):
        if not _JUMP.fullmatch(jump):
            yield Problem((*at, "jump", index), f"{jump!r} is not a host to jump over", "[user@]host[:port]")


def _argv(data: Mapping[str, Any], key: str, at: KeyPath) -> Iterator[Problem]:
    value = data.get(key)
    if value == () or (isinstance(value, tuple) and (value[0] == "" or any("\0" in str(word) for word in value))):
        yield Problem((*at, key), "is not a command", "a program and its arguments")


def _host(host: object, at: KeyPath) -> Iterator[Problem]:
    if isinstance(host, str) and host and not _HOST.fullmatch(host):
        yield Problem(at, f"{host!r} is not a host", "a host's name or address")


def _url(url: object, at: KeyPath) -> Iterator[Problem]:
    if not isinstance(url, str) or not url:
        return
    try:
        parts = urlsplit(url)
        whole = bool(parts.scheme in ("http", "https") and parts.hostname and url.isprintable() and parts.port != 0)
    except ValueError:
        whole = False
    if not whole:
        yield Problem(at, "is not a web address", "http://… or https://…")
    elif parts.username is not None:
        yield Problem(at, "has a user or a password in it", "them in `user` and `password_env`")


def _secrets(data: Mapping[str, Any], at: KeyPath) -> Iterator[Problem]:
    """Judge the names under every key that ends in ``_env``."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _secrets(value, (*at, key))
        elif isinstance(value, str) and isinstance(key, str) and key.endswith("_env"):
            yield from _variable(value, (*at, key))


def _variable(name: str, at: KeyPath) -> Iterator[Problem]:
    if not _VARIABLE.fullmatch(name):  # it may be the secret itself: it is not shown
        yield Problem(at, "is not a variable's name", "the name of the variable that holds the secret")
