"""Strangers' words on a CI server's log: no line of them is a command to the service that shows the log. Pure.

GitHub's runner takes a line for a command that begins with ``::`` once blanks are trimmed, and knows ``##[`` anywhere;
Azure's agent knows ``##vso[`` and ``##[`` anywhere, TeamCity ``##teamcity[``, GitLab ``section_start:`` and
``section_end:``. A carriage return ends a line for them, too.
"""

from __future__ import annotations

import re

# what a trimmed line may hide before its first letter: blanks, controls, and what has no width
_LEADING = "[\\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028\u2029\u2060\ufeff]*"
_AT_START = re.compile(f"(?m)(^|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])({_LEADING}):(?=:)")
_ANYWHERE = re.compile(r"#(?=#(?:\[|[A-Za-z]+\[))|(?i:(section_(?:start|end)))(?=:)")


def inert(text: str) -> str:
    """Return text in which every such command has a blank within its mark, so that it reads as before and does nothing.

    It is for whole lines: what is printed before them must be part of `text`, or be more than blanks.
    """
    if ":" not in text and "##" not in text:
        return text
    return _ANYWHERE.sub(lambda match: f"{match[0]} ", _AT_START.sub(r"\1\2: ", text))
