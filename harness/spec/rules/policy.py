"""What is judged of a verifier's policy beyond its shape, at each key's path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.files import is_file
from harness.spec.text.complaints import Problem

KEY = "signed_by"  # which no other kind of file has
LINE = "ssh-ed25519 "  # how a public key begins; anything else is a file of them


def policy(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    """Judge a policy's data; files of keys are looked for beside the YAML."""
    rows = data.get(KEY)
    if rows == ():
        yield Problem((KEY,), "is empty", "public keys, or files of them")
    for index, text in enumerate(rows if isinstance(rows, tuple) else ()):
        if isinstance(text, str) and not text.startswith(LINE) and not is_file(yaml.parent / text):
            yield Problem((KEY, index), f"there is no file {text!r}", f"a file of public keys, or '{LINE}AAAA…'")
