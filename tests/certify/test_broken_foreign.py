"""A foreign OS that is broken in one way is refused for that one and no other; a whole one passes every profile."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from certifying import PATIENCE, harness
from theirs import PASSWORD, make, unit

from harness import proc
from harness.spec.profile import load_profile, profiles

pytestmark = [pytest.mark.boots, pytest.mark.builds, pytest.mark.long]
SIZE = 1 << 20  # of a disk in a file


def filesystem(folder: Path) -> bytes:
    """An empty ext4."""
    path = folder / "ext4"
    path.write_bytes(bytes(SIZE))
    subprocess.run(
        [proc.resolve("mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-I", "256", str(path)], check=True
    )
    return path.read_bytes()


def failing(_: Path) -> Mapping[str, str | bytes]:
    return unit("exit 1")


def remounted(_: Path) -> Mapping[str, str | bytes]:
    return unit("mount -o remount,ro /")


def keeping(folder: Path) -> Mapping[str, str | bytes]:
    mounted = "cp /disk /run/disk && mount -o loop /run/disk /srv"
    return {**unit(mounted), "disk": filesystem(folder)}


def listening(_: Path) -> Mapping[str, str | bytes]:
    return unit("while :; do nc -l -p 9999; done", kind="simple")


def whole(_: Path) -> Mapping[str, str | bytes]:
    return {}


Broken = tuple[Callable[[Path], Mapping[str, str | bytes]], bool]  # its files, and whether its root is a squashfs
BROKEN: dict[tuple[str, str], Broken] = {
    ("base", "foreign-boots"): (failing, True),
    ("base", "foreign-root-read-only"): (whole, False),
    ("immutable", "foreign-never-writable"): (remounted, False),
    ("immutable", "foreign-state"): (keeping, True),
    ("hardened", "foreign-ports"): (listening, True),
}


def judged(folder: Path, yaml: Path, profile: str) -> dict[str, tuple[str, str]]:
    """Each requirement's verdict, and why."""
    harness(folder, "certify", "--new-key", "key")
    ran = harness(folder, "certify", str(yaml), "-m", "qemu-arm64", "-p", profile, "-o", "evidence", "--json", "--key",
                  "key", "--timeout-multiplier", PATIENCE, "--results", "out")  # fmt: skip
    assert ran.code in (0, 1) and ran.stdout, ran.words
    return {row["id"]: (row["verdict"], row["why"]) for row in ran.json["requirements"]}


def unfulfilled(found: Mapping[str, tuple[str, str]], profile: str) -> dict[str, str]:
    """The mandatory requirements that are not fulfilled, and why."""
    levels = {one.id: one.level for one in load_profile(profile).requirements}
    return {name: why for name, (verdict, why) in found.items()
            if verdict in ("failed", "not run") and levels[name] == "mandatory"}  # fmt: skip


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PASSWORD.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("profile", "requirement"), BROKEN, ids=map("-".join, BROKEN))
def test_it_is_refused_for_that_requirement_alone(tmp_path: Path, profile: str, requirement: str) -> None:
    files, squashfs = BROKEN[profile, requirement]
    found = judged(tmp_path, make(tmp_path, files(tmp_path), squashfs=squashfs), profile)
    assert set(unfulfilled(found, profile)) == {requirement}, found


@pytest.mark.parametrize("profile", list(profiles()))
def test_a_whole_one_passes(tmp_path: Path, profile: str) -> None:
    found = judged(tmp_path, make(tmp_path, {}), profile)
    assert unfulfilled(found, profile) == {}, found
