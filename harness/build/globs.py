"""Globs over paths of a tree: ``*`` stays in one folder, ``**`` crosses them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from harness.build.deb import merged

_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^]/]+\]|.", re.DOTALL)
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def matcher(*globs: str) -> Callable[[str], bool]:
    """Return a test for paths (relative, merged into /usr); a glob that names a folder means all in it."""
    if not globs:
        return lambda path: False
    pattern = re.compile("|".join(f"(?:{_regex(glob)}(?:/.*)?)" for glob in globs), re.DOTALL)
    return lambda path: pattern.fullmatch(path) is not None


def unmatched(globs: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return the globs that match none of `paths`."""
    return [glob for glob in globs if not any(map(matcher(glob), paths))]


def literal(glob: str) -> bool:
    """Say whether a glob is a plain path."""
    return not re.search(r"[*?\[]", glob)


def _regex(glob: str) -> str:
    tokens: list[str] = _TOKENS.findall(merged(glob.strip("/")))
    return "".join(map(_piece, tokens))


def _piece(token: str) -> str:
    if token in _MEANING:
        return _MEANING[token]
    if len(token) > 1:
        return "[" + ("^" if token[1] == "!" else "") + token[1:-1].lstrip("!").replace("\\", "\\\\") + "]"
    return re.escape(token)
