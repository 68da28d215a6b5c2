"""What docs/architecture.md says of new things: in a copy of the tree, one is added with that many files, and works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

COPIED = ("harness", "machines", "cases", "tests/test_arch.py", "tests/trees.py")
pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the harness is made of."""
    top = tmp_path / "tree"
    for name in COPIED:
        source, target = paths.TOP / name, top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=skipped) if source.is_dir() else shutil.copy(source, target)
    for name in ("run", "pyproject.toml"):
        shutil.copy(paths.TOP / name, top / name)
    return top


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run([sys.executable, *words], cwd=tree, env=env, capture_output=True, text=True, check=False)


def harness(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(tree, "-c", "from harness.cli import main; main()", *words)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) >= 1, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new, 1))


ROW = """\
        Arch(
            name="riscv64",
            debian="riscv64",
            oci="riscv64",
            qemu="qemu-system-riscv64",
            qemu_package="qemu-system-riscv",
            kernel_package="linux-image-riscv64",
            elf_machine="EM_RISCV",
            cross="riscv64-linux-gnu",
            console="ttyS0",
            virtio="device",
            qemu_machine="virt",
            cpu="rv64",
            gzip_kernel=False,
            kvm_host="riscv64",
            cmdline_size=1024,
            oci_variants=("",),
            machine_types=(MachineType("virt"),),
            uefi="",
            uefi_package="",
            uefi_boot="",
            loader="none",
            root_types=("", ""),
            bios=False,
            ucode=False,
            counter_per_us=10.0,
            counter_since_1900=False,
            exact_cost=1.3,
            layout_us=600,
            floors_us={},
            kernel_mib=(88, 112),
        ),
"""
MACHINE = "arch: riscv64\nconsole: ttyS0\nqemu: {machine: virt, cpu: rv64}\n"
QEMU_ROW = "    run   one     qemu-system-misc        qemu-system-s390x\n"
PACKAGES = """\
    run   one     qemu-system-riscv       qemu-system-riscv64
    test  may     gcc-12-riscv64-linux-gnu riscv64-linux-gnu-gcc-12
"""
TABLES = "test_every_table_outside_of_the_code_has_the_architecture or test_every_table_in_the_code or test_rows"


def test_an_architecture_is_four_files(tree: Path) -> None:
    replace(tree / "harness/arch.py", "    )\n}\n", f"{ROW}    )\n}}\n")
    tables = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "markers=slow", "tests/test_arch.py", "-k", TABLES)
    missing = python(tree, *tables)
    assert missing.returncode == 1 and "run: no row for qemu-system-riscv64" in missing.stdout, missing.stdout
    replace(tree / "run", QEMU_ROW, QEMU_ROW + PACKAGES)
    (tree / "machines/qemu-riscv64.yml").write_text(MACHINE)
    replace(
        tree / "harness/guest/native/sys.h",
        "#elif defined(__s390x__)",
        "#elif defined(__riscv64__)\n#elif defined(__s390x__)",
    )
    whole = python(tree, *tables)
    assert whole.returncode == 0, whole.stdout + whole.stderr

    linted = harness(tree, "lint", "machines/qemu-riscv64.yml")
    assert linted.stdout == "machines/qemu-riscv64.yml: machine, fine\n", linted.stdout + linted.stderr
    (tree / "machines/qemu-riscv64.yml").write_text(MACHINE + f"cmdline: {'x' * 1024}\n")
    assert "at most 1023: Linux on riscv64 takes no more" in harness(tree, "lint", "machines/qemu-riscv64.yml").stdout
    (tree / "machines/qemu-riscv64.yml").write_text(MACHINE)
    assert "qemu-riscv64" in harness(tree, "machine", "list").stdout
    looked = harness(tree, "doctor", "--json").stdout
    assert "qemu-system-riscv64" in looked and "qemu-system-riscv" in json.dumps(json.loads(looked))


RELAY = """\
\"\"\"Power by a relay that a file stands for.\"\"\"

from pathlib import Path
from typing import Any


def put(spec: Any, base: Path, on: bool) -> None:
    (base / spec.file).write_text("on" if on else "off")


def get(spec: Any, base: Path) -> bool | None:
    return (base / spec.file).read_text() == "on"
"""
MODEL = """\
class PowerRelay(Model):
    \"\"\"A relay.\"\"\"

    file: NonEmptyText = Field(description="the file that switches it")


class BoardPower(Model):"""
USE = """\
from harness.board.power import Switch
from harness.spec import load_machine
machine = load_machine("relay.yml")
switch = Switch(machine.board.power, machine.path.parent, machine.name)
switch.on()
print(open("relay").read(), switch.status())
switch.off()
print(open("relay").read(), switch.status())
"""


def test_a_power_switch_is_two_files(tree: Path) -> None:
    (tree / "harness/board/power/relay.py").write_text(RELAY)
    models = tree / "harness/spec/models/power.py"
    replace(models, "class BoardPower(Model):", MODEL)
    replace(models, '"redfish", "manual"', '"redfish", "relay", "manual"')
    replace(
        models,
        "    manual: bool",
        '    relay: PowerRelay | None = Field(None, description="a relay")\n    manual: bool',
    )
    (tree / "relay.yml").write_text(
        "arch: arm64\nconsole: ttyAMA0\nboard: {console: {serial: /dev/ttyUSB0}, power: {relay: {file: relay}}}\n"
    )
    linted = harness(tree, "lint", "relay.yml")
    assert linted.stdout == "relay.yml: machine, fine\n", linted.stdout + linted.stderr
    used = python(tree, "-c", USE)
    assert used.stdout == "on True\noff False\n", used.stderr
    page = python(tree, "-m", "harness.spec.reference").stdout
    assert "### Machine: `board.power.relay`" in page and "the file that switches it" in page
    assert '"relay"' in harness(tree, "schema", "machine").stdout
    (tree / "relay.yml").write_text((tree / "relay.yml").read_text().replace("{relay:", "{manual: true, relay:"))
    assert "there is 'relay' already" in harness(tree, "lint", "relay.yml").stdout
