"""Bytes in, plain data with places out: 1.2's types, and a complaint rather than a crash for everything else."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.paths import CASES, COMPONENTS, MACHINES
from harness.spec.lint import lint
from harness.spec.text.complaints import SpecError
from harness.spec.text.reader import MAX_BYTES, content_of, parse, read

FILE = Path("f.yml")
DATA = Path(__file__).parent / "data"
REAL = [path for folder in (DATA, CASES, COMPONENTS, MACHINES) for path in sorted(folder.rglob("*.yml"))]


def complaints(content: bytes) -> list[str]:
    """Return the complaints about a file of this content, fatal or not."""
    try:
        return [str(complaint) for complaint in parse(content, FILE).complaints]
    except SpecError as error:
        return [str(complaint) for complaint in error.complaints]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("0644", 644),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.INF", -math.inf),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("0b11", "0b11"),
        ("=", "="),
        ("|\n  a\n  b", "a\nb"),
    ],
)
def test_core_types(text: str, value: object) -> None:
    found = parse(f"a: {text}".encode(), FILE).data["a"]
    assert (type(found), found) == (type(value), value)


def test_nan_is_a_float() -> None:
    assert math.isnan(parse(b"a: .nan", FILE).data["a"])


def test_places_of_keys_and_values() -> None:
    document = parse(b"# c\na:\n  - b: 1\n    cd: [x, y]\n", FILE)
    assert document.place(("a",), at_key=True) == (2, 1)
    assert document.place(("a", 0, "cd"), at_key=True) == (4, 5)
    assert document.place(("a", 0, "cd", 1)) == (4, 13)
    assert document.place(("a", 0, "missing")) == (3, 5)  # its parent's


def test_merge_keys_and_aliases() -> None:
    document = parse(b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {x: 9, z: 1}]}\n", FILE)
    assert document.data["b"] == {"x": 1, "y": 3}
    assert document.data["c"] == {"x": 1, "y": 2, "z": 1}
    assert document.place(("b", "x")) == (1, 11)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            b"a: 1\nb:\n  c: 1\n  c: 2\n",
            "f.yml:4:3: b.c: the key is here twice, first in line 3, expected each key once",
        ),
        (b"1: x", 'f.yml:1:1: 1 is not a key, expected text, did you mean "1"?'),
        (b"? [a]\n: b", "f.yml:1:3: a list is not a key, expected text"),
        (b"a: 1\n---\nb: 2", "f.yml:2:1: a second document begins here, expected one document in a file"),
        (b"", "f.yml:1:1: is empty, expected a mapping"),
        (b"# only this\n", "f.yml:1:1: is empty, expected a mapping"),
        (b"a: caf\xe9", "f.yml:1:7: byte 0xe9 is not UTF-8, expected a text file in UTF-8"),
        ("a: 1".encode("utf-16"), "f.yml:1:1: byte 0xff is not UTF-8, expected a text file in UTF-8"),
        (b"a: b\n\x1b[2J", "f.yml:2:1: the character U+001B cannot be printed, expected text"),
        (b'a: "\\0"', "f.yml:1:4: a: the text holds a NUL character, expected text without it"),
        (b"a: [1\nb: 2", "f.yml:2:2: not YAML: the list that begins in line 1 goes on wrongly, expected `,` or `]`"),
        (b"a: *b", "f.yml:1:4: a: the alias *b has no anchor before it, expected &b above"),
        (b"a: &a [*a]", "f.yml:1:8: a[0]: the alias *a stands inside its own anchor, expected an alias after it"),
        (b"a: !!python/name:os.system x", "f.yml:1:4: a: the tag tag:yaml.org,2002:python/name:os.system is unknown"),
        (b"a: !!int x", "f.yml:1:4: a: 'x' is not a valid int"),
        (b"a: " + b"9" * 5000, "f.yml:1:4: a: the number has more than 20 digits"),
        (b"[" * 1000, "is nested deeper than 64 levels"),
        (b"- " * 1000, "is nested deeper than 64 levels"),
        (b"".join(b" " * i + b"a:\n" for i in range(200)), "is nested deeper than 64 levels"),
        (b"[" + b"1," * 60_000 + b"]", "holds more than 50000 values"),
        (b"a: " + b"x" * MAX_BYTES, "f.yml:1:1: is larger than 1 MiB"),
    ],
)
def test_refusals(content: bytes, complaint: str) -> None:
    (found,) = complaints(content)
    assert complaint in found


def test_exploding_aliases() -> None:
    lines = [b"a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for here in range(ord("b"), ord("k")):
        lines.append(b"%c: &%c [%s]" % (here, here, b", ".join([b"*%c" % (here - 1)] * 10)))
    (found,) = complaints(b"\n".join(lines))
    assert found.startswith("f.yml:5:") and "aliases expanded" in found


def test_aliases_cannot_add_up_to_depth() -> None:
    deep = b"a: &a " + b"[" * 40 + b"]" * 40 + b"\nb: " + b"[" * 40 + b"*a" + b"]" * 40
    assert "nests deeper than 64 levels" in complaints(deep)[0]


def test_a_complaint_cannot_steer_the_terminal_nor_flood_it() -> None:
    (found,) = complaints(b'"\\e[31m\\n": 1\n"\\e[31m\\n": ' + b"x" * 100_000)
    assert found.isprintable()
    (found,) = complaints(b"a: !" + b"t" * 100_000 + b" x")
    assert len(found) < 1000


def test_unreadable_files(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yml", tmp_path, Path("a\0b")):
        with pytest.raises(UserError, match="cannot read"):
            read(path)


def _lint_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for finding in lint([path]):
        for complaint in finding.complaints:
            assert complaint.line >= 1
            assert complaint.column >= 1
            assert str(complaint).isprintable()


fuzzed = settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzzed
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode(errors="ignore"))))
def test_any_bytes_end_in_complaints(tmp_path: Path, content: bytes) -> None:
    _lint_bytes(tmp_path / "any.yml", content)


# Pieces that mean something to YAML or to a spec, so that mutations reach past the parser.
PIECES = [
    b"",
    b": ",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!int ",
    b"|\n",
    b"\n",
    b"'",
    b'"',
    b"#",
]
PIECES += [b"null", b"true", b"-1", b"1e999", b"99999999999999999999", b"\xff", b"@pkg:..", b"../..", b"\\0", b"? "]


@fuzzed
@given(
    base=st.sampled_from(REAL),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(PIECES)), min_size=1, max_size=6),
)
@pytest.mark.slow
def test_mutated_specs_end_in_complaints(tmp_path: Path, base: Path, cuts: list[tuple[float, int, bytes]]) -> None:
    content = base.read_bytes()
    for where, length, piece in cuts:
        at = int(where * len(content))
        content = content[:at] + piece + content[at + length :]
    _lint_bytes(tmp_path / base.name, content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@fuzzed
@given(base=st.sampled_from(REAL), value=VALUES, seed=st.integers(0, 10_000))
@pytest.mark.slow
def test_any_value_at_any_key_ends_in_complaints(tmp_path: Path, base: Path, value: object, seed: int) -> None:
    import yaml

    data = yaml.safe_load(base.read_bytes())
    holders: list[tuple[dict[object, object] | list[object], object]] = []
    todo = [data]
    while todo:
        node = todo.pop()
        items = (
            list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        )
        holders += [(node, key) for key, _ in items]
        todo += [part for _, part in items]
    holder, key = holders[seed % len(holders)]
    holder[key] = value  # type: ignore[index]
    _lint_bytes(tmp_path / base.name, yaml.safe_dump(data, allow_unicode=True).encode(errors="ignore"))


def test_a_pipe_is_read_as_long_as_somebody_writes_to_it(tmp_path: Path) -> None:
    pipe = tmp_path / "f.yml"
    os.mkfifo(pipe)
    assert content_of(pipe) == b""  # nobody does, and it is not waited for
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_bytes, b"a: 1\n")
        while not (found := content_of(pipe)):
            pass  # the writer has not opened it yet
        assert (found, written.result()) == (b"a: 1\n", 5)
