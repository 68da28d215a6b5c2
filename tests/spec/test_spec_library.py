"""Components, machines, plans, lint, and the page that documents them all."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths
from harness.arch import ARCHES
from harness.errors import UserError
from harness.spec import SpecError, load_component, load_machine, load_plan
from harness.spec.lint import lint
from harness.spec.reference import PARTS, keys_of, reference

MACHINE = "arch: arm64\nconsole: ttyAMA0\nqemu: {machine: virt, cpu: cortex-a57}\n"


def lines(error: pytest.ExceptionInfo[SpecError], path: Path) -> list[str]:
    """Return an error's complaints without the file's name."""
    return [str(complaint).removeprefix(f"{path}:") for complaint in error.value.complaints]


def test_component(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text("description: x\npackages: [nginx]\nfiles: [{path: etc/a, source: files/a}]\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_text("1")
    first = load_component(path)
    assert (first.name, first.path, first.packages) == ("web", path, ("nginx",))
    assert load_component(path).digest == first.digest
    (tmp_path / "files" / "a").write_text("2")
    assert load_component(path).digest != first.digest


def test_wrong_component(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "web.yml"
    path.parent.mkdir()
    (tmp_path / "outside").write_text("x")
    (path.parent / "sneaky").symlink_to(tmp_path / "outside")
    path.write_text(
        "name: web\npackages: [nginx, -oDebug=1, Foo]\npackages_for: {amd64: [x1]}\n"
        "users:\n  - {name: 'a:b', uid: 1, gid: 1, home: '/a:b', shell: \"/x\\ny\"}\n"
        "files:\n  - {path: a, source: ../outside}\n  - {path: b, source: sneaky}\n  - {path: c, source: gone}\n"
        "  - {path: d, source: gone, optional: true}\nlinks: {/usr/bin/busybox: [usr/../../x]}\n"
        "modules: [dm-crypt, -r]\n"
        "config: {rmlimits: [], annotations: {harness.timeout: x}}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_component(path)
    expected = [
        "1:1: name: unknown key, expected one of: description, packages",
        "1:1: description: is missing, expected text",
        "2:19: packages[1]: '-oDebug=1' is not a package's name",
        "2:30: packages[2]: 'Foo' is not a package's name",
        "3:16: packages_for.amd64: unknown architecture 'amd64', did you mean x86_64?",
        "5:12: users[0].name: 'a:b' is not a user's name",
        "5:41: users[0].home: '/a:b' is not a path for /etc/passwd",
        "5:56: users[0].shell: '/x\\ny' is not a path for /etc/passwd",
        "7:23: files[0].source: '../outside' lies outside the component's folder",
        "8:23: files[1].source: 'sneaky' lies outside the component's folder",
        "9:23: files[2].source: No such file or directory: 'gone'",
        "11:28: links./usr/bin/busybox[0]: 'usr/../../x' leaves the image's root",
        "13:10: config.rmlimits: unknown key, did you mean rlimits?",
        "12:21: modules[1]: '-r' is not a module's name",
        "13:55: config.annotations.harness.timeout: found 'x'",
    ]
    found = sorted(lines(caught, path))
    assert len(found) == len(expected), found
    for line, start in zip(found, sorted(expected), strict=True):
        assert line.startswith(start)


def test_machine(tmp_path: Path) -> None:
    path = tmp_path / "board.yml"
    path.write_text(MACHINE.replace("arm64", "aarch64", 1))
    machine = load_machine(str(path))
    assert (machine.name, machine.arch, machine.qemu.virtio, machine.qemu.memory) == ("board", "arm64", "pci", 256)


def test_wrong_machine(tmp_path: Path) -> None:
    path = tmp_path / "board.yml"
    path.write_text(
        "arch: arm46\nconsole: ttyS0 init=/bin/sh\nqemu: {machine: -virt, memory: 32, accel: hvf, virtio: isa}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_machine(path)
    assert lines(caught, path) == [
        "1:7: arch: unknown architecture 'arm46', did you mean arm64?",
        "2:10: console: 'ttyS0 init=/bin/sh' is not a console, expected the kernel's name of it, as in ttyS0",
        "3:7: qemu.cpu: is missing, expected text",
        "3:17: qemu.machine: '-virt' is not a valid machine of QEMU, expected a name, with ,option=value after it",
        "3:32: qemu.memory: the number 32 is too small, expected at least 64",
        "3:43: qemu.accel: found the text 'hvf', expected one of: auto, tcg, kvm",
        "3:56: qemu.virtio: found the text 'isa', expected one of: pci, ccw, device",
    ]


def test_unknown_machine() -> None:
    with pytest.raises(UserError) as caught:
        load_machine("qemu-arm46")
    assert "did you mean qemu-arm64?" in caught.value.hint
    assert "qemu-s390x" in caught.value.hint
    with pytest.raises(UserError, match="cannot read"):
        load_machine("./missing.yml")


def test_plan(tmp_path: Path) -> None:
    for name, text in (("img.yml", "kernel: {image: kernel}\n"), ("board.yml", MACHINE), ("test_x.py", "")):
        (tmp_path / name).write_text(text)
    path = tmp_path / "night.yml"
    path.write_text(
        "machines: [qemu-arm64, ./board.yml]\ncases: [test_x.py]\nbudget: {size: 35}\n"
        "images:\n  - path: img.yml\n    machines: [board.yml]\n"
        "    budgets: {arm64: {ready: 750.5}, board: {size: 1}, qemu-s390x: {size: 2}}\n"
    )
    plan = load_plan(path)
    assert plan.name == "night"
    assert plan.machines == ("qemu-arm64", str(tmp_path / "board.yml"))
    assert plan.cases == (tmp_path / "test_x.py",)
    assert plan.images[0].path == tmp_path / "img.yml"
    assert plan.images[0].machines == (str(tmp_path / "board.yml"),)
    assert plan.images[0].budgets["arm64"].ready == 750.5
    assert load_machine(plan.machines[1]).arch == "arm64"


def test_wrong_plan(tmp_path: Path) -> None:
    path = tmp_path / "night.yml"
    path.write_text(
        "machines: [qemu-amr64, x.yml]\ncases: [gone]\nbudget: {size: .inf, ready: 0}\n"
        "images:\n  - path: gone.yml\n    budgets: {arm46: {siez: 1}}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_plan(path)
    assert [line.split(", expected")[0] for line in lines(caught, path)] == [
        "1:12: machines[0]: unknown machine 'qemu-amr64', did you mean qemu-arm64?",
        "1:24: machines[1]: there is no file 'x.yml'",
        "2:9: cases[0]: there is no 'gone'",
        "3:16: budget.size: the number inf is not finite",
        "3:29: budget.ready: the number 0 is too small",
        "5:11: images[0].path: there is no image 'gone.yml'",
        "6:15: images[0].budgets.arm46: neither a machine nor an architecture is called 'arm46', did you mean arm64?",
        "6:23: images[0].budgets.arm46.siez: unknown key, did you mean size?",
    ]


def test_lint_tells_kinds_apart(tmp_path: Path) -> None:
    texts = {
        "image.yml": "kernel: {image: kernel}\ninit: [linuxkit/init:1]\nservices: [{name: a, image: nginx}]\n",
        "part.yml": "files: [{path: a, contents: x}]\n",
        "component.yml": "description: x\npackages: [nginx]\nfiles: []\n",
        "machine.yml": MACHINE,
        "plan.yml": "images: []\nmachines: [qemu-arm64]\n",
        "unknown.yml": "foo: 1\n",
        "broken.yml": "a: [\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = {finding.path.stem: finding for finding in lint([tmp_path])}
    kinds = {"component": "component", "image": "image", "machine": "machine", "part": "image", "plan": "plan"}
    assert {name: finding.kind for name, finding in found.items()} == {
        **kinds,
        "broken": "unknown",
        "unknown": "unknown",
    }
    assert {name for name, finding in found.items() if finding.complaints} == {"plan", "broken", "unknown"}
    assert [(r.key_path, r.text, r.kind) for r in found["image"].references] == [
        ("kernel.image", "kernel", "component"),
        ("init[0]", "linuxkit/init:1", "oci"),
        ("services[0].image", "nginx", "component"),
    ]
    assert "names no kernel" in found["part"].notes[0]
    assert found["image"].notes == ("components of the library do the job of 1 of its images: --library takes them",)


def test_lint_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no YAML file"):
        lint([tmp_path])
    with pytest.raises(UserError, match="cannot read"):
        lint([tmp_path / "gone.yml"])


@pytest.mark.parametrize("path", sorted(paths.MACHINES.rglob("*.yml")), ids=lambda path: path.stem)
def test_a_shipped_machine_has_its_architectures_console(path: Path) -> None:
    machine = load_machine(str(path))
    # a board's is whatever its line is soldered to
    assert machine.board or machine.console == ARCHES[machine.arch].console


def test_every_architecture_has_a_machine() -> None:
    assert {load_machine(path.stem).arch for path in paths.MACHINES.glob("*.yml")} == set(ARCHES)
    assert load_machine("qemu-x86_64-microvm").qemu.virtio == "device"
    assert load_machine("qemu-s390x").qemu.virtio == "ccw"


def test_reference_is_current() -> None:
    assert (paths.TOP / "docs" / "reference.md").read_text() == reference(), (
        "run: python -m harness.spec.reference > docs/reference.md"
    )


def test_every_key_has_a_meaning_and_no_meaning_is_left_over() -> None:
    bare = [f"{model.__name__}.{key}" for tables in PARTS.values() for _, model in tables
            for key, field in keys_of(model).items() if not field.description]  # fmt: skip
    assert bare == []


def test_errors_travel_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text("bogus: 1\n")
    with pytest.raises(SpecError) as caught:
        load_component(path)
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (str(sent), sent.complaints, sent.exit_code) == (str(caught.value), caught.value.complaints, 2)


def test_import_is_light() -> None:
    code = "import sys, harness.spec; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "paramiko",
        "elftools",
        "debian",
        "rich",
        "click",
        "pytest",
        "pexpect",
        "tenacity",
        "asyncio",
        "email_validator",
    }
    assert "pydantic" in done.stdout.split()
    assert not heavy & set(done.stdout.split())
