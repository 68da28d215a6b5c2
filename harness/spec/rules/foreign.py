"""What is judged of a foreign OS beyond its shape: pure but for a look at its files, at each key's path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.arch import ARCHES
from harness.files import is_file
from harness.spec.models import forms
from harness.spec.models.base import SHIPPED
from harness.spec.rules import characters
from harness.spec.rules import common as checks
from harness.spec.rules import deploy as checks_deploy
from harness.spec.rules import library as checks_library
from harness.spec.text.complaints import KeyPath, Problem

KEY = "os"  # which no other kind of file has
READY = "ready"
MOST_MILESTONES = 100
_PLACE = re.compile(forms.OS_PLACE)
_WORD = re.compile(forms.OS_NAME)


def foreign(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    """Judge a foreign OS's data; the files that it names are looked for beside the YAML."""
    about = data.get(KEY)
    if isinstance(about, dict):
        if isinstance(about.get("arch"), str):
            yield from checks.problem((KEY, "arch"), checks_library.architecture(about["arch"]))
        yield from _word(about.get("name"), (KEY, "name"))
    arch = about.get("arch") if isinstance(about, dict) else None
    rows = [row for row in ARCHES.values() if row.name == arch] or ARCHES.values()
    if isinstance(data.get("cmdline"), str):
        yield from checks.problem(("cmdline",), characters.kernel_line(data["cmdline"], rows))
    yield from _files(data, yaml)
    yield from _milestones(data)
    for index, volume in enumerate(data.get("volumes") or ()):
        if isinstance(volume, str) and not _PLACE.fullmatch(volume):
            yield Problem(
                ("volumes", index), f"{volume!r} is not a place in the OS", "an absolute path, such as /var/data"
            )
    login = data.get("login")
    if isinstance(login, dict):
        yield from checks_deploy.login(login, ("login",))


def _files(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    if not {"kernel", "disk", "iso"} & data.keys():
        yield Problem((), "nothing says what to boot", "`kernel` with `initrd` or `disk`, or `disk` or `iso` alone")
    if "kernel" not in data:
        for key in ("initrd", "cmdline"):
            if key in data:
                yield Problem((key,), "means nothing without `kernel`: the medium's boot loader decides", at_key=True)
    for key in SHIPPED:
        name = data.get(key)
        if isinstance(name, str) and not (is_file(yaml.parent / name) and os.access(yaml.parent / name, os.R_OK)):
            yield Problem((key,), f"there is no file {name!r} to be read", "a file, relative to the YAML")


def _milestones(data: Mapping[str, Any]) -> Iterator[Problem]:
    rows = list(checks.mappings(data, "milestones"))
    names = [row.get("name") for _, row in rows]
    if isinstance(data.get("milestones"), tuple) and (not rows or names[-1] != READY):
        yield Problem(
            ("milestones",), f"the last one is not {READY!r}", f"a last milestone named {READY}: it ends a boot"
        )
    if len(rows) > MOST_MILESTONES:
        yield Problem(("milestones",), f"are {len(rows)}", f"at most {MOST_MILESTONES}")
    for index, row in rows[:MOST_MILESTONES]:
        at: KeyPath = ("milestones", index)
        yield from _word(row.get("name"), (*at, "name"))
        if row.get("name") in names[:index]:
            yield Problem((*at, "name"), f"{row['name']!r} is here twice", "each name once")
        if ("pattern" in row) == ("packet" in row):
            yield Problem(at, "has neither `pattern` nor `packet`, or both", "exactly one of them")
        if isinstance(row.get("pattern"), str):
            yield from checks_deploy.pattern(row["pattern"], (*at, "pattern"))
        if isinstance(row.get("packet"), str):
            yield from checks_deploy.packet(row["packet"], (*at, "packet"))


def _word(name: object, at: KeyPath) -> Iterator[Problem]:
    if isinstance(name, str) and (not _WORD.fullmatch(name) or name == "unready"):
        yield Problem(at, f"{name!r} is not a name", "up to 40 letters, digits and _.-, and not `unready`")
