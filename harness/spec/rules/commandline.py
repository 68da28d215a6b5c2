"""Whether a component honours the command line that an image gives it, which is that of the program it stands for.

Pure: a component's table of options (``command_line``) and an image's words in, complaints at each word's place out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from harness.spec.models.component import CommandLine, CommandOption, ComponentSpec
from harness.spec.text.complaints import KeyPath, Problem, nearest

_SHELLS = ("sh", "ash", "bash", "/bin/sh", "/bin/ash", "/bin/bash", "/usr/bin/sh")


@dataclass(frozen=True)
class _Found:
    """One option as it is written: which word, its option, and its value."""

    index: int
    written: str
    option: CommandOption | None
    value: str | None = None
    value_index: int = 0


@dataclass
class _Parsed:
    options: list[_Found] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)  # indices of the words
    missing: list[tuple[int, str]] = field(default_factory=list)  # options without their value


def problems(words: Sequence[str], component: ComponentSpec, at: KeyPath, *, others: bool = False) -> Iterator[Problem]:
    """Judge the command of an entry at `at` by the component's table; another program's is not judged.

    `others` says that the entry's environment may say what the arguments do not.
    """
    table = component.command_line
    if table is None:
        return
    first = _first(words, table)
    if first is None:
        return
    parsed = _parse(words, first, table)
    for one in parsed.options:
        yield from _option(one, component, table, at)
    for index, written in parsed.missing:
        yield Problem((*at, index), f"{written} takes a value, and there is none")
    count = len(parsed.arguments)
    # else a value may have been taken for an argument, or the other way round
    known = not parsed.missing and all(one.option is not None for one in parsed.options)
    if count < table.least and known and not others:
        yield Problem((*at, 0), f"{words[first - 1]} has {_arguments(count)}", f"at least {table.least}")
    if table.most is not None and count > table.most:
        place = parsed.arguments[table.most]
        yield Problem((*at, place), f"{words[first - 1]} has {_arguments(count)}", f"at most {table.most}")

    for place in parsed.arguments:
        if table.accepts and not any(fnmatchcase(words[place], one) for one in table.accepts):
            yield Problem((*at, place), _refused(words[place], component), f"one of: {', '.join(table.accepts)}")


def _arguments(count: int) -> str:
    return "no argument" if count == 0 else f"{count} argument{'s' if count > 1 else ''}"


def _first(words: Sequence[str], table: CommandLine) -> int | None:
    """Return the index of the program's first argument; None when another program is run."""
    known = {*table.programs, *map(posixpath.basename, table.programs)}
    if words and words[0] in known:
        return 1
    if len(words) > 1 and words[0] in _SHELLS and words[1] in known:
        return 2
    return None


def _option(one: _Found, component: ComponentSpec, table: CommandLine, at: KeyPath) -> Iterator[Problem]:
    place = (*at, one.index)
    if one.option is None:
        known = [_spelled(name, table) for option in table.options if option.honoured for name in option.names]
        yield Problem(place, _refused(one.written, component), "", nearest(one.written, known))
    elif not one.option.honoured:
        yield Problem(place, _refused(one.written, component))
    elif one.value is not None:
        where = (*at, one.value_index)
        if one.option.takes == "number" and not (one.value.isascii() and one.value.isdigit()):
            yield Problem(where, f"{one.written}: {one.value!r} is not a number", "a whole number")
        if one.option.values and one.value not in one.option.values:
            near = nearest(one.value, one.option.values)
            what = _refused(f"{one.written} {one.value}", component)
            yield Problem(where, what, "" if near else f"one of: {', '.join(one.option.values)}", near)


def _refused(written: str, component: ComponentSpec) -> str:
    return f"{written} is not honoured by the library's {component.name}: the original image is needed"


def _spelled(name: str, table: CommandLine) -> str:
    if table.style == "words":
        return name
    return f"-{name}" if table.style == "go" or len(name) == 1 else f"--{name}"


def _parse(words: Sequence[str], first: int, table: CommandLine) -> _Parsed:
    parsed = _Parsed()
    by_name = {name: option for option in table.options for name in option.names}
    index = first
    while index < len(words):
        word = words[index]
        if table.style == "words":
            index = _word(words, index, by_name, parsed)
        elif word == "--" or not word.startswith("-") or word == "-":
            if table.style == "go" or word == "--":
                parsed.arguments += range(index + (word == "--"), len(words))
                break
            parsed.arguments.append(index)
            index += 1
        elif table.style == "getopt" and not word.startswith("--"):
            index = _short(words, index, by_name, parsed)
        else:
            index = _long(words, index, by_name, parsed, getopt=table.style == "getopt")
    return parsed


def _word(words: Sequence[str], index: int, by_name: dict[str, CommandOption], parsed: _Parsed) -> int:
    """Take an option that is a word of its own."""
    word = words[index]
    option = by_name.get(word)
    if option is None and not word.startswith("-"):
        parsed.arguments.append(index)
        return index + 1
    return _take(words, index, word, option, parsed)


def _long(words: Sequence[str], index: int, by_name: dict[str, CommandOption], parsed: _Parsed, *, getopt: bool) -> int:
    """Take `--name`, `--name=value` or, in Go's style, `-name`."""
    name, given, value = words[index].lstrip("-").partition("=")
    written = words[index].partition("=")[0]
    option = by_name.get(name)
    if option is None and getopt:  # the beginning of a long name will do
        begun = [known for known in by_name if len(known) > 1 and known.startswith(name)]
        option = by_name[begun[0]] if len(begun) == 1 else None
    if given:
        parsed.options.append(_Found(index, written, option, value, index))
        return index + 1
    return _take(words, index, written, option, parsed)


def _short(words: Sequence[str], index: int, by_name: dict[str, CommandOption], parsed: _Parsed) -> int:
    """Take one word of short options: `-l`, `-lk FILE`, `-kFILE`."""
    letters = words[index][1:]
    for at, letter in enumerate(letters):
        option = by_name.get(letter)
        rest = letters[at + 1 :]
        if option is not None and option.takes != "nothing" and rest:
            parsed.options.append(_Found(index, f"-{letter}", option, rest, index))
            return index + 1
        following = _take(words, index, f"-{letter}", option, parsed)
        if following > index + 1:
            return following
    return index + 1


def _take(words: Sequence[str], index: int, written: str, option: CommandOption | None, parsed: _Parsed) -> int:
    """Take an option whose value, if it has one, is the next word; return the index behind it."""
    if option is None or option.takes == "nothing":
        parsed.options.append(_Found(index, written, option))
        return index + 1
    if index + 1 >= len(words):
        parsed.missing.append((index, written))
        return index + 1
    parsed.options.append(_Found(index, written, option, words[index + 1], index + 1))
    return index + 2
