"""What people type by the words of other tools, and what it is called here; a misspelt word's nearest."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

import click

# A command's name elsewhere, and what is typed here.
COMMANDS: Mapping[str, str] = {
    "run": "harness boot IMAGE -m MACHINE",
    "start": "harness boot IMAGE -m MACHINE",
    "qemu": "harness boot IMAGE -m MACHINE",
    "console": "harness boot IMAGE -m MACHINE",
    "exec": "harness boot IMAGE -m MACHINE --run COMMAND",
    "ssh": "harness boot IMAGE -m MACHINE --run COMMAND",
    "test": "harness matrix",
    "tests": "harness matrix",
    "pytest": "harness matrix",
    "all": "harness matrix",
    "ci": "harness matrix PLAN",
    "plan": "harness matrix PLAN",
    "images": "harness build IMAGE",
    "image": "harness build IMAGE",
    "make": "harness build IMAGE",
    "create": "harness new NAME… -o IMAGE.yml",
    "component": "harness library list",
    "components": "harness library list",
    "packages": "harness library list",
    "search": "harness library search WORD",
    "list": "harness library list (components) or harness machine list (machines)",
    "ls": "harness library list (components) or harness machine list (machines)",
    "show": "harness library show NAME",
    "machines": "harness machine list",
    "boards": "harness machine list",
    "lab": "harness machine list",
    "validate": "harness lint FILE",
    "check": "harness lint FILE",
    "update": "harness outdated IMAGE",
    "upgrade": "harness outdated IMAGE",
    "install": "harness add COMPONENT IMAGE.yml",
    "diff": "harness compare A B",
    "bench": "harness boot IMAGE -m MACHINE --exact",
    "time": "harness boot IMAGE -m MACHINE --exact",
    "measure": "harness boot IMAGE -m MACHINE --exact",
    "sign": "harness certify IMAGE -m MACHINE",
    "certificate": "harness certify IMAGE -m MACHINE",
    "profiles": "harness profile list",
    "merge": "harness results merge FOLDER… -o DIR",
    "trend": "harness history",
    "log": "harness history --runs",
    "runs": "harness history --runs",
    "info": "harness doctor",
    "status": "harness doctor",
    "prune": "harness clean",
    "rm": "harness clean",
    "completions": "harness completion bash",
}
# An option's name elsewhere, and those that it may stand for: the first that a command has.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "arch": ("--arch", "--machine"),
    "architecture": ("--arch", "--machine"),
    "platform": ("--arch", "--machine"),
    "target": ("--arch", "--machine"),
    "a": ("--arch", "--machine"),
    "machine": ("--machine", "--arch"),
    "m": ("--machine", "--arch"),
    "board": ("--machine",),
    "port": ("--forward",),
    "p": ("--publish",),
    "smp": ("--cpus",),
    "cmd": ("--run",),
    "command": ("--run",),
    "exec": ("--run",),
    "execute": ("--run",),
    "filter": ("--keyword",),
    "select": ("--keyword",),
    "tests": ("--keyword",),
    "out": ("--output", "--results"),
    "output": ("--output", "--results"),
    "o": ("--output", "--results"),
    "dir": ("--output", "--results"),
    "destination": ("--output", "--results"),
    "jobs": ("--workers",),
    "j": ("--workers",),
    "parallel": ("--workers",),
    "mem": ("--memory",),
    "ram": ("--memory",),
    "drive": ("--disk",),
    "cmdline": ("--append",),
    "kernel-args": ("--append",),
    "repeat": ("--runs",),
    "count": ("--runs", "--last"),
    "type": ("--format",),
    "no-network": ("--offline",),
    "verbose": ("--debug",),
    "v": ("--debug",),
}
# What to give where something is missing, by what the shell completes it with.
SUCH_AS: Mapping[str, str] = {
    "machines": "such as qemu-arm64; `harness machine list` has all",
    "images": "such as default, which ships with the harness, or the path of a YAML",
    "components": "such as nginx; `harness library list` has all",
    "files": "the path of a file",
}


def command_meant(name: str, known: Collection[str]) -> str:
    """Return how to go on after a command that is none: what it is called here, the nearest one, or the list."""
    if typed := COMMANDS.get(name.lower()):
        return f"did you mean `{typed}`?"
    near = difflib.get_close_matches(name.lower()[:100], known, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else "`harness help` lists the commands"


def option_meant(name: str, command: click.Command) -> str:
    """Return which option of `command` a name that is none stands for, or an empty text."""
    known = {name.lstrip("-"): name for row in command.params for name in row.opts}
    bare = name.lstrip("-").lower()[:100]
    if found := [
        f"--{known[one.lstrip('-')].lstrip('-')}" for one in OPTIONS.get(bare, ()) if one.lstrip("-") in known
    ]:
        return found[0]
    if OPTIONS.get(bare) == ("--debug",):
        return "`harness --debug COMMAND`"
    near = difflib.get_close_matches(bare, known, 1)  # without the dashes, which are alike in all of them
    return known[near[0]] if near else ""


def word_meant(word: str, words: Collection[str], typed: str) -> str:
    """Return which of `words` is meant; a word that is like none may be the object of ``show``, as in ``typed``."""
    near = difflib.get_close_matches(word.lower()[:100], words, 1, 0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    verb = "show" if "show" in words else next(iter(words)) if len(words) == 1 else ""
    return f" Did you mean `{typed} {verb} {word}`?" if verb else ""
