"""Which harness has made a certificate: its version, and the digest of its own files, for versions are also made of
what lies between two releases."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness import __version__, paths

LEFT_OUT = ("__pycache__", "_shipped")  # of the package's folders: what Python makes, and cases and machines
SHORT = 12  # digits of the digest
SHOWN = 40  # characters of a stranger's version


@cache
def own() -> str:
    """Return this harness as a certificate names it: ``VERSION+DIGEST`` of the package's files."""
    return f"{__version__}+{_digest(paths.PACKAGE)}"


def _digest(folder: Path) -> str:
    made = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not set(LEFT_OUT) & set(name.parts):
            made.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return made.hexdigest()[:SHORT]


def said(certificate: Mapping[str, Any]) -> str:
    """Return which harness a certificate says has made it; empty where it says nothing."""
    text = certificate.get("harness")
    return text[:SHOWN] if isinstance(text, str) else ""


def version(text: str) -> str:
    """Return the version alone."""
    return text.partition("+")[0]


def is_other_version(text: str) -> bool:
    """Say whether a certificate names another version than this one."""
    return bool(text) and version(text) != __version__


def is_other(text: str) -> bool:
    """Say whether a certificate names another harness than exactly this one: another version, or other files of it."""
    return bool(text) and text != own()
