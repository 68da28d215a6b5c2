"""The table of architectures has no gap, and every name that people use finds its row."""

from __future__ import annotations

import dataclasses
import platform

import pytest

from harness.arch import ALIASES, ARCHES, by_name, parse_list
from harness.errors import UserError
from harness.tools import TOOLS


@pytest.mark.parametrize("name", ARCHES)
def test_rows_have_no_gap(name: str) -> None:
    row = ARCHES[name]
    gaps = [key for key, value in dataclasses.asdict(row).items() if value == ""]
    assert gaps == []
    assert row.name == name
    assert TOOLS[row.qemu].package == row.qemu_package


def test_names_do_not_collide() -> None:
    for key in ("debian", "oci", "qemu", "kernel_package", "elf_machine", "cross", "kvm_host"):
        values = [getattr(row, key) for row in ARCHES.values()]
        assert len(set(values)) == len(values), key


def test_aliases() -> None:
    assert {alias: by_name(alias).name for alias in ALIASES} == ALIASES
    assert by_name("amd64") is ARCHES["x86_64"]


def test_lists() -> None:
    assert parse_list("all") == list(ARCHES.values())
    assert [row.name for row in parse_list("s390x, amd64,x86_64")] == ["x86_64", "s390x"]


@pytest.mark.skipif(platform.machine() not in {row.kvm_host for row in ARCHES.values()}, reason="no row for this host")
def test_host() -> None:
    (row,) = parse_list("host")
    assert row.kvm_host == platform.machine()


@pytest.mark.parametrize("text", ["riscv64", "x86_64,mips", "", ",", " "])
def test_wrong_lists_name_the_choices(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_list(text)
    assert "arm64" in caught.value.hint
