"""`harness doctor`, on this host and on hosts that lack something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.commands.host import doctor
from harness.tools import TOOLS, Tool

EVERYTHING = [
    doctor.ToolStatus(tool.program, tool.package, tool.needed_for, "/x", "1", "ok") for tool in TOOLS.values()
]


def without(*programs: str) -> list[doctor.ToolStatus]:
    """Return the findings of a host that lacks these."""
    return [
        doctor.ToolStatus(row.program, row.package, row.needed_for, "", "", "MISSING")
        if row.program in programs
        else row
        for row in EVERYTHING
    ]


def test_one_emulator_is_enough_and_nothing_else_may_be_missing() -> None:
    emulators = sorted(doctor.EMULATORS)
    assert doctor.indispensable(EVERYTHING) == []
    assert doctor.indispensable(without(*emulators[1:])) == []
    assert sorted(doctor.indispensable(without(*emulators))) == emulators
    assert doctor.indispensable(without("tar2sqfs")) == ["tar2sqfs"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("tar2sqfs (squashfs-tools-ng) 1.2.0\n", "1.2.0"),
        ("kmod version 30\n+ZSTD", "30"),
        ("QEMU emulator version 7.2.22 (Debian 1:7.2)", "7.2.22"),
        ("no number at all", "?"),
    ],
)
def test_versions(text: str, version: str) -> None:
    assert doctor.version_in(text) == version


@pytest.mark.slow
def test_looks_at_real_programs(tmp_path: Path) -> None:
    assert doctor.look(Tool("setpriv", "util-linux", "x")).status == "ok"
    missing = doctor.look(Tool("no-such-program", "a-package", "x"))
    assert (missing.status, missing.path) == ("MISSING", "")
    assert doctor.look(Tool("false", "coreutils", "x", ("x",))).status == "BROKEN"


@pytest.mark.slow
def test_this_host(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "none"))
    code = doctor.doctor(as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert code == (3 if facts["missing"] else 0)
    assert {row["program"] for row in facts["tools"]} == set(TOOLS)
    assert set(facts["kvm"]) == {"x86_64", "arm64", "s390x"}
    assert all(row["reason"] for row in facts["kvm"].values())
    assert facts["host"]["guests"] >= 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_fits_the_terminal_and_has_no_colour_when_piped(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "cache", lambda: {"folder": "/c", "writable": False, "bytes": 1, "free": 2})
    monkeypatch.setenv("COLUMNS", str(width))
    doctor.doctor(as_json=False)
    out = capsys.readouterr().out
    heads = {row.program for row in EVERYTHING}
    wide = [line for line in out.splitlines() if len(line) > width and not heads & set(line.split())]
    assert wide == []
    assert "\x1b" not in out
    assert "qemu-system-s390x" in out
