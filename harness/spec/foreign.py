"""A foreign OS, one that the harness has not built: what the YAML beside its files says, judged and made an object."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.errors import UserError
from harness.spec.components import Checked, checked, digest_of_bytes
from harness.spec.models.base import SHIPPED, Login, LoosePath, Model, Strings
from harness.spec.models.image import Substitution
from harness.spec.rules import common as checks
from harness.spec.rules import deploy as checks_deploy
from harness.spec.rules import library as checks_library
from harness.spec.text.complaints import KeyPath, Problem, SpecError
from harness.spec.text.reader import Document, mapping_of, read

KEY = "os"  # which no other kind of file has
READY = "ready"
MOST_MILESTONES = 100
_PLACE = re.compile(r"(/(?!\.\.?(/|$))[^/\x00]+)+")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


OsPort = Annotated[int, Field(ge=1, le=65535)]


class Os(Model):
    """Which OS it is."""

    name: str
    arch: str


class MilestonePattern(Model):
    """A milestone, and how its console line looks."""

    name: str
    pattern: str


class OsSpec(Model):
    """A foreign OS: its files, its milestones in order, and its login. `path` is the YAML, `digest` its SHA-256."""

    path: Path
    digest: str
    os: Os
    kernel: LoosePath | None = None
    initrd: LoosePath | None = None
    disk: LoosePath | None = None
    iso: LoosePath | None = None
    firmware: Literal["uefi"] | None = None
    cmdline: str = ""
    milestones: tuple[MilestonePattern, ...]
    login: Login | None = None
    volumes: Strings = ()
    ports: tuple[OsPort, ...] = ()
    udp: tuple[OsPort, ...] = ()

    @property
    def name(self) -> str:
        """Its name, as an image's spec has one."""
        return self.os.name

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files it was read from."""
        return (self.path,)

    @property
    def substitutions(self) -> tuple[Substitution, ...]:
        """None: nothing of it is of the library."""
        return ()


def describes_os(document: Document) -> bool:
    """Say whether a document is a foreign OS's."""
    return KEY in mapping_of(document)


def is_os(path: Path) -> bool:
    """Say whether a file is a foreign OS's YAML; False where it cannot be read, for its own reader says why."""
    try:
        return describes_os(read(Path(path)))
    except UserError:
        return False


def refuse_os(document: Document) -> None:
    """Raise UserError when a document that should be an image's is a foreign OS's."""
    if describes_os(document):
        raise UserError(
            f"{document.file} describes an OS that the harness has not built",
            hint="harness boot, matrix, certify, compare and lint take it: there is nothing to build",
        )


def load_os(path: Path) -> OsSpec:
    """Read a foreign OS's YAML; its files' paths come out relative to the current folder, its password filled in.

    SpecError with every complaint, UserError when it cannot be read or the password is not in the environment.
    """
    made, complaints = check_os(read(Path(path)))
    if made is None:
        raise SpecError(complaints)
    return made.model_copy(update={"login": _with_password(made)})


def check_os(document: Document) -> Checked[OsSpec]:
    """Return a document's OS and every complaint about it."""
    path = document.file
    given = {"path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(OsSpec, document, given, judged(mapping_of(document), path))
    if made is None or complaints:
        return None, complaints
    files = {key: path.parent / value for key in SHIPPED if (value := getattr(made, key)) is not None}
    return made.model_copy(update=files), []


def _with_password(made: OsSpec) -> Login | None:
    login = made.login
    if login is None or login.password_env is None:
        return login
    password = os.environ.get(login.password_env)
    if password is None:
        raise UserError(
            f"{made.path}: the password of {login.user} is not in the environment", hint=f"set {login.password_env}"
        )
    return login.model_copy(update={"password": password})


def judged(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    """Judge a foreign OS's data; the files that it names are looked for beside the YAML."""
    about = data.get(KEY)
    if isinstance(about, dict):
        if isinstance(about.get("arch"), str):
            yield from checks.problem((KEY, "arch"), checks_library.architecture(about["arch"]))
        yield from _word(about.get("name"), (KEY, "name"))
    yield from _files(data, yaml)
    yield from _milestones(data)
    for index, volume in enumerate(data.get("volumes") or ()):
        if isinstance(volume, str) and not _PLACE.fullmatch(volume):
            yield Problem(
                ("volumes", index), f"{volume!r} is no place in the OS", "an absolute path, such as /var/data"
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
        if isinstance(name, str) and not ((yaml.parent / name).is_file() and os.access(yaml.parent / name, os.R_OK)):
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
        if isinstance(row.get("pattern"), str):
            yield from checks_deploy.pattern(row["pattern"], (*at, "pattern"))


def _word(name: object, at: KeyPath) -> Iterator[Problem]:
    if isinstance(name, str) and (not _WORD.fullmatch(name) or name == "unready"):
        yield Problem(at, f"{name!r} is no name", "up to 40 letters, digits and _.-, and not `unready`")
