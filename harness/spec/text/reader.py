"""YAML text to plain data with positions: YAML 1.2's core types, bounded in size, depth and aliases."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError
from harness.spec.text import yaml_errors
from harness.spec.text.complaints import Complaint, KeyPath, Problem, SpecError, brief, nearest, spell

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 50_000  # aliases expanded: the largest real spec has a few hundred
MAX_DIGITS = 20

YamlPosition = tuple[int, int]  # line and column, from 1

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_TAG = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# YAML 1.2.2, 10.3.2: the core schema's whole list
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|(false|False|FALSE))\Z")
_INT = re.compile(r"(?:[-+]?[0-9]+|0o([0-7]+)|0x([0-9a-fA-F]+))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


@dataclass(slots=True)
class YamlNode:
    """One value of a document: a scalar, a list of nodes or a mapping of nodes, and where it begins."""

    value: Any
    place: YamlPosition
    raw: str = ""  # a scalar as it is written, before it became a number
    keys: dict[str, YamlPosition] = field(default_factory=dict)
    size: int = 1  # nodes in it, aliases expanded
    height: int = 1


@dataclass(frozen=True)
class Document:
    """A read file: its bytes, its tree, and the complaints that did not keep it from being read."""

    file: Path
    content: bytes
    root: YamlNode
    complaints: tuple[Complaint, ...]

    @property
    def data(self) -> Any:
        """The document as dicts, tuples and scalars."""
        return plain(self.root)

    def find(self, path: KeyPath) -> tuple[YamlNode, KeyPath]:
        """Return the deepest node on `path`, and the part of `path` that leads to it."""
        node = self.root
        for depth, part in enumerate(path):
            if not has(node.value, part):
                return node, path[:depth]
            node = node.value[part]
        return node, path

    def place(self, path: KeyPath, *, at_key: bool = False) -> YamlPosition:
        """Return where the value at `path` is (or its key), else where its nearest parent is."""
        if at_key and path:
            parent, found = self.find(path[:-1])
            if len(found) == len(path) - 1 and path[-1] in parent.keys:
                return parent.keys[str(path[-1])]
        return self.find(path)[0].place

    def complain(self, problem: Problem) -> Complaint:
        """Give a problem its place in this file."""
        line, column = self.place(problem.path, at_key=problem.at_key)
        key_path = spell(problem.path)
        return Complaint(self.file, line, column, key_path, problem.what, problem.expected, problem.suggestion)


def has(value: object, part: str | int) -> bool:
    """Say whether a mapping has the key `part`, or a list the index `part`."""
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def plain(node: YamlNode) -> Any:
    """Return a node's value as dicts, tuples and scalars; aliases are expanded."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return tuple(plain(value) for value in node.value)
    return node.value


def read(path: Path) -> Document:
    """Read a YAML file. UserError when it cannot be opened, SpecError when it is not YAML within the bounds."""
    return parse(content_of(path), path)


def content_of(path: Path) -> bytes:
    """Return a YAML file's bytes, as many as a document may have and one more; UserError when it cannot be opened."""
    try:
        # a pipe that nobody writes to would be waited for without an end, were it opened in the usual way
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            os.set_blocking(handle, True)
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        near = _near(Path(path)) if error.errno == errno.ENOENT else ""
        raise UserError(f"cannot read {path}: {error.strerror}", hint=f"did you mean {near}?" if near else "") from None
    except ValueError as error:  # a NUL in the name
        raise UserError(f"cannot read {str(path)!r}: {error}") from None


def _near(path: Path) -> str:
    """Return the YAML file beside `path` whose name, or name without ending, is most like its; or an empty text."""
    try:
        there = [one for one in path.parent.iterdir() if one.suffix in (".yml", ".yaml")]
    except (OSError, ValueError):
        return ""
    called = {one.stem: one for one in there}
    near = nearest(path.stem, called)
    return str(called[near]) if near else ""


def parse(content: bytes, file: Path) -> Document:
    """Turn a file's bytes into a document; SpecError when they are no YAML within the bounds."""
    text = _decode(content, file)
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise SpecError([*builder.complaints, yaml_errors.complaint(error, text, file)]) from None
    except yaml.YAMLError as error:
        raise SpecError([Complaint(file, 1, 1, "", f"not YAML: {' '.join(str(error).split())}")]) from None
    if builder.root is None:
        raise SpecError([Complaint(file, 1, 1, "", "is empty", "a mapping")])
    return Document(file, content, builder.root, tuple(builder.complaints))


def _decode(content: bytes, file: Path) -> str:
    if len(content) > MAX_BYTES:
        raise SpecError([Complaint(file, 1, 1, "", f"is larger than {MAX_BYTES >> 20} MiB", "a file written by hand")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(errors="replace")
        byte = content[error.start]
        raise SpecError([_at_offset(file, before, f"byte 0x{byte:02x} is not UTF-8", "a text file in UTF-8")]) from None
    bad = _UNPRINTABLE.search(text)
    if bad:
        what = f"the character U+{ord(bad[0]):04X} cannot be printed"
        raise SpecError([_at_offset(file, text[: bad.start()], what, "text")])
    return text


def _at_offset(file: Path, before: str, what: str, expected: str) -> Complaint:
    line = before.count("\n") + 1
    return Complaint(file, line, len(before) - (before.rfind("\n") + 1) + 1, "", what, expected)


class _Skip:
    """Stands for a key that cannot be used; its value is read and dropped."""


@dataclass(slots=True)
class _Frame:
    node: YamlNode
    key: str | _Skip | None = None
    anchor: str | None = None
    merges: list[YamlNode] = field(default_factory=list)
    merging: bool = False


class _Builder:
    """Makes one tree out of parser events, without recursion: depth is the file's to choose, not the stack's."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.complaints: list[Complaint] = []
        self.root: YamlNode | None = None
        self.stack: list[_Frame] = []
        self.anchors: dict[str, YamlNode | None] = {}  # None while the anchored value is still open
        self.total = 0
        self.documents = 0

    def complain(self, place: YamlPosition, what: str, expected: str = "", suggestion: str = "", key: str = "") -> None:
        """Note a mistake that does not keep the rest from being read."""
        path = spell([*self._path(), key] if key else self._path())
        self.complaints.append(Complaint(self.file, *place, path, what, expected, suggestion))

    def fail(self, place: YamlPosition, what: str, expected: str = "") -> SpecError:
        """Note a mistake after which nothing can be read, and return the error to raise."""
        self.complain(place, what, expected)
        return SpecError(self.complaints)

    def take(self, event: Any) -> None:
        """Take the parser's next event."""
        mark = event.start_mark
        place = (mark.line + 1, mark.column + 1)
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise self.fail(place, "a second document begins here", "one document in a file")
            case yaml.AliasEvent():
                self._add(self._aliased(str(event.anchor), place), None, counted=True)
            case yaml.ScalarEvent():
                value = self._scalar(event, place)
                plain_text = event.value if event.implicit[0] else ""
                self._add(YamlNode(value, place, raw=event.value), event.anchor, merge_key=plain_text == "<<")
            case yaml.SequenceStartEvent():
                self._check_tag(event.tag, "seq", place)
                self._open(YamlNode([], place), event.anchor)
            case yaml.MappingStartEvent():
                self._check_tag(event.tag, "map", place)
                self._open(YamlNode({}, place), event.anchor)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close()

    def _open(self, node: YamlNode, anchor: str | None) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise self.fail(node.place, f"is nested deeper than {MAX_DEPTH} levels")
        if anchor:
            self.anchors[anchor] = None
        self._count(1, node.place)
        self.stack.append(_Frame(node, anchor=anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        for source in frame.merges:
            for key, value in source.value.items():
                if key not in frame.node.value:
                    frame.node.value[key] = value
                    frame.node.keys[key] = source.keys[key]
        self._add(frame.node, frame.anchor, counted=True)

    def _count(self, nodes: int, place: YamlPosition) -> None:
        self.total += nodes
        if self.total > MAX_NODES:
            raise self.fail(place, f"holds more than {MAX_NODES} values, aliases expanded", "a file written by hand")

    def _add(self, node: YamlNode, anchor: str | None, *, counted: bool = False, merge_key: bool = False) -> None:
        if not counted:
            self._count(node.size, node.place)
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        parent = frame.node
        if isinstance(parent.value, dict) and frame.key is None and not frame.merging:
            self._take_key(frame, node, merge_key)
            return
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif frame.merging:
            frame.merging = False
            self._merge(frame, node)
        elif isinstance(frame.key, str):
            parent.value[frame.key] = node
        frame.key = None

    def _take_key(self, frame: _Frame, node: YamlNode, merge_key: bool) -> None:
        if merge_key:
            frame.merging = True
            return
        key = node.value
        if not isinstance(key, str):
            found = brief(plain(node)) if isinstance(key, dict | list) else node.raw
            suggestion = f'"{node.raw}"' if node.raw and len(node.raw) <= 40 else ""
            self.complain(node.place, f"{found} is not a key", "text", suggestion)
            frame.key = _Skip()
        elif key in frame.node.keys:
            first = frame.node.keys[key]
            self.complain(node.place, f"the key is here twice, first in line {first[0]}", "each key once", key=key)
            frame.key = _Skip()
        else:
            frame.node.keys[key] = node.place
            frame.key = key

    def _merge(self, frame: _Frame, node: YamlNode) -> None:
        sources = node.value if isinstance(node.value, list) else [node]
        for source in sources:
            if isinstance(source.value, dict):
                frame.merges.append(source)
            else:
                what = f"<< takes a mapping, found {brief(plain(source))}"
                self.complain(source.place, what, "an alias of a mapping")

    def _aliased(self, anchor: str, place: YamlPosition) -> YamlNode:
        if anchor not in self.anchors:
            raise self.fail(place, f"the alias *{anchor} has no anchor before it", f"&{anchor} above")
        node = self.anchors[anchor]
        if node is None:
            raise self.fail(place, f"the alias *{anchor} stands inside its own anchor", "an alias after it")
        if len(self.stack) + node.height > MAX_DEPTH:
            raise self.fail(place, f"the alias *{anchor} nests deeper than {MAX_DEPTH} levels")
        self._count(node.size, place)
        return node

    def _check_tag(self, tag: str | None, kind: str, place: YamlPosition) -> None:
        if tag not in (None, "!", _TAG + kind):
            self.complain(place, f"the tag {tag} is unknown here", "no tag")

    def _scalar(self, event: Any, place: YamlPosition) -> object:
        text: str = event.value
        if "\0" in text:
            self.complain(place, "the text holds a NUL character", "text without it")
            return text.replace("\0", "")
        if event.implicit[0]:  # plain and untagged
            return self._resolve(text, place)
        if event.tag in (None, "!", _TAG + "str"):
            return text
        kinds: dict[str, tuple[type, ...]] = {
            "null": (type(None),),
            "bool": (bool,),
            "int": (int,),
            "float": (int, float),
        }
        kind = str(event.tag).removeprefix(_TAG)
        if kind not in kinds:
            self.complain(place, f"the tag {event.tag} is unknown here", "no tag")
            return text
        value = self._resolve(text, place)
        if not isinstance(value, kinds[kind]) or (kind == "int" and isinstance(value, bool)):
            self.complain(place, f"{text[:40]!r} is not a valid {kind}")
        return value

    def _resolve(self, text: str, place: YamlPosition) -> object:
        if _NULL.match(text):
            return None
        if found := _BOOL.match(text):
            return not found[1]
        if found := _INT.match(text):
            if len(text) > MAX_DIGITS:
                what = f"the number has more than {MAX_DIGITS} digits"
                self.complain(place, what, "a smaller one, or text in quotes")
                return 0
            return int(found[1], 8) if found[1] else int(found[2], 16) if found[2] else int(text)
        if _FLOAT.match(text) or _SPECIAL_FLOAT.match(text):
            return float(text.replace(".", "", 1) if _SPECIAL_FLOAT.match(text) else text)
        return text

    def _path(self) -> list[str | int]:
        path: list[str | int] = []
        for frame in self.stack:
            if isinstance(frame.node.value, list):
                path.append(len(frame.node.value))
            elif isinstance(frame.key, str):
                path.append(frame.key)
        return path


def mapping_of(document: Document) -> dict[str, Any]:
    """Return a document's data, or an empty mapping when it is something else: the shape check says so."""
    data = document.data
    return data if isinstance(data, dict) else {}
