"""What the YAML parser says of a text that is not YAML, in words that say what is wrong and what is expected."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from harness.spec.text.complaints import Complaint

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")  # where the parser counts a line
# the parser's problem, then what is wrong and what is expected; {line} is where what does not end has begun
_WORDS: dict[str, tuple[str, str]] = {
    "found character that cannot start any token": ("no value begins with {char}", "the text in quotes"),
    "mapping values are not allowed in this context": (
        "a second `: ` in one value",
        "quotes around a text that holds `: `, or each key in a line of its own, all indented alike",
    ),
    "did not find expected ',' or ']'": ("the list that begins in line {line} goes on wrongly", "`,` or `]`"),
    "did not find expected ',' or '}'": ("the mapping that begins in line {line} goes on wrongly", "`,` or `}`"),
    "did not find expected key": (
        "the mapping that begins in line {line} goes on wrongly",
        "a key that is indented like its first one",
    ),
    "did not find expected '-' indicator": (
        "the list that begins in line {line} goes on wrongly",
        "a `-` that is indented like its first one",
    ),
    "found unexpected end of stream": ("the quotes that are opened in line {line} are never closed", "the same quote"),
    "found unknown escape character": (
        "no such escape is known between double quotes",
        "single quotes, or two backslashes for one",
    ),
}


def complaint(error: yaml.MarkedYAMLError, text: str, file: Path) -> Complaint:
    """Return a parser's error as a complaint about `file`, whose text is `text`."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    begin = error.context_mark.line + 1 if error.context_mark else line + 1
    lines = _BREAK.split(text)
    written = lines[line] if line < len(lines) else ""
    char = written[column : column + 1]
    indent = written[: len(written) - len(written.lstrip(" \t"))]
    if "tab character" in str(error.problem) or (char == "\t" and column < len(indent)):
        at = indent.find("\t")
        what, expected = "a tab indents this line", "spaces: YAML allows no tabs for indentation"
        return Complaint(file, line + 1, (at if at >= 0 else column) + 1, "", f"not YAML: {what}", expected)
    what, expected = _WORDS.get(str(error.problem), ("", ""))
    if not what:
        what = " ".join(filter(None, (error.context, error.problem)))
    filled = what.replace("{line}", str(begin)).replace("{char}", repr(char) if char != '"' else "'\"'")
    return Complaint(file, line + 1, column + 1, "", f"not YAML: {filled}", expected)
