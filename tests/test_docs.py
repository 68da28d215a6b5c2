"""The documentation is true: its YAML lints, its commands parse, its quick outputs are real, its links lead on."""

from __future__ import annotations

import ast
import functools
import html
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from judges import judged, refusals

from harness import errors, paths
from harness.cli import app
from harness.spec.lint import lint
from harness.spec.rules.annotations import SETTINGS
from harness.spec.schema import schema
from harness.spec.text.reader import mapping_of, read
from harness.suite import fixtures

TOP = paths.TOP
PAGES = sorted([TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "CHANGELOG.md", *(TOP / "docs").glob("*.md")])
YAMLS = ("image", "component", "machine", "plan", "os", "profile", "waivers", "policy", "cluster")
RUN_WORDS = {"matrix", "site", "test", "bench", "harness", "help"}
ROOTS = ("harness", "cases", "machines", "tests", "docs", ".ci")
COMMAND = app
SUBCOMMANDS = COMMAND.commands
PROGRAM = [str(Path(sys.executable).with_name("harness"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string's words, its text, and where it begins."""

    page: Path
    line: int
    info: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    start, info, lines = 0, "", []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```") and not start:
            start, info, lines = number, line[3:], []
        elif line == "```":
            found.append(Block(page, start, tuple(info.split()), "".join(f"{one}\n" for one in lines)))
            start = 0
        else:
            lines.append(line)
    assert not start, f"{page.name}:{start}: a block without an end"
    return found


@functools.cache
def every_block() -> tuple[Block, ...]:
    return tuple(block for page in PAGES for block in blocks(page))


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def commands(block: Block) -> Iterator[str]:
    for line in block.text.splitlines():
        if line.startswith("$ "):
            yield line[2:]
        elif block.info == () and re.match(r"(harness|\./run|pytest) ", line):
            yield line


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


def named(block: Block) -> str:
    """The file that a block says it is, in its first line's comment."""
    match = re.match(r"# ((?:[\w-]+/)?[\w-]+\.(?:yml|py))\n", block.text)
    return match[1] if match else "block.yml"


def put(folder: Path, block: Block) -> None:
    """Write a YAML block to the file that it says it is."""
    (folder / named(block)).parent.mkdir(exist_ok=True)
    (folder / named(block)).write_text(block.text)


def furnish(folder: Path, upto: Block) -> None:
    """Put into `folder` what a reader of the page has by now: the checkout, and the page's files so far."""
    for name in ("cases", "machines"):
        (folder / name).symlink_to(TOP / name)
    for name in ("vmlinuz", "initrd.img"):
        (folder / name).touch()
    for block in blocks(upto.page):
        if block.line >= upto.line and "plan" not in upto.info:
            break
        if block.info[:1] == ("yaml",) and block.line != upto.line:
            put(folder, block)
        if block.info[:1] == ("python",) and named(block).endswith(".py"):
            put(folder, block)
        if block.info == ("python", "case"):
            (folder / "my-cases").mkdir(exist_ok=True)


def ids(block: Block) -> str:
    return str(block)


@judged
@pytest.mark.slow
@pytest.mark.parametrize("block", [one for one in every_block() if one.info[:1] == ("yaml",)], ids=ids)
def test_yaml_is_what_it_says(block: Block, tmp_path: Path) -> None:
    kind = block.info[1]
    furnish(tmp_path, block)
    for other in ("mine.yml", "other.yml"):  # what a plan names may be another page's
        if kind == "plan" and not (tmp_path / other).exists():
            (tmp_path / other).symlink_to(paths.CASES / "images/minimal.yml")
    put(tmp_path, block)
    (finding,) = lint([tmp_path / named(block)])
    if kind == "wrong":
        assert finding.complaints
    else:
        assert [str(one) for one in finding.complaints] == []
        assert finding.kind == kind and kind in YAMLS
        data = json.loads(json.dumps(mapping_of(read(finding.path))))
        assert refusals(schema(kind), data) == []


def parse(words: Sequence[str]) -> None:
    """Let the command's own parser judge `words`; nothing is run."""
    at = next((number for number, word in enumerate(words) if not word.startswith("-")), len(words))
    known = {option for parameter in COMMAND.params for option in parameter.opts} | {"--help"}
    assert set(words[:at]) <= known, words
    if at < len(words):
        assert words[at] in SUBCOMMANDS, f"no such subcommand: {words[at]}"
        SUBCOMMANDS[words[at]].make_context(words[at], list(words[at + 1 :]))


@functools.cache
def pytest_help() -> str:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout


def judge_command(line: str) -> None:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(itertools.takewhile(lambda word: not set(word) <= set("|<>&;"), lexer))  # the first command of a line
    if words[0] == "./run":
        assert words[1] in RUN_WORDS, line
        if words[1] in ("harness", "matrix"):
            parse(words[2:] if words[1] == "harness" else words[1:])
    elif words[0] == "harness":
        parse(words[1:])
    elif words[0] == "pytest":
        for word in words[1:]:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(word.partition('=')[0])}\b", pytest_help()), line
    else:
        assert words[0] in ("git", "cd", "pip", "export"), f"a program that this test does not know: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.slow
def test_commands_parse(page: Path) -> None:
    # shell lines in blocks, and commands in running text that begin with the program's name
    lines = [(str(block), line, True) for block in blocks(page) for line in commands(block)]
    lines += [
        (page.name, text, False)
        for text in re.findall(r"`((?:\./run|harness) [^`\n]+)`", prose(page))
        if not re.search(r"…|\bARGS\b|\bSTEP\b|^harness: ", text)
    ]
    for where, line, whole in lines:
        try:
            judge_command(line)
        except (click.UsageError, ValueError) as error:
            # running text may speak of `harness boot` and of no image
            if whole or type(error).__name__ != "MissingParameter":
                raise AssertionError(f"{where}: {line}: {error}") from None


def pattern(expected: str) -> str:
    """`…` alone on a line stands for any lines, elsewhere for any text."""
    return "".join("(?:.*\n)*?" if line == "…\n" else re.escape(line).replace("…", ".*") for line in expected)


def sessions(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output shown for it."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.mark.parametrize("block", [one for one in every_block() if one.info == ("console", "run")], ids=ids)
@pytest.mark.slow
def test_outputs_are_real(block: Block, tmp_path: Path) -> None:
    furnish(tmp_path, block)
    for command, shown in sessions(block):
        words = shlex.split(command)
        assert words[0] == "harness"
        done = subprocess.run(
            [*PROGRAM, *words[1:]],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "80"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert re.fullmatch(pattern(shown.splitlines(keepends=True)), done.stdout), f"{command}\n{done.stdout}"


@pytest.mark.slow
def test_doctor_looks_as_shown() -> None:
    shown = next(
        output
        for block in blocks(TOP / "docs/machines.md")
        if block.info[:1] == ("console",)
        for command, output in sessions(block)
        if command == "harness doctor"
    )
    done = subprocess.run([*PROGRAM, "doctor"], capture_output=True, text=True, check=False, timeout=120)
    labels = re.findall(r"^(\w+)$|^  (x86_64|arm64|s390x) ", shown, re.M)
    for title, arch in labels:
        assert re.search(rf"^{title}$" if title else rf"^  {arch} +(tcg|kvm|none|unknown): ", done.stdout, re.M)
    assert len(labels) == 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for text, target in re.findall(r"\[([^]]*)\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: [{text}] leads to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.M)
            assert anchor in map(slug, headings), f"{page.name}: [{text}]: {target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for text in re.findall(rf"`((?:{'|'.join(map(re.escape, ROOTS))})/[\w./*-]+)`", prose(page)):
        if re.search(r"\b[A-Z]{2,}\b|\*", text) or text.startswith("harness/components/lighttpd"):
            continue
        assert (TOP / text).exists(), f"{page.name} names {text}"
    for text in re.findall(
        r"`((?:guest|build|spec|suite|system|emulator|run|show|commands)/[\w/.-]+\.\w+)`", prose(page)
    ):
        assert (TOP / "harness" / text).exists(), f"{page.name} names {text}"


@pytest.mark.slow
def test_modules_in_the_architecture_exist() -> None:
    for text in re.findall(r"`(\w+\.py)`", prose(TOP / "docs/architecture.md")):
        assert list((TOP / "harness").rglob(text)), f"architecture.md names {text}"


def test_marks_in_the_architecture_are_those_of_the_scripts() -> None:
    text = (TOP / "docs/architecture.md").read_text()
    scripts = "".join((paths.GUEST / "init" / name).read_text() for name in ("boot", "common", "supervise", "shutdown"))
    steps = [quoted or plain for quoted, plain in re.findall(r'\bmark (?:"([^"]+)"|(\w+))', scripts)]
    assert len(steps) > 10
    for step in steps:
        first, *rest = step.split()
        word = rest[0].partition("=")[0] if "/" in first else first
        assert re.search(rf"[` ]{word}[`= ]", text), step


def test_every_subcommand_is_in_the_readme() -> None:
    text = (TOP / "README.md").read_text()
    assert [name for name in SUBCOMMANDS if f"`harness {name}" not in text] == []


def test_every_exit_code_is_explained() -> None:
    rows = re.findall(r"^\| (\d+) \|", (TOP / "docs/errors.md").read_text(), re.M)
    assert {int(row) for row in rows} == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


def test_every_component_and_machine_is_listed() -> None:
    for folder, page in ((paths.COMPONENTS, "library.md"), (paths.MACHINES, "machines.md")):
        listed = re.findall(r"^\| `([\w-]+)` \|", (TOP / "docs" / page).read_text(), re.M)
        assert {path.stem for path in folder.glob("*.yml")} <= set(listed), page


def test_every_annotation_is_in_the_guest_page() -> None:
    text = (TOP / "docs/guest.md").read_text()
    for name, setting in SETTINGS.items():
        row = re.search(rf"^\| `{re.escape(name)}` \| ([^|]*)\| ([^|]*)\|", text, re.M)
        assert row, name
        assert row[1].strip() == ", ".join(setting.sections), name
        assert not setting.default or row[2].strip() == f"`{setting.default}`", name


@pytest.mark.parametrize("block", [one for one in every_block() if one.info[:1] == ("python",)], ids=ids)
def test_python_asks_for_fixtures_that_exist(block: Block) -> None:
    known = {"tmp_path", *(name for name in vars(fixtures) if not name.startswith("_"))}
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert {one.arg for one in node.args.args} <= known, node.name


def test_the_picture_shows_what_the_text_does() -> None:
    table = next(block.text for block in blocks(TOP / "README.md") if block.text.startswith("image "))
    drawn = html.unescape(re.sub(r"<[^>]*>", " ", (TOP / "docs/img/matrix.svg").read_text()))
    assert len(table.splitlines()) > 1
    assert set(table.split()) <= set(drawn.split())


def test_pictures_are_small() -> None:
    for picture in (TOP / "docs/img").glob("*"):
        assert picture.stat().st_size < 200_000, picture.name
