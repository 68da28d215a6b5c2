"""The table of architectures has no gap, and every name that people use finds its row."""

from __future__ import annotations

import ast
import dataclasses
import platform
from collections.abc import Iterator

import pytest
from trees import tree

from harness import paths
from harness.arch import ALIASES, ARCHES, by_name, parse_list
from harness.errors import UserError
from harness.spec import load_machine, machines
from harness.tools import TOOLS


@pytest.mark.parametrize("name", ARCHES)
def test_rows_have_no_gap(name: str) -> None:
    row = ARCHES[name]
    gaps = [key for key, value in dataclasses.asdict(row).items() if value == "" and not key.startswith("uefi")]
    assert gaps == [] and bool(row.uefi) == bool(row.uefi_package) == bool(row.uefi_boot)
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


def tables(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """Yield the lists, sets and keys of mappings that name two architectures or more: where, and which."""
    for node in ast.walk(tree):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = {one.value for one in parts if isinstance(one, ast.Constant) and one.value in ARCHES}
        if len(names) > 1:
            yield node.lineno, names  # type: ignore[attr-defined]


@pytest.mark.slow
def test_every_table_in_the_code_has_every_architecture() -> None:
    """The figures of harness/bench are those of the architectures that were measured."""
    files = [*paths.PACKAGE.rglob("*.py"), *paths.CASES.rglob("*.py")]
    short = [
        f"{path.relative_to(paths.TOP)}:{line}: without {', '.join(sorted(ARCHES.keys() - names))}"
        for path in files
        if path.parent.name != "bench"
        for line, names in tables(tree(path))
        if names != ARCHES.keys()
    ]
    assert short == []


@pytest.mark.parametrize("name", ARCHES)
def test_every_table_outside_of_the_code_has_the_architecture(name: str) -> None:
    row = ARCHES[name]
    table = (paths.TOP / "run").read_text().partition('packages="')[2].partition('"')[0]
    programs = {line.split()[3]: line.split()[2] for line in table.splitlines() if line.strip()}
    assert programs.get(row.qemu) == row.qemu_package, f"run: no row for {row.qemu}"
    assert f"{row.cross}-gcc-12" in programs, f"run: no row for the compiler {row.cross}-gcc-12"
    known = [load_machine(one) for one in machines()]
    types = [one.qemu.machine.partition(",")[0] for one in known if one.arch == name and one.qemu]
    assert row.qemu_machine in types, f"machines/: none for {name} of the type {row.qemu_machine}"
    rows = {one.name for one in row.machine_types}
    assert set(types) <= rows, f"harness/arch.py: machine_types of {name} lacks {set(types) - rows}"
    header = (paths.GUEST / "native/sys.h").read_text()
    assert f"defined(__{row.cross.partition('-')[0]}__)" in header, f"harness/guest/native/sys.h: nothing for {name}"


def test_native_programs_are_there_for_every_architecture() -> None:
    made = {folder.name: {file.name for file in folder.iterdir()} for folder in (paths.GUEST / "native/bin").iterdir()}
    assert made.keys() == ARCHES.keys() and len(set(map(frozenset, made.values()))) == 1, "harness/guest/native/bin"
