"""A foreign OS, one that the harness has not built: its YAML read, judged and made an object."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError
from harness.secrets import hide
from harness.spec.components import Checked, checked, digest_of_bytes
from harness.spec.models.base import SHIPPED, Login
from harness.spec.models.foreign import OsSpec
from harness.spec.rules.foreign import KEY, foreign
from harness.spec.text.complaints import SpecError
from harness.spec.text.reader import Document, mapping_of, read


def describes_os(document: Document) -> bool:
    """Say whether a document is a foreign OS's."""
    return KEY in mapping_of(document)


def is_os(path: Path) -> bool:
    """Say whether a file is a foreign OS's YAML; False where it cannot be read, for its own reader says why."""
    try:
        return describes_os(read(Path(path)))
    except UserError:
        return False


def load_os(path: Path) -> OsSpec:
    """Read a foreign OS's YAML; its files' paths come out relative to the current folder, its password filled in.

    SpecError with every complaint, UserError when it cannot be read or the password is not in the environment.
    """
    return os_of(read(Path(path)))


def os_of(document: Document) -> OsSpec:
    """Return the foreign OS of a document, its password filled in; SpecError and UserError as `load_os`."""
    made, complaints = check_os(document)
    if made is None:
        raise SpecError(complaints)
    return made.model_copy(update={"login": with_password(made)})


def check_os(document: Document) -> Checked[OsSpec]:
    """Return a document's OS and every complaint about it."""
    path = document.file
    given = {"path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(OsSpec, document, given, foreign(mapping_of(document), path))
    if made is None or complaints:
        return None, complaints
    files = {key: path.parent / value for key in SHIPPED if (value := getattr(made, key)) is not None}
    return made.model_copy(update=files), []


def with_password(made: OsSpec) -> Login | None:
    """Return an OS's login with its password from the environment; UserError when it is not there.

    From then on this process keeps it out of all that it writes: an OS may say on its console what it was told.
    """
    login = made.login
    if login is None or login.password_env is None:
        return login
    password = os.environ.get(login.password_env)
    if password is None:
        raise UserError(
            f"{made.path}: the password of {login.user} is not in the environment", hint=f"set {login.password_env}"
        )
    hide([login.password_env])
    return login.model_copy(update={"password": password})
