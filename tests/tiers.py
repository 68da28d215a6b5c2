"""Which tests are quick, and a guard that holds the quick ones to it.

A test that boots, builds, needs a server or takes long has a marker that says so: on the test, its class or its
module (``pytestmark``), or by a fixture that it uses (`needs`). With ``--quick`` those are left out, and a guard stands
before the programs that boot, build or serve: whatever runs one, in the test's own process or in one that it started,
fails with the name of the marker that is missing. The cache is empty then, for an earlier build would hide a later one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from harness.arch import ARCHES

MARKERS = {
    "boots": "boots QEMU",
    "builds": "builds an image, or a part of one with the real tools",
    "servers": "uses a server or a browser that is a program of its own",
    "slow": "takes more than about half a second of processor time, or waits for several seconds",
    "long": "takes minutes",
}
# what cannot run without being noticed; to look at a version is free
GUARDED = {
    **dict.fromkeys([row.qemu for row in ARCHES.values()], "boots"),
    **dict.fromkeys(["apt-get", "tar2sqfs", "mmdebstrap"], "builds"),
    **dict.fromkeys(
        ["docker-registry", "skopeo", "ser2net", "sshd", "dnsmasq", "ipmi_sim", "snmpd", "initdb", "postgres",
         "pg_lsclusters", "chromium"], "servers"
    ),
}  # fmt: skip
GUARD = """#!/bin/sh
[ "$*" != --version ] || exec "{real}" --version
echo '{program}: not under --quick: mark the test "{marker}", or the fixture that runs this (tests/tiers.py)' |
  tee -a '{log}' >&2
exit 99
"""
# plugins that pytest loads because this project's own tests need what brings them, and that those who are tested do not
LEAN = "-p no:hypothesispytest -p no:anyio"
Fixture = TypeVar("Fixture", bound=Callable[..., object])


def needs(*markers: str) -> Callable[[Fixture], Fixture]:
    """Mark a fixture (below ``@pytest.fixture``): every test that uses it, straight or by another, has the markers."""
    unknown = set(markers) - set(MARKERS)
    assert not unknown, unknown

    def mark(function: Fixture) -> Fixture:
        function.tiers = markers  # type: ignore[attr-defined]
        return function

    return mark


def mark_by_fixtures(item: pytest.Item) -> None:
    """Give a test the markers of the fixtures that it uses."""
    if isinstance(item, pytest.Function):
        for used in item._fixtureinfo.name2fixturedefs.values():
            for marker in getattr(used[-1].func, "tiers", ()):
                item.add_marker(marker)


def is_quick(item: pytest.Item) -> bool:
    """Whether a test has none of the markers."""
    return not any(item.get_closest_marker(marker) for marker in MARKERS)


def stand_guard(folder: Path) -> Path:
    """Put the guard's programs into `folder`; returns the file that names the ones that were run."""
    log = folder / "refused"
    log.touch()
    programs = folder / "bin"
    programs.mkdir()
    for program, marker in GUARDED.items():
        real = shutil.which(program) or "false"
        guard = programs / program
        guard.write_text(GUARD.format(program=program, marker=marker, log=log, real=real))
        guard.chmod(0o755)
    return log


def refused(log: Path) -> Iterator[None]:
    """Around a test: fails it when it ran a guarded program, whatever it made of the refusal."""
    before = log.stat().st_size
    yield
    with log.open() as words:
        words.seek(before)
        said = words.read()
    if said:
        pytest.fail(said, pytrace=False)
