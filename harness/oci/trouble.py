"""What a registry can do wrong, told apart, and whether asking again may help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.oci.registries import RegistryPlace
from harness.patience import NetworkError

FailureKind = Literal["silent", "untrusted", "denied", "absent", "busy", "failing", "odd"]
LONGEST_PAUSE = 60.0  # seconds that a registry may ask to wait
_DAMAGED = re.compile(r"[^ -~]")


@dataclass(frozen=True)
class RegistryFailure:
    """A kind of failure: what it means, what to do, and whether it may pass by itself."""

    meaning: str
    hint: str
    passing: bool = False


TROUBLES: dict[FailureKind, RegistryFailure] = {
    "silent": RegistryFailure("does not answer", "check the registry's name, the network and the proxy", passing=True),
    "untrusted": RegistryFailure(
        "has a certificate that is not trusted here",
        "put its authority's certificate into /etc/containers/certs.d/HOST:PORT/ca.crt, "
        "or mark the registry as `insecure` in registries.conf",
    ),
    "denied": RegistryFailure("refuses access to it", "check the image's name, and log in: docker login, podman login"),
    "absent": RegistryFailure("does not have it", "check the image's name and tag"),
    "busy": RegistryFailure(
        "says that it was asked too often", "wait, or log in; a mirror is set in registries.conf", True
    ),
    "failing": RegistryFailure(
        "has failed", "wait, or ask whoever runs it; a mirror is set in registries.conf", passing=True
    ),
    "odd": RegistryFailure("does not answer as a registry", "check the registry's name and port, and the proxy"),
}


class RegistryError(NetworkError):
    """A registry failed, by its ``kind``: a row of TROUBLES. ``after``: the seconds it asked to wait."""

    def __init__(
        self, message: str, *, kind: FailureKind, details: str = "", hint: str = "", after: float | None = None
    ) -> None:
        row = TROUBLES[kind]
        passing = row.passing and (after is None or after <= LONGEST_PAUSE)
        super().__init__(message, hint=hint or row.hint, details=details, passing=passing, after=after)
        self.kind = kind


def failed(place: RegistryPlace, kind: FailureKind, *, details: str = "", after: float | None = None) -> RegistryError:
    """Return the error for a registry that failed in one of the known ways."""
    wait = f", and to be asked again after {after:g} s" if after is not None else ""
    return RegistryError(
        f"{place.host} {TROUBLES[kind].meaning}{wait}: {place}", kind=kind, details=details, after=after
    )


def denied(place: RegistryPlace, *, had_login: bool) -> RegistryError:
    """Return the error for a registry that wants a login, or another one."""
    if had_login:
        return RegistryError(f"{place.host} refuses the login that is kept for it: {place}", kind="denied")
    return RegistryError(f"{place.host} asks for a login: {place}", kind="denied")


def kind_of(status: int) -> FailureKind:
    """Return what an HTTP status that is not a success means."""
    if status in (401, 403, 407):
        return "denied"
    if status in (404, 410):
        return "absent"
    if status == 429:
        return "busy"
    return "failing" if status >= 500 or status == 408 else "odd"


def words(data: bytes) -> str:
    """Return a stranger's words fit to be shown: a short text without control characters."""
    return _DAMAGED.sub(" ", data[:300].decode("ascii", errors="replace")).strip()
