"""What an image reference names: an image of a registry, or a layout or an archive among the host's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harness.errors import UserError

ReferenceTransport = Literal["oci", "oci-archive", "docker-archive"]
TRANSPORTS: tuple[ReferenceTransport, ...] = get_args(ReferenceTransport)  # as containers-transports(5) names them
LONGEST = 512

# The distribution project's grammar: [host[:port]/]path[:tag][@digest]
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_NAMED = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>.+))?",
    re.ASCII,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True)
class Named:
    """An image of a registry. ``registry`` is ``host[:port]``, empty in an unqualified name."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True)
class Local:
    """An image in a file or folder, ``path`` as it was written; ``tag`` chooses where there are several."""

    transport: ReferenceTransport
    path: str
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.transport}:{self.path}" + (f":{self.tag}" if self.tag else "")

    def where(self, base: Path) -> Path:
        """Return the path, a relative one from `base`: the folder of the file that names it."""
        return base / self.path


def parse(text: str) -> Named | Local:
    """Return what `text` names; a name with neither tag nor digest means the tag ``latest``. UserError when nothing."""
    for transport in TRANSPORTS:
        if text.startswith(f"{transport}:"):
            return _local(transport, text.removeprefix(f"{transport}:"))
    found = _NAMED.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise UserError(f"{text[:80]!r} is not an image reference", hint="[host/]name[:tag][@digest]")
    digest = found["digest"] or ""
    if digest and not DIGEST.fullmatch(digest):
        raise UserError(f"{digest[:80]!r} is not a digest", hint="@sha256: and 64 hexadecimal digits")
    host, path = found["host"] or "", found["path"]
    if host and not _is_host(host):
        host, path = "", f"{host}/{path}"
        if path != path.lower():
            raise UserError(f"{text[:80]!r} is not an image reference", hint=f"{text.lower()!r}")
    return Named(host, path, found["tag"] or ("" if digest else "latest"), digest)


def _local(transport: ReferenceTransport, rest: str) -> Local:
    path, _, tag = rest.partition(":")
    if not path or not rest.isprintable():
        raise UserError(f"{transport}:{rest[:80]!r} names no file", hint=f"{transport}:PATH or {transport}:PATH:TAG")
    return Local(transport, path, tag)


def _is_host(first: str) -> bool:
    # Docker's rule: a first part is a host when it cannot be a folder of the default registry
    return first == "localhost" or any(sign in first for sign in ".:[")
