"""`harness library`: what is listed, found and shown is what the components' files say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES
from harness.build.debian import Debian
from harness.build.layer import make_layer
from harness.build.settings import Settings
from harness.commands.images.library import library
from harness.errors import UserError
from harness.spec import load_component
from harness.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A cache with nothing in it."""
    return Settings(cache=tmp_path / "cache")


def rows(capsys: pytest.CaptureFixture[str], settings: Settings, action: str, *words: str) -> list[dict[str, object]]:
    assert library(action, words, settings, as_json=True) == 0
    return json.loads(capsys.readouterr().out)


def test_the_list_is_the_folder(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    found = rows(capsys, settings, "list")
    assert [one["name"] for one in found] == [path.stem for path in sorted(paths.COMPONENTS.glob("*.yml"))]
    assert library("list", (), settings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found)
    for line, one in zip(lines, found, strict=True):
        assert line.split()[:2] == [one["name"], one["section"]] and line.endswith(str(one["description"]))


def test_each_has_its_place(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    sections = {one["name"]: one["section"] for one in rows(capsys, settings, "list")}
    wanted = {"kernel": "kernel", "init": "init", "ca-certificates": "init", "dhcp": "onboot", "nginx": "services"}
    assert {name: sections[name] for name in wanted} == wanted


@pytest.mark.slow
def test_search_takes_all_words(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    names = [one["name"] for one in rows(capsys, settings, "search", "server", "WEB")]
    assert "nginx" in names and "sshd" not in names
    assert "sshd" in [one["name"] for one in rows(capsys, settings, "search", "openssh-server")], "by package"
    assert library("search", ("nosuchword",), settings) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no component has to do with 'nosuchword': `harness library list` names all\n")
    assert "nginx" in [one["name"] for one in rows(capsys, settings, "search", "http", "server")]
    assert "nginx" in [one["name"] for one in rows(capsys, settings, "search", "nginx", "nosuchword")]


def test_a_component_is_found_by_what_it_stands_for(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    assert [one["name"] for one in rows(capsys, settings, "search", "linuxkit/containerd")] == ["init"]
    (one,) = rows(capsys, settings, "show", "shell")
    assert one["stands_for"] == ["alpine", "linuxkit/alpine"]
    assert library("show", ("shell",), settings) == 0
    assert "  stands for    alpine linuxkit/alpine\n" in capsys.readouterr().out


def test_show_says_how_it_runs(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    (one,) = rows(capsys, settings, "show", "nginx")
    config = load_component(paths.COMPONENTS / "nginx.yml").config
    assert (one["command"], one["capabilities"]) == (list(config.command or ()), list(config.capabilities or ()))
    assert (one["health"], one["readonly"], one["size"]) == ("http:80/", True, {})
    assert library("show", ("nginx", "dhcp"), settings) == 0
    text = capsys.readouterr().out
    assert "  command       /usr/sbin/nginx -e stderr -g 'daemon off;'\n" in text
    assert "\n\ndhcp: " in text and "  size" not in text


@pytest.mark.builds
def test_a_component_that_was_built_has_a_size(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings()  # the cache of all tests: another one would be filled from the network first
    debian = Debian(store := Store(settings.cache), suite=settings.suite)
    layer = make_layer(load_component(paths.COMPONENTS / "dhcp.yml"), ARCHES["arm64"], debian, store)
    (one,) = rows(capsys, settings, "show", "dhcp")
    assert one["size"]["arm64"] == layer.size > 0


@pytest.mark.slow
def test_the_shell_completes_their_names() -> None:
    for words in ("library show ng", "new dhcp ng", "add ng"):
        line = f"harness {words}"
        env = {
            **os.environ,
            "_HARNESS_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        program = Path(sys.executable).with_name("harness")
        done = subprocess.run([program], env=env, capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["plain,nginx"], words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "ngnx"), "the library has no component 'ngnx'"),
        (("show",), "show takes a component's name"),
        (("list", "nginx"), "library list takes no word"),
        (("remove", "nginx"), "unknown action 'remove'"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], message: str, settings: Settings) -> None:
    with pytest.raises(UserError, match=message) as caught:
        library(words[0], words[1:], settings)
    assert caught.value.hint
