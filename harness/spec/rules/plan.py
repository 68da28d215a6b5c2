"""What is judged of plans beyond their shape: pure, on plain data, at each key's path."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.arch import ARCHES
from harness.errors import UserError
from harness.files import is_file, is_there
from harness.spec.models import forms
from harness.spec.rules import common as checks
from harness.spec.rules.images import EXPECTED, files_of
from harness.spec.rules.references import nearest_machine
from harness.spec.text.complaints import KeyPath, Problem, nearest

_VARIABLE = re.compile(forms.VARIABLE)
_MAIL_ADDRESS = re.compile(forms.MAIL_ADDRESS)
SHIPPED_CASES = "@harness"  # among a plan's cases: those that come with the harness
MEANT = "did you mean "  # how a hint begins that knows the right name
_SERVER = re.compile(forms.MAIL_SERVER)


def is_path(text: str) -> bool:
    """Say whether a machine is given as the path of a YAML file rather than by name."""
    return "/" in text or text.endswith((".yml", ".yaml"))


def plan(data: Mapping[str, Any], yaml: Path, shipped: Collection[str]) -> Iterator[Problem]:
    """Judge a plan's data. ``shipped`` has the names of the machines that come with the harness."""
    yield from _machines(data, (), yaml, shipped)
    for key in ("images", "machines"):
        if data.get(key) == ():
            yield Problem((key,), "is empty", f"at least one of the {key}")
    for index, case in checks.texts(data, "cases"):
        if case != SHIPPED_CASES and not is_there(yaml.parent / case):
            expected = f"a file or folder, relative to the plan, or {SHIPPED_CASES}"
            yield Problem(("cases", index), f"there is no {case!r}", expected)
    for index, row in checks.mappings(data, "known"):
        until = row.get("until")
        if isinstance(until, str) and not checks.is_day(until):
            yield Problem(
                ("known", index, "until"), f"{until!r} is not a day", "YYYY-MM-DD, the last day of the excuse"
            )
    yield from _notify(data.get("notify"))
    names = {*shipped, *ARCHES, *(Path(name).stem for _, name in checks.texts(data, "machines") if is_path(name))}
    for index, image in checks.mappings(data, "images"):
        at = ("images", index)
        yield from _machines(image, at, yaml, shipped)
        path = image.get("path")
        if isinstance(path, str):
            yield from _image(path, (*at, "path"), yaml)
        budgets = image.get("budgets")
        for name in budgets if isinstance(budgets, dict) else ():
            if name not in names:
                near = nearest(name, names)
                what = f"neither a machine nor an architecture is called {name!r}"
                expected = "" if near else f"one of: {', '.join(sorted(names))}"
                yield Problem((*at, "budgets", name), what, expected, near, at_key=True)


def _image(text: str, at: KeyPath, yaml: Path) -> Iterator[Problem]:
    try:
        files_of(text, yaml.parent)
    except UserError as error:
        if error.hint.startswith(MEANT):
            yield Problem(at, error.message, "", error.hint.removeprefix(MEANT).removesuffix("?"))
        elif error.hint == EXPECTED:
            yield Problem(at, error.message, f"{EXPECTED}; relative to the plan")
        else:
            yield Problem(at, f"{error.message} ({error.hint})", "an image, relative to the plan")


def _machines(data: Mapping[str, Any], at: KeyPath, yaml: Path, shipped: Collection[str]) -> Iterator[Problem]:
    for index, name in checks.texts(data, "machines"):
        path = (*at, "machines", index)
        if is_path(name):
            if not is_file(yaml.parent / name):
                yield Problem(path, f"there is no file {name!r}", "a machine's YAML, relative to the plan")
        elif name not in shipped:
            near = nearest_machine(name, shipped)
            expected = "" if near else f"one of: {', '.join(shipped)}, or a path"
            yield Problem(path, f"unknown machine {name!r}", expected, near)


def _notify(given: object) -> Iterator[Problem]:
    if not isinstance(given, dict):
        return
    email = given.get("email")
    for at, part in ((("notify",), given), (("notify", "email"), email)):
        for key, value in part.items() if isinstance(part, dict) else ():
            if key.endswith("_env") and isinstance(value, str) and not _VARIABLE.fullmatch(value):
                yield Problem((*at, key), "is not the name of a variable", "A-Z, digits and _: no secret belongs here")
    yield from _addresses(email) if isinstance(email, dict) else ()
    server = email.get("server") if isinstance(email, dict) else None
    if isinstance(server, str) and (not _SERVER.fullmatch(server) or not 0 <= server_of(server)[1] <= 65535):
        yield Problem(("notify", "email", "server"), f"{server!r} is not a mail server", "HOST or HOST:PORT")


def server_of(text: str) -> tuple[str, int]:
    """Return host and port of a mail server; 0 where it names no port, -1 where that is none."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), 0
    return host.strip("[]"), int(port) or -1


def _addresses(email: Mapping[str, Any]) -> Iterator[Problem]:
    at: KeyPath = ("notify", "email")
    if email.get("to") == ():
        yield Problem((*at, "to"), "is empty", "the mail addresses of those who are told")
    given: list[tuple[KeyPath, object]] = [(("to", index), text) for index, text in checks.texts(email, "to")]
    for path, text in [*given, (("from",), email.get("from"))]:
        if isinstance(text, str) and not _MAIL_ADDRESS.fullmatch(text):
            yield Problem((*at, *path), f"{text[:80]!r} is not a mail address", "NAME@HOST, or SOMEBODY <NAME@HOST>")
