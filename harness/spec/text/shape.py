"""Does a document have a model's shape? Pydantic decides; what it says is put into plain words here."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harness.spec.models.base import Model
from harness.spec.text.complaints import KeyPath, Problem, brief, nearest
from harness.spec.text.reader import Document, has

Shape = TypeVar("Shape", bound=Model)

# What people write because LinuxKit's documents or other tools call it so, and what it is.
SYNONYMS = {
    "rmlimits": "rlimits",
    "ulimits": "rlimits",
    "interface": "interfaces",
    "cmd": "command",
    "args": "command",
    "entrypoint": "command",
    "environment": "env",
    "workdir": "cwd",
    "working_dir": "cwd",
    "cap_add": "capabilities.add",
    "capabilities_add": "capabilities.add",
    "binds_add": "binds.add",
    "network": "net",
    "read_only": "readonly",
    "content": "contents",
    "arguments": "args",
    "architecture": "arch",
}
# keys of long ago, and what there is instead
GONE = {"outputs": "--format of `harness build` in its place: LinuxKit has had no such key since 2017"}
_WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Any: "a value",
}
_PLURALS: dict[Any, str] = {str: "texts", int: "whole numbers", float: "numbers", Path: "paths"}
_PATTERNS = {r"^[a-z0-9_-]*$": "only a-z, 0-9, - and _"}
_YES, _NO = ("yes", "on", "y"), ("no", "off", "n")


@cache
def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a model's fields by the keys that YAML uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types a value may have, without None and without annotations' extras."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(kind for part in get_args(annotation) for kind in alternatives(part))
    return () if annotation is type(None) else (annotation,)


def below(annotation: Any, part: str | int) -> Any:
    """Return the type of what lies under `part` in a value of type `annotation`, or None when nothing is known."""
    for kind in alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if part == "resources":
                from harness.spec.models.resources import Resources

                return Resources
            field = fields_of(kind).get(str(part))
            if field is not None:
                return field.annotation
        elif get_origin(kind) is tuple and isinstance(part, int):
            return get_args(kind)[0]
        elif get_origin(kind) is dict and isinstance(part, str):
            return get_args(kind)[1]
    return None


def type_at(model: type[BaseModel], path: KeyPath) -> Any:
    """Return the type that `model` gives to the value at `path`, or None."""
    found: Any = model
    for part in path:
        found = below(found, part)
    return found


def words(annotation: Any) -> str:
    """Return a type in plain words."""
    said = []
    for kind in alternatives(annotation):
        if get_origin(kind) is Literal:
            said.append("one of: " + ", ".join(filter(None, get_args(kind))))
        elif get_origin(kind) is tuple:
            said.append(f"a list of {plurals(get_args(kind)[0])}")
        else:
            said.append(_WORDS.get(kind, "a mapping"))
    return " or ".join(dict.fromkeys(said))


def plurals(annotation: Any) -> str:
    """Return many of a type in plain words."""
    return " or ".join(dict.fromkeys(_PLURALS.get(kind, "mappings") for kind in alternatives(annotation)))


def check(model: type[Shape], document: Document, given: Mapping[str, Any]) -> tuple[Shape | None, list[Problem]]:
    """Return `model` made of the document's data and the loader's `given` fields, or None and what is wrong.

    A key of the document that only the loader may give counts as unknown.
    """
    data = document.data
    if not isinstance(data, dict):
        keys = ", ".join(key for key in fields_of(model) if key not in given)
        return None, [Problem((), f"found {brief(data)}", f"a mapping with some of the keys {keys}")]
    found = [_unknown((key,), model, given) for key in data if key in given]
    found += [Problem(path, "has no value", words(type_at(model, path))) for path in _nulls(data, ())]
    try:
        made = model.model_validate({**data, **given}, by_alias=True, by_name=False)
    except ValidationError as error:
        made = None
        found += _explain(error, model, document, data, given)
    first: dict[tuple[KeyPath, bool], Problem] = {}
    for problem in found:
        first.setdefault((problem.path, problem.at_key), problem)
    return (None if first else made), list(first.values())


def _nulls(value: object, path: KeyPath) -> Iterator[KeyPath]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _nulls(part, (*path, key))
    elif isinstance(value, tuple):
        for index, part in enumerate(value):
            yield from _nulls(part, (*path, index))


def _explain(
    error: ValidationError, model: type[BaseModel], document: Document, data: Any, given: Mapping[str, Any]
) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        path = _existing(data, detail["loc"])
        if detail["type"] == "missing":
            missing = (*path, detail["loc"][len(path)])
            expected = words(type_at(model, missing))
            yield Problem(missing, "is missing", expected)
        elif detail["type"] == "extra_forbidden":
            yield _unknown(path, model, given)
        else:
            yield _wrong(path, detail, model, document)


def _existing(data: Any, loc: tuple[int | str, ...]) -> KeyPath:
    """Cut off what pydantic adds to a path: the branch of a union that it tried."""
    path: list[str | int] = []
    for part in loc:
        if not has(data, part):
            break
        data = data[part]
        path.append(part)
    return tuple(path)


def _unknown(path: KeyPath, model: type[BaseModel], given: Mapping[str, Any]) -> Problem:
    key = str(path[-1])
    known: list[str] = []
    for kind in alternatives(type_at(model, path[:-1])):
        known += fields_of(kind)
    if len(path) == 1:
        known = [name for name in known if name not in given]
    if key in GONE and len(path) == 1:
        return Problem(path, "unknown key", GONE[key], at_key=True)
    synonym = SYNONYMS.get(key.lower().replace("-", "_"), "")
    suggestion = synonym if synonym in known else nearest(key, known)
    return Problem(path, "unknown key", "" if suggestion else f"one of: {', '.join(known)}", suggestion, at_key=True)


def _wrong(path: KeyPath, detail: ErrorDetails, model: type[BaseModel], document: Document) -> Problem:
    value, context = detail["input"], detail.get("ctx", {})
    kind = type_at(model, path)
    said: dict[str, tuple[str, str]] = {
        "string_pattern_mismatch": (
            f"{value!r} has characters it may not have",
            _PATTERNS.get(str(context.get("pattern")), ""),
        ),
        "string_too_short": ("is empty", words(kind)),
        "greater_than_equal": (f"the number {value} is too small", f"at least {context.get('ge')}"),
        "greater_than": (f"the number {value} is too small", f"more than {context.get('gt')}"),
        "less_than_equal": (f"the number {value} is too large", f"at most {context.get('le')}"),
        "multiple_of": (f"found the number {value}", f"a multiple of {context.get('multiple_of')}"),
        "finite_number": (f"the number {value} is not finite", words(kind)),
        "value_error": (str(context.get("error")), ""),
    }
    if detail["type"] in said:
        return Problem(path, *said[detail["type"]])
    raw = document.find(path)[0].raw
    number = isinstance(value, int | float) and not isinstance(value, bool)
    found = f"the number {raw}" if number and raw else brief(value)
    return Problem(path, f"found {found}", words(kind), _instead(value, kind, raw))


def _instead(value: object, annotation: Any, raw: str) -> str:
    """Return what a value of the wrong type was perhaps meant to be, as YAML, or an empty text."""
    kinds = alternatives(annotation)
    options = [str(option) for kind in kinds if get_origin(kind) is Literal for option in get_args(kind)]
    if options:
        return nearest(str(value), filter(None, options))
    if str in kinds and isinstance(value, bool | int | float):
        return f'"{raw}"'
    if bool in kinds and isinstance(value, str) and value.lower() in (*_YES, *_NO, "true", "false"):
        return "true" if value.lower() in (*_YES, "true") else "false"
    if isinstance(value, str) and (int in kinds or float in kinds) and value.isascii() and value.isdigit():
        return value
    return _wrapped(value, kinds) if isinstance(value, str) and len(value) <= 60 else ""


def _wrapped(value: str, kinds: tuple[Any, ...]) -> str:
    """Return the list or the mapping that a text was perhaps meant to be in."""
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if any(map(_texts, kinds)):
        return f"[{quoted}]"
    for kind in kinds:
        listed = get_origin(kind) is tuple
        needed = [key for part in (alternatives(get_args(kind)[0]) if listed else (kind,)) for key in _needed(part)]
        if len(needed) == 1:
            return f"[{{{needed[0]}: {quoted}}}]" if listed else f"{{{needed[0]}: {quoted}}}"
    return ""


def _needed(kind: Any) -> list[str]:
    """Return the keys that a mapping must have: what else would a mere text be, where there is one?"""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [key for key, field in fields_of(kind).items() if field.is_required()]


def _texts(kind: Any) -> bool:
    return get_origin(kind) is tuple and alternatives(get_args(kind)[0]) == (str,)
