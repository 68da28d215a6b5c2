"""Strangers' text cannot steer what shows it."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
from trees import of_harness, sources

from harness import text

HOSTILE = [
    ("a\nb", "a\\nb"), ("a\rb", "a\\rb"), ("a\0b\x7f\x9b", "a\\x00b\\x7f\\x9b"), ("\x1b[2Jx", "\\x1b[2Jx"),
    ("\u202eabc\u2066", "\\u202eabc\\u2066"), ("\u2028", "\\u2028"), ("\udc80", "\\udc80"),
    ("\U000e0001", "\\U000e0001"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "shown"), HOSTILE)
def test_what_cannot_be_seen_is_spelt_out(given: str, shown: str) -> None:
    assert text.one_line(given) == shown
    assert text.one_line(given).isprintable()
    shown.encode()


def test_several_lines_keep_their_ends_and_tabs() -> None:
    assert text.lines("a\tb\nc\r\x1b") == "a\tb\nc\\r\\x1b"


def test_what_the_system_says_has_no_number(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / "no" / "such").read_bytes()
    assert text.of_error(caught.value) == f"{tmp_path}/no/such: No such file or directory"
    assert text.of_error(OSError(13, "Permission denied")) == "Permission denied"
    assert text.of_error(ValueError("odd")) == "odd"
    copied = shutil.Error([("a", "b/c", "[Errno 13] Permission denied: 'b/c'"), ("d", "e", "x")])
    assert text.of_error(copied) == "b/c: Permission denied"


@sources
def test_no_message_shows_an_os_errors_number() -> None:
    found = []
    for file, tree in of_harness():
        for caught in ast.walk(tree):
            if isinstance(caught, ast.ExceptHandler) and caught.type and "OSError" in ast.unparse(caught.type):
                shown = (one.value for one in ast.walk(caught) if isinstance(one, ast.FormattedValue))
                found += [f"{file}:{one.lineno}: {{{one.id}}}" for one in shown
                          if isinstance(one, ast.Name) and one.id == caught.name]  # fmt: skip
    assert found == [], "harness.text.of_error says it in words"


def test_what_can_be_seen_stays() -> None:
    assert text.one_line("naïve 漢字 \\n '\"") == "naïve 漢字 \\n '\""


@pytest.mark.parametrize("sign", ["x", "\0"])
def test_it_is_bounded_whatever_it_is(sign: str) -> None:
    assert len(text.one_line(sign * 10_000_000, 10)) == 10
    assert text.one_line(sign * 11, 10).endswith("...")
    assert text.one_line("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("x" * 300, "x" * 300),
        (f"no {'x' * 10_000}y here", f"no {'x' * 222}...{'x' * 74}y here"),
        ("x " * 10_000, f"{'x ' * 1123}x...{'x ' * 375}"),
    ],
)
def test_a_message_quotes_the_beginning_and_the_end_of_what_is_too_long(given: str, shown: str) -> None:
    assert text.message(given) == shown


def test_many_names_are_the_first_ones_and_how_many_more() -> None:
    assert text.names("abc") == "a, b, c"
    assert text.names(map(str, range(13))).endswith(", 11, 12")
    assert text.names(map(str, range(100))).endswith(", 10, 11 and 88 more")
