"""Secrets of the environment: whatever this process writes or says has them taken out."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

LEAST = 4  # characters: a shorter one would be found everywhere, and is not a secret
SHOWN = "[secret]"
_hidden: list[str] = []  # the longest first, for one may hold another


def hide(variables: Iterable[str]) -> None:
    """Take the values of these variables out of all that is written from now on; those not set have none."""
    values = [os.environ.get(name, "") for name in variables]
    spellings = {spelt for value in values if len(value) >= LEAST for spelt in _spellings(value)}
    _hidden[:] = sorted({*_hidden, *spellings}, key=lambda text: (-len(text), text))


def _spellings(value: str) -> set[str]:
    """Return how a value may be written: plain, and as JSON, XML, addresses, Python and basic authentication do."""
    coded = base64.b64encode(value.encode()).decode()
    return {value, json.dumps(value)[1:-1], html.escape(value), quote(value, safe=""), repr(value)[1:-1], coded}


def redact(text: str) -> str:
    """Return `text` without secrets; what was redacted before stays as it is."""
    return _compiled(tuple(_hidden)).sub(SHOWN, text) if _hidden else text


def redact_bytes(data: bytes) -> bytes:
    """Return `data` without secrets, likewise."""
    return _compiled_bytes(tuple(_hidden)).sub(SHOWN.encode(), data) if _hidden else data


@lru_cache(maxsize=1)
def _compiled(values: tuple[str, ...]) -> re.Pattern[str]:
    # a secret may be a part of what stands in its place
    return re.compile("|".join(map(re.escape, (SHOWN, *values))))


@lru_cache(maxsize=1)
def _compiled_bytes(values: tuple[str, ...]) -> re.Pattern[bytes]:
    return re.compile(_compiled(values).pattern.encode())


def forget() -> None:
    """Hide nothing any more."""
    _hidden.clear()
