"""Whatever a guest says, no CI server takes it for a command."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.show.inert import inert

# As their agents look for them: actions/runner trims and wants `::` at the beginning, or `##[` anywhere
# (ActionCommand.cs); azure-pipelines-agent `##vso[` anywhere (Command.cs); GitLab's and TeamCity's stand anywhere, too.
COMMANDS = (
    lambda line: line.strip().startswith("::"),
    lambda line: "##[" in line,
    lambda line: "##vso[" in line.lower(),
    lambda line: "##teamcity[" in line.lower(),
    lambda line: re.search(r"section_(start|end):", line.lower()) is not None,
)


def is_command(text: str) -> bool:
    return any(command(line) for line in re.split("[\r\n]", text) for command in COMMANDS)


@pytest.mark.parametrize("text", [
    "::error::x", " \t::set-output name=a::b", "a\r::error::x", "ok\n  ::stop-commands::t", "x ##[error]y",
    "##vso[task.complete result=Failed]", "a ##VSO[x]", "##teamcity[testFailed name='x']", "###[warning]",
    "section_start:1560896352:x\r\x1b[0K", "a section_end:1:x", "\u00a0::error::x",
    "\x0b::error::x", "\ufeff::debug::x",
])  # fmt: skip
def test_commands_are_text(text: str) -> None:
    assert is_command(text) or text.startswith("\ufeff")
    assert not is_command(inert(text))


@given(
    st.lists(st.sampled_from(["::", ":", "#", "##", "[", "vso[", "teamcity[", "section_start", " ", "\n", "\r", "x"]))
)
def test_no_mixture_is_a_command(parts: list[str]) -> None:
    assert not is_command(inert("".join(parts)))


@pytest.mark.parametrize("text", ["cases/test_boot.py::test_ready[a]", "12:30:45 # note", "a: b", "#: [1]"])
def test_what_is_none_stays_as_it_is(text: str) -> None:
    assert inert(text) == text
