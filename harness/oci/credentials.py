"""Logins to registries, as `docker login` and `podman login` leave them (containers-auth.json(5))."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness import proc
from harness.errors import UserError
from harness.files import read

HELPER_SECONDS = 30.0
LARGEST = 4 << 20  # bytes of a file of logins
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_URL = re.compile(r"^https?://|/(?:v1|v2)/?$|/$")  # Docker's keys may be URLs
TOKEN_USER = "<token>"  # what a helper calls the user of an identity token


@dataclass(frozen=True)
class RegistryLogin:
    """A user with a password, or an ``identity`` token in the place of both. None of it is ever printed."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)


class _Auth(BaseModel):
    auth: str = Field("", repr=False)
    username: str = ""
    password: str = Field("", repr=False)
    identitytoken: str = Field("", repr=False)

    def login(self) -> RegistryLogin | None:
        if self.identitytoken:
            return RegistryLogin(identity=self.identitytoken)
        if not self.auth:
            return RegistryLogin(self.username, self.password) if self.username else None
        user, colon, password = base64.b64decode(self.auth, validate=True).decode().partition(":")
        if not colon:
            raise ValueError
        return RegistryLogin(user, password.rstrip("\0"))


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    auths: dict[str, _Auth] = {}
    creds_store: str = Field("", alias="credsStore")
    cred_helpers: dict[str, str] = Field({}, alias="credHelpers")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    user: str = Field(alias="Username")
    secret: str = Field(alias="Secret", repr=False)


def files() -> list[Path]:
    """Return where logins may be, the first to be looked at first."""
    named = os.environ.get("REGISTRY_AUTH_FILE")
    if named:
        return [Path(named)]
    home = Path.home()
    run = os.environ.get("XDG_RUNTIME_DIR")
    return [
        Path(os.environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
        *([Path(run) / "containers/auth.json"] if run else []),
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json",
    ]


def find(host: str, repository: str) -> RegistryLogin | None:
    """Return the login for a repository of the registry ``host[:port]``, or None.

    In each file a helper of that host goes before the store of all, and that before what the file itself holds.
    Raises UserError when a file cannot be understood, HostError when a helper is missing or fails.
    """
    for path in files():
        if not path.is_file():
            continue
        file = _read(path)
        helper = file.cred_helpers.get(host) or file.creds_store
        login = _ask(helper, host, path) if helper else None
        login = login or _held(file, host, repository, path)
        if login:
            return login
    return None


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(read(path, LARGEST))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")
    except UserError as error:
        what = error.message
    raise UserError(f"logins cannot be read: {path}: {what}", hint="log in again, or remove the file")


def _held(file: _File, host: str, repository: str, path: Path) -> RegistryLogin | None:
    keys = {_URL.sub("", key): one for key, one in reversed(file.auths.items())}
    name = f"{host}/{repository}"
    while name:
        if name in keys:
            try:
                return keys[name].login()
            except (ValueError, binascii.Error):
                raise UserError(f"the login of {name} in {path} is damaged", hint=f"log in to {host} again") from None
        name = name.rpartition("/")[0]
    return None


def _ask(helper: str, host: str, path: Path) -> RegistryLogin | None:
    """Ask a program of the docker-credential-helpers protocol."""
    if not _HELPER.fullmatch(helper):
        raise UserError(f"{path}: {helper[:80]!r} is not a name of a credential helper")
    done = proc.run([f"docker-credential-{helper}", "get"], stdin=host.encode(), timeout=HELPER_SECONDS, ok=(0, 1))
    if done.returncode:
        return None  # it has none: told by that exit code alone
    try:
        answer = _Answer.model_validate(json.loads(done.stdout))
    except (ValueError, RecursionError):
        raise UserError(f"docker-credential-{helper} gave no login for {host}", hint=f"named in {path}") from None
    if answer.user == TOKEN_USER:
        return RegistryLogin(identity=answer.secret)
    return RegistryLogin(answer.user, answer.secret) if answer.secret else None
