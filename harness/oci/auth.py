"""Answers to a registry that asks who is there: a login, or a token from the server it names (RFC 7235)."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.oci.credentials import RegistryLogin, find
from harness.oci.registries import RegistryPlace
from harness.oci.transport import join
from harness.oci.trouble import RegistryError, denied

if TYPE_CHECKING:
    from httpx2 import URL

CLIENT = "bootharness"
TOKEN_SERVERS = "HARNESS_TOKEN_SERVERS"  # hosts of token servers, beside registries' own, that may have a login
_PARAMETER = re.compile(r'([A-Za-z0-9_.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"(?:^|,)\s*(basic|bearer)(?=\s|$)", re.IGNORECASE)

# (URL, query or form, whether it is a form, headers) -> a token server's answer
AskToken = Callable[["URL", Mapping[str, str], bool, Mapping[str, str]], bytes]


@dataclass(frozen=True)
class Challenge:
    """What a WWW-Authenticate header asks for; ``scheme`` is basic or bearer."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> list[Challenge]:
    """Return what a WWW-Authenticate header asks for, as far as it is known here."""
    starts = [*_SCHEME.finditer(header)]
    ends = [*(one.start() for one in starts), len(header)][1:]
    return [
        Challenge(
            one[1].lower(),
            {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare
                for name, quoted, bare in _PARAMETER.findall(header[one.end() : end])
            },
        )
        for one, end in zip(starts, ends, strict=True)
    ]


class _Token(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    token: str = Field("", repr=False)
    access_token: str = Field("", repr=False)


class Auth:
    """The ``Authorization`` of one repository; safe to use from several threads."""

    def __init__(self, place: RegistryPlace, ask: AskToken) -> None:
        self.place, self._ask = place, ask
        self._header = ""
        self._lock = threading.Lock()

    @property
    def header(self) -> str:
        """What to send, empty before the registry has asked."""
        return self._header

    def answer(self, header: str, sent: str, base: URL) -> None:
        """Take a registry's challenge to a request that had `sent` as its authorization; `base` is its URL.

        Raises RegistryError when there is nothing (more) to say: no login, or one that is refused.
        """
        with self._lock:
            if self._header != sent:
                return  # another thread has been asked meanwhile
            known = {one.scheme: one for one in reversed(challenges(header))}
            if "bearer" in known:
                self._header = self._bearer(known["bearer"], base)
            elif "basic" in known:
                self._header = self._basic(sent)
            else:
                raise RegistryError(f"{self.place} asks for a login in a way that is not known here", kind="denied")

    def _login(self) -> RegistryLogin | None:
        return find(self.place.host, self.place.repository)

    def _basic(self, sent: str) -> str:
        login = self._login()
        if sent or login is None or login.identity:
            raise denied(self.place, had_login=bool(sent))
        return _basic(login)

    def _bearer(self, challenge: Challenge, base: URL) -> str:
        realm = join(self.place, base, challenge.parameters.get("realm", ""))
        if realm.scheme not in ("https", base.scheme):
            raise RegistryError(f"{self.place} wants its login sent to {realm.host} in the clear", kind="denied")
        login = self._login()
        if login and not is_own(self.place.host, realm.host):
            raise RegistryError(
                f"{self.place} wants your login sent to {realm.host}, which is not its own token server: it was sent "
                f"nowhere; {TOKEN_SERVERS}={realm.host} lists it as one that may have it",
                kind="denied",
            )
        fields: dict[str, str] = {"scope": f"repository:{self.place.repository}:pull", **challenge.parameters}
        query = {name: value for name, value in fields.items() if name in ("service", "scope")}
        if login and login.identity:
            form = {**query, "grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": login.identity}
            data = self._ask(realm, form, True, {})
        else:
            headers = {"Authorization": _basic(login)} if login else {}
            data = self._ask(realm, query, False, headers)
        try:
            answer = _Token.model_validate_json(data)
        except ValidationError:
            answer = _Token()
        token = answer.token or answer.access_token
        if not token or not token.isascii() or not token.isprintable():
            raise RegistryError(f"the token server of {self.place.host} gave no token", kind="odd")
        return f"Bearer {token}"


def is_own(registry: str, server: str) -> bool:
    """Say whether a token server may have a login to a registry: it is on its host, below its name, or listed.

    A sibling in the registry's domain is not its own: of many domains each name is another customer's.
    """
    host = registry.rpartition(":")[0] if registry.rpartition(":")[2].isdigit() else registry
    host, listed = host.strip("[]"), re.split(r"[\s,]+", os.environ.get(TOKEN_SERVERS, ""))
    if server in (host, *filter(None, listed)):
        return True
    # an address has nothing below it, and a name of one word is anybody's
    return "." in host and not host.rpartition(".")[2].isdigit() and server.endswith(f".{host}")


def _basic(login: RegistryLogin) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
