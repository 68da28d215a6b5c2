"""An entry added to an image's YAML as text: every other byte of the file, comments too, stays as it is.

The parser's marks say where a section ends and how it is written. What came out is read again, and must differ in that
section alone. Pure.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from harness.errors import UserError
from harness.spec.text.complaints import SpecError
from harness.spec.text.reader import Document, mapping_of, parse

Item = str | Mapping[str, str]
ORDER = ("kernel", "init", "onboot", "onshutdown", "services", "files", "volumes")  # as people write them
_BREAK = re.compile(r"\r\n|\r|\n")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")  # needs no quotes, unless it is one of these:
_WORDS = ("true", "false", "null")


@dataclass
class _Piece:
    """A part of a YAML text: where its first and after its last character are (comments are not its), its column."""

    kind: str  # block or flow, of a collection; scalar, nothing or alias
    begin: int
    end: int
    column: int
    parts: list[_Piece] = field(default_factory=list)


def add(document: Document, section: str, item: Item) -> Document:
    """Return the document with `item` as the last of a section: a text in `init`, a mapping elsewhere.

    A `kernel` is that mapping itself. UserError when the section is written so that nothing can be added to it.
    """
    old = mapping_of(document)
    made = _made(document, section, item) if isinstance(document.data, dict) else None
    if made is None or mapping_of(made) != {**old, section: _wanted(old.get(section), section, item)}:
        what = f"{document.file}: `{section}` is written in a way that nothing can be added to"
        raise UserError(what, hint="add it by hand, or write the section as a list")
    return made


def _wanted(before: object, section: str, item: Item) -> object:
    return item if section == "kernel" else (*(before if isinstance(before, tuple) else ()), item)


def _made(document: Document, section: str, item: Item) -> Document | None:
    text = document.content.decode("utf-8")
    # the reader's parser is another one than that of the marks: what only one of them takes is refused
    with contextlib.suppress(SpecError, yaml.YAMLError):
        changed = _changed(text, _pieces(text), section, item)
        return parse(changed.encode(), document.file) if changed is not None else None
    return None


def _pieces(text: str) -> _Piece:
    """Return the root of a text with what is in it; the pure Python parser's marks count characters."""
    stack = [_Piece("block", 0, 0, 0)]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        begin, end = event.start_mark, event.end_mark
        assert begin is not None and end is not None, "the pure Python parser always sets them"
        if isinstance(event, yaml.CollectionStartEvent):
            piece = _Piece("flow" if event.flow_style else "block", begin.index, begin.index, begin.column)
            stack[-1].parts.append(piece)
            stack.append(piece)
        elif isinstance(event, yaml.CollectionEndEvent):
            piece = stack.pop()
            # a block ends with its last part: the mark is where the next thing begins
            piece.end = end.index if piece.kind == "flow" or not piece.parts else piece.parts[-1].end
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            stack[-1].parts.append(_Piece(_kind(event), begin.index, end.index, begin.column))
    return stack[0].parts[0]


def _kind(event: yaml.ScalarEvent | yaml.AliasEvent) -> str:
    if isinstance(event, yaml.AliasEvent):
        return "alias"
    return "nothing" if event.value == "" and event.implicit[0] else "scalar"


def _changed(text: str, root: _Piece, name: str, item: Item) -> str | None:
    """Return the text with the item in it, None when its section is not a list that could take it."""
    pairs = list(zip(root.parts[0::2], root.parts[1::2], strict=False))
    keys = [text[key.begin : key.end].strip("\"'") for key, _ in pairs]
    if name not in keys:
        return _new_section(text, root, dict(zip(keys, pairs, strict=True)), name, item)
    key, value = pairs[keys.index(name)]
    if name == "kernel" or value.kind not in ("block", "flow", "nothing"):
        return None
    if value.kind == "flow":
        return _into_flow(text, value, _flow(item))
    if value.kind == "nothing":
        return _lines_after(text, key.end, key.column, _block(item, "  "))
    return _lines_after(text, value.end, value.column, _block(item))


def _new_section(
    text: str, root: _Piece, sections: Mapping[str, tuple[_Piece, _Piece]], name: str, item: Item
) -> str | None:
    if root.kind == "flow":
        return _into_flow(text, root, f"{name}: {_flow(item if name == 'kernel' else [item])}")
    lines = [f"  {key}: {scalar(value)}" for key, value in item.items()] if isinstance(item, Mapping) else []
    lines = [f"{name}:", *(lines if name == "kernel" else _block(item, "  "))]
    before = [ORDER.index(key) for key in sections if key in ORDER and ORDER.index(key) < ORDER.index(name)]
    if not before:  # it becomes the first
        return _lines_before(text, root.begin, root.column, lines)
    _, last = sections[ORDER[max(before)]]
    return _lines_after(text, last.end, root.column, lines)


def _into_flow(text: str, flow: _Piece, inner: str) -> str:
    if not flow.parts:
        return f"{text[: flow.begin + 1]}{inner}{text[flow.begin + 1 :]}"
    at = flow.parts[-1].end
    return f"{text[:at]}, {inner}{text[at:]}"


def _lines_after(text: str, at: int, column: int, lines: list[str]) -> str:
    """Put lines below the line that `at` is in; where that is a line's beginning, a block of text has ended there."""
    if text[at - 1] not in "\r\n":
        found = _BREAK.search(text, at)
        at = found.end() if found else len(text)
    return _put(text, at, column, lines)


def _lines_before(text: str, at: int, column: int, lines: list[str]) -> str:
    return _put(text, at - column, column, lines)


def _put(text: str, at: int, column: int, lines: list[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    open_line = newline if at and text[at - 1] not in "\r\n\ufeff" else ""
    return text[:at] + open_line + "".join(f"{' ' * column}{line}{newline}" for line in lines) + text[at:]


def _block(item: Item, indent: str = "") -> list[str]:
    if isinstance(item, str):
        return [f"{indent}- {scalar(item)}"]
    pairs = [f"{key}: {scalar(value)}" for key, value in item.items()]
    return [f"{indent}{'- ' if not number else '  '}{pair}" for number, pair in enumerate(pairs)]


def _flow(value: object) -> str:
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(one)}' for key, one in value.items())}}}"
    assert isinstance(value, list)
    return f"[{', '.join(map(_flow, value))}]"


def scalar(text: str) -> str:
    """Return a text as YAML writes it: quoted only where it must be."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)
