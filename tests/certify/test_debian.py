"""Debian as somebody else's OS, really judged: with systemd and sysvinit on a read-only root, and as its installer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import debian_os
import pytest
import yaml
from certifying import PATIENCE, Ran, harness

from harness import tools
from harness.arch import ARCHES
from harness.spec.profile import load_profile, profiles

pytestmark = [pytest.mark.boots, pytest.mark.builds, pytest.mark.long]
made_by_mmdebstrap = pytest.mark.skipif(not tools.find("mmdebstrap"), reason="no mmdebstrap")
Make = Callable[[str], Path]
# By all three profiles: it is larger and slower than what they allow, and its packages have setuid files.
REFUSED = {"size", "boot-time", "no-setuid"}
WARNED = {"image-settings"}
PASSED = {
    "foreign-boots", "exact-time", "foreign-root-read-only", "foreign-never-writable", "foreign-state", "foreign-ports",
    "shutdown-wall", "kernel-log", "kernel-untainted", "kernel-options", "kernel-settings",
}  # fmt: skip
# What Debian takes on the harness's machines, and some more: a later kernel must not refuse it.
BUDGET = """\
description: base, with what Debian takes
version: 1
extends: base
budget: {size: 120}
budgets:
  x86_64: {ready: 6000}
  arm64: {ready: 6000}
  s390x: {ready: 9000}
requirements: []
"""
# It has no login, its screens bear no stamp of the kernel's, and nobody in it hears the power button.
INSTALLER = {
    "exact-time": "no exact time: the line of `ready` bears no stamp of the kernel's (docs/foreign.md)",
    "boot-time": "no exact time: the line of `ready` bears no stamp of the kernel's (docs/foreign.md)",
    "size": "MB shipped, 35 MB allowed",
    "foreign-root-read-only": "was skipped: this OS has no login",
    "shutdown-wall": "it did not power off when the machine's button was pressed, and has no login for `poweroff`",
    "kernel-log": "was skipped: this OS has no login",
    "kernel-untainted": "was skipped: this OS has no login",
}


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Give the YAML of Debian with systemd for an architecture; made once."""
    made: dict[str, Path] = {}

    def of(arch: str) -> Path:
        if arch not in made:
            made[arch] = debian_os.systemd(tmp_path_factory.mktemp(f"debian-{arch}"), arch)
        return made[arch]

    return of


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in debian_os.PASSWORD.items():
        monkeypatch.setenv(name, value)


def certify(folder: Path, os: Path, machine: str, profile: str) -> Ran:
    harness(folder, "certify", "--new-key", "key")
    ran = harness(folder, "certify", str(os), "-m", machine, "-p", profile, "-o", "evidence", "--json", "--key", "key",
                  "--timeout-multiplier", PATIENCE, "--results", "out")  # fmt: skip
    assert ran.code in (0, 1) and ran.stdout, ran.words
    return ran


def verdicts(ran: Ran, *which: str) -> dict[str, str]:
    """The requirements that came to one of these verdicts, and why."""
    return {row["id"]: row["why"] for row in ran.json["requirements"] if row["verdict"] in which}


def everything(folder: Path, *only: str) -> str:
    """Write a profile that asks for all that the harness's own ask for, or `only` some of it; return its path."""
    rows: dict[str, dict[str, Any]] = {}
    budgets: dict[str, Mapping[str, Any]] = {}
    for name in profiles():
        one = load_profile(name)
        rows.update((each.id, each.model_dump(mode="json")) for each in one.requirements if each.id in only or not only)
        budgets.update((key, limit.model_dump(exclude_none=True)) for key, limit in one.budgets.items())
    head = {"description": "all of them", "version": 1, "budget": budgets.pop(""), "budgets": budgets}
    (folder / "all.yml").write_text(yaml.safe_dump({**head, "requirements": list(rows.values())}))
    return "./all.yml"


@made_by_mmdebstrap
@pytest.mark.parametrize("arch", list(ARCHES))
def test_systemd_is_refused_for_its_size_its_time_and_its_setuid_files(
    systemd: Make, tmp_path: Path, arch: str
) -> None:
    ran = certify(tmp_path, systemd(arch), f"qemu-{arch}", everything(tmp_path))
    whys = verdicts(ran, "failed", "not run")
    assert set(whys) == REFUSED | WARNED, whys
    assert whys["size"].endswith("MB shipped, 35 MB allowed")
    assert "ready: " in whys["boot-time"] and " ms allowed" in whys["boot-time"]
    assert "/usr/bin/passwd" in whys["no-setuid"]
    assert "kernel/kptr_restrict is 0, at least 1" in whys["image-settings"]
    assert verdicts(ran, "passed").keys() >= PASSED
    assert ran.code == 1


@made_by_mmdebstrap
@pytest.mark.parametrize("arch", list(ARCHES))
def test_systemd_is_certified_where_its_size_and_time_are_allowed(systemd: Make, tmp_path: Path, arch: str) -> None:
    (tmp_path / "roomy.yml").write_text(BUDGET)
    ran = certify(tmp_path, systemd(arch), f"qemu-{arch}", "./roomy.yml")
    assert (ran.json["result"], verdicts(ran, "failed", "not run")) == ("PASSED", {})
    again = harness(tmp_path, "verify", "evidence", "--json", "--timeout-multiplier", PATIENCE, "--key", "key.pub",
                    "-p", "./roomy.yml", "--image", str(systemd(arch)))  # fmt: skip
    assert again.code == 0, again.words
    assert any(one["how"] == "re-executed" for one in again.json["findings"])


@made_by_mmdebstrap
@pytest.mark.parametrize("arch", ["arm64", "s390x"])
def test_sysvinit_is_certified_where_its_size_and_time_are_allowed(tmp_path: Path, arch: str) -> None:
    (tmp_path / "roomy.yml").write_text(BUDGET)
    (tmp_path / "debian").mkdir()
    os = debian_os.sysvinit(tmp_path / "debian", arch)
    ran = certify(tmp_path, os, f"qemu-{arch}", "./roomy.yml")
    assert (ran.json["result"], verdicts(ran, "failed", "not run")) == ("PASSED", {})
    again = harness(tmp_path, "verify", "evidence", "--json", "--timeout-multiplier", PATIENCE, "--key", "key.pub",
                    "-p", "./roomy.yml", "--image", str(os))  # fmt: skip
    assert again.code == 0, again.words
    assert any(one["how"] == "re-executed" for one in again.json["findings"])


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])  # Debian has none for s390x
def test_the_installer_is_refused_for_what_it_is(tmp_path: Path, arch: str) -> None:
    ran = certify(tmp_path, debian_os.installer(tmp_path, arch), str(debian_os.machine(tmp_path, arch)), "base")
    whys = verdicts(ran, "failed", "not run")
    assert set(whys) == set(INSTALLER), whys
    assert [name for name, words in INSTALLER.items() if words not in whys[name]] == [], whys
    assert set(verdicts(ran, "passed")) == {"foreign-boots"}
    told = harness(tmp_path, "verify", "evidence", "--timeout-multiplier", PATIENCE)
    assert (told.code, told.stdout.count("nothing in it is false")) == (1, 1), told.words


def test_the_installers_shell_shows_that_its_root_can_be_written(tmp_path: Path) -> None:
    os = debian_os.installer(tmp_path, "arm64")
    os.write_text(debian_os.IN_A_SHELL.format(arch="arm64"))
    found, fine = {"foreign-root-read-only", "foreign-never-writable"}, {"foreign-state", "kernel-log", "foreign-ports"}
    ran = certify(tmp_path, os, str(debian_os.machine(tmp_path, "arm64")), everything(tmp_path, *found, *fine))
    whys = verdicts(ran, "failed", "not run")
    assert (set(whys), set(verdicts(ran, "passed"))) == (found, fine), whys
    assert all("the root is mounted to be written (rootfs)" in why for why in whys.values()), whys
