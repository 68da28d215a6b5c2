"""What is judged of profiles and waivers beyond their shape: at each key's path, with a look at the cases' files."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import UserError
from harness.files import is_file, read
from harness.spec.models import forms
from harness.spec.rules import common as checks
from harness.spec.rules import library as checks_library
from harness.spec.text.complaints import KeyPath, Problem, nearest

KEY, WAIVERS_KEY = "requirements", "waivers"  # which no other kind of file has
LARGEST = 4 << 20  # bytes of a case file
OWN = "./"  # how a case file beside the profile begins; any other is one of the harness's
_ID = re.compile(forms.REQUIREMENT)
_CASE = re.compile(forms.CASE)


def case_file(name: str, yaml: Path) -> Path:
    """Return the file of a requirement's case."""
    return yaml.parent / name.removeprefix(OWN) if name.startswith(OWN) else paths.CASES / name


def parts_of(case: str) -> tuple[str, str]:
    """Return the file and the function of a requirement's case; no function stands for all of the file."""
    file, _, function = case.partition("::")
    return file, function


def profile(data: Mapping[str, Any], yaml: Path | None) -> Iterator[Problem]:
    """Judge a profile's data; the files of its cases are looked for unless `yaml` is None, as for a stranger's."""
    ids: set[str] = set()
    for index, row in checks.mappings(data, KEY):
        at: KeyPath = (KEY, index)
        name = row.get("id")
        if isinstance(name, str):
            if not _ID.fullmatch(name):
                yield Problem((*at, "id"), f"{name!r} is not an id", "up to 40 of a-z 0-9 -")
            if name in ids:
                yield Problem((*at, "id"), f"{name!r} is here twice", "each id once")
            ids.add(name)
        if row.get("cases") == ():
            yield Problem((*at, "cases"), "is empty", "what shows it: file.py::test_name")
        for place, case in checks.texts(row, "cases"):
            yield from _case(case, (*at, "cases", place), yaml)
        for place, arch in checks.texts(row, "architectures"):
            yield from checks.problem((*at, "architectures", place), checks_library.architecture(arch))


def _case(text: str, at: KeyPath, yaml: Path | None) -> Iterator[Problem]:
    match = _CASE.fullmatch(text)
    if match is None or ".." in text.split("/"):
        yield Problem(at, f"{text!r} is not a case", "file.py::test_name of the harness, or ./file.py::test_name")
        return
    if yaml is None:
        return
    path = case_file(match["file"], yaml)
    if not is_file(path):
        where = "beside the profile" if match["file"].startswith(OWN) else "among the harness's cases"
        yield Problem(at, f"there is no {match['file']!r} {where}")
    elif match["case"] and match["case"] not in (known := functions(path)):
        near = nearest(match["case"], known)
        expected = "" if near else "one of its functions"
        yield Problem(at, f"{match['file']} has no {match['case']}", expected, near and f"{match['file']}::{near}")


@cache
def functions(path: Path) -> tuple[str, ...]:
    """Return the names of a case file's functions; none when it is not Python."""
    try:
        tree = ast.parse(read(path, LARGEST))
    except (UserError, SyntaxError, ValueError):
        return ()
    return tuple(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def waivers(data: Mapping[str, Any], known: Collection[str] | None) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, row in checks.mappings(data, WAIVERS_KEY):
        at: KeyPath = (WAIVERS_KEY, index)
        until, name = row.get("until"), row.get("requirement")
        if isinstance(until, str) and not checks.is_day(until):
            yield Problem((*at, "until"), f"{until!r} is not a date", "the last day on which it counts, as 2027-03-31")
        if not isinstance(name, str):
            continue
        if known is not None and name not in known:
            near = nearest(name, known)
            expected = "" if near else f"one of: {', '.join(known)}"
            yield Problem((*at, "requirement"), f"the profile has no requirement {name!r}", expected, near)
        if name in seen:
            yield Problem((*at, "requirement"), f"{name!r} is waived twice", "each requirement once")
        seen.add(name)
