"""What is refused of names, paths, command lines and memory; kinds mixed up; where a `source:` is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.arch import ARCHES
from harness.cli import app
from harness.errors import UserError
from harness.spec import load_image, load_machine, load_plan
from harness.spec.lint import lint
from harness.spec.profile import load_profile, load_waivers
from harness.system.cmdline import cmdline

KERNEL = "kernel: {image: kernel, cmdline: quiet}\ninit: [init]\n"
MACHINE = "arch: arm64\nconsole: ttyAMA0\nqemu: {machine: virt, cpu: max}\n"
PLAN = "images: [{path: os.yml}]\nmachines: [qemu-arm64]\n"
OS = "os: {name: mine, arch: x86_64}\nkernel: os.yml\nmilestones: [{name: ready, pattern: up}]\n"


def said(tmp_path: Path, text: str, name: str = "os.yml") -> list[str]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    (finding,) = lint([file])
    return [str(one).removeprefix(f"{tmp_path}/") for one in finding.complaints]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        # names
        (KERNEL + f"files: [{{path: a/{'b' * 256}, contents: x}}]\n", "files[0].path: a name in the path has 256"),
        (KERNEL + f"files: [{{path: a/{'é' * 128}, contents: x}}]\n", "files[0].path: a name in the path has 256"),
        (KERNEL + f"files: [{{path: a, symlink: {'b' * 256}}}]\n", "files[0].symlink: a name in the path has 256"),
        (KERNEL + f"files: [{{path: {'a/' * 2048}b, contents: x}}]\n", "files[0].path: the path has 4097 bytes"),
        (KERNEL + f"volumes: [{{name: {'v' * 256}}}]\n", "volumes[0].name: a name in the path has 256 bytes"),
        (
            KERNEL + f"services: [{{name: a, image: nginx, tmpfs: [/{'b' * 256}]}}]\n",
            "services[0].tmpfs[0]: a name in the path has 256 bytes",
        ),
        (
            KERNEL + f"services: [{{name: a, image: nginx, runtime: {{mkdir: [{'b' * 256}]}}}}]\n",
            "services[0].runtime.mkdir[0]: a name in the path has 256 bytes",
        ),
        (
            KERNEL + f"services: [{{name: a, image: nginx, hostname: {'b' * 65}}}]\n",
            "services[0].hostname: has 65 bytes, expected at most 64",
        ),
        # characters
        (KERNEL + 'files: [{path: "a\\u202eb", contents: x}]\n', "path: holds the direction character U+202E"),
        (KERNEL + 'files: [{path: "a\\ab", contents: x}]\n', "files[0].path: holds the control character U+0007"),
        (KERNEL + 'files: [{path: "a\\nb", contents: x}]\n', "files[0].path: the path 'a\\nb' holds a line end"),
        (KERNEL.replace("quiet", '"a\\e[2J"'), "kernel.cmdline: holds the control character U+001B"),
        (KERNEL.replace("quiet", '"a\u2066b"'), "kernel.cmdline: holds the direction character U+2066"),
        (KERNEL.replace("quiet", '"a\\nb"'), "kernel.cmdline: the kernel's command line holds a line end"),
        (
            KERNEL + 'services: [{name: a, image: nginx, annotations: {"x\\u200fy": z}}]\n',
            "the key holds the direction character U+200F",
        ),
        # command lines
        (KERNEL.replace("quiet", "x" * 2048), "kernel.cmdline: the kernel's command line has 2048 bytes, expected at "),
        (MACHINE + f"cmdline: {'x' * 2048}\n", "cmdline: the kernel's command line has 2048 bytes"),
        (MACHINE.replace("max", f"max, exact_cmdline: {'x' * 2048}"), "qemu.exact_cmdline: the kernel's command line"),
        (OS + f"cmdline: {'x' * 2048}\n", "cmdline: the kernel's command line has 2048 bytes, expected at most 2047"),
        # memory
        (MACHINE.replace("max", "max, memory: 99999999"), "qemu.memory: the number 99999999 is too large, expected at"),
        # mail
        (PLAN + "notify: {email: {to: [a@b.c], from: '', server: h}}\n", "notify.email.from: '' is not a mail address"),
        (PLAN + "notify: {email: {to: [a@b.c], from: 'a b', server: h}}\n", "notify.email.from: 'a b' is not a mail"),
        (PLAN + "notify: {email: {to: ['a@b.c, d@e.f'], from: a, server: h}}\n", "notify.email.to[0]: 'a@b.c, d@e."),
        (PLAN + "notify: {email: {to: [], from: a, server: h}}\n", "notify.email.to: is empty"),
        (PLAN + "notify: {email: {to: [a], from: a, server: 'h:99999'}}\n", "notify.email.server: 'h:99999' is not"),
    ],
)  # fmt: skip
def test_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "os.yml").write_text(KERNEL)
    found = said(tmp_path, text, "other.yml")
    assert any(complaint in line and line.startswith("other.yml:") for line in found), found


def test_what_fits_is_taken(tmp_path: Path) -> None:
    long = "b" * 255
    text = (
        KERNEL.replace("quiet", "x" * 2047)
        + f'files: [{{path: "{long}/{"é" * 127}", contents: "\\e[1m\\u202e"}}, {{path: c, contents: "a\\tb\\n"}}]\n'
        + 'services: [{name: a, image: nginx, command: [sh, -c, "printf \\"\\\\e[1m\\"\\n\\ttrue"]}]\n'
    )
    assert said(tmp_path, text) == []
    assert said(tmp_path, OS.replace("x86_64", "s390x") + f"cmdline: {'x' * 4095}\n", "o.yml") == []
    assert said(tmp_path, MACHINE.replace("max", "max, memory: 67108864"), "m.yml") == []
    address = "'A. Name <a.b+c@mail.example>'"
    assert (
        said(tmp_path, PLAN + f"notify: {{email: {{to: [{address}, root], from: {address}, server: h:25}}}}\n", "p.yml")
        == []
    )


def test_the_name_of_the_file_counts(tmp_path: Path) -> None:
    (found,) = said(tmp_path, KERNEL, "a\u202eb.yml")
    assert "the file's name holds the direction character U+202E" in found and found.isprintable()


def test_the_line_of_a_boot_is_measured_whole() -> None:
    machine = load_machine("qemu-x86_64")
    spare = 2047 - len(cmdline("", machine, (), mode="wall", probe=True)) - 1
    assert len(cmdline("x" * spare, machine, (), mode="wall", probe=True)) == 2047
    with pytest.raises(UserError, match="qemu-x86_64: the kernel's command line has "):
        cmdline("x" * spare, machine, ("y",), mode="exact", probe=True)
    with pytest.raises(UserError):
        cmdline("x" * (spare + 1), machine, (), mode="wall", probe=True)


def test_every_architecture_says_how_long_its_command_line_is() -> None:
    assert {row.name: row.cmdline_size for row in ARCHES.values()} == {"x86_64": 2048, "arm64": 2048, "s390x": 4096}


@pytest.mark.parametrize(
    ("load", "text", "expected"),
    [
        (lambda path: load_image([path]), MACHINE, "describes a machine, where an image is wanted"),
        (lambda path: load_image([path]), PLAN, "describes a plan, where an image is wanted"),
        (lambda path: load_image([path]), OS, "an OS that the harness has not built, where an image is wanted"),
        (load_machine, KERNEL, "describes an image, where a machine is wanted"),
        (load_machine, PLAN, "describes a plan, where a machine is wanted"),
        (load_plan, MACHINE, "describes a machine, where a plan is wanted"),
        (load_profile, KERNEL, "describes an image, where a profile is wanted"),
        (load_waivers, MACHINE, "describes a machine, where waivers is wanted"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_as_what_it_is(tmp_path: Path, load: object, text: str, expected: str) -> None:
    file = tmp_path / "given.yml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load(file)  # type: ignore[operator]
    assert expected.replace("waivers is", "waivers are") in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 2\n", "\ta: 1\n", "- a\n\t- b\n", "a: |\n\tx\n", "a:\n  b: 1\n \t c: 2\n"],
)
def test_a_tab_is_named(tmp_path: Path, text: str) -> None:
    (found,) = said(tmp_path, text)
    line = 1 + next(number for number, one in enumerate(text.splitlines()) if "\t" in one)
    column = 1 + text.splitlines()[line - 1].index("\t")
    assert found == (
        f"os.yml:{line}:{column}: not YAML: a tab indents this line, "
        "expected spaces: YAML allows no tabs for indentation"
    )


def notes(file: Path) -> tuple[str, ...]:
    (finding,) = lint([file])
    assert finding.complaints == ()
    return finding.notes


def test_a_source_is_found_beside_the_yaml_else_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yaml/sub").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    file = tmp_path / "yaml/os.yml"
    file.write_text(KERNEL + "files: [{path: a, source: one}, {path: b, source: sub/two}]\n")
    (tmp_path / "yaml/sub/two").write_text("beside")
    (tmp_path / "here/one").write_text("here")
    monkeypatch.chdir(tmp_path / "here")
    (note,) = notes(file)
    assert note == f"files[0].source: 'one' is not beside the YAML: the image gets {tmp_path}/here/one, " \
                   "found from the current folder"  # fmt: skip
    spec = load_image([file])
    monkeypatch.chdir(tmp_path)  # what was read stays what it is
    assert [(file.parent / one.source).read_text() for one in spec.files] == ["here", "beside"]
    (tmp_path / "yaml/one").write_text("beside")
    assert notes(file) == () and [one.source for one in load_image([file]).files] == ["one", "sub/two"]


def test_a_source_outside_of_the_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "yaml"
    folder.mkdir()
    (tmp_path / "vendor.key").write_text("secret")
    (folder / "link").symlink_to("../vendor.key")
    (folder / "own").write_text("mine")
    file = folder / "os.yml"
    key = os.path.realpath(tmp_path / "vendor.key")
    sources = ("../vendor.key", key, "link", "own")
    items = ", ".join(f"{{path: f{number}, source: {source}}}" for number, source in enumerate(sources))
    file.write_text(KERNEL + f"files: [{items}]\n")
    found = notes(file)
    assert found == tuple(
        f"files[{number}].source: {source!r} lies outside of the YAML's folder: the image gets a copy of {key}"
        for number, source in enumerate(sources[:3])
    )
    shown = CliRunner().invoke(app, ["lint", str(file)]).output
    assert all(f"{file}: note: {note}\n" in shown for note in found)


def test_a_build_names_a_source_outside_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.commands.specs import tell

    (tmp_path / "sub").mkdir()
    (tmp_path / "key").write_text("secret")
    file = tmp_path / "sub/os.yml"
    file.write_text(KERNEL + "files: [{path: etc/key, source: ../key}]\n")
    tell(load_image([file]))
    assert (
        "files: etc/key: '../key' lies outside of the YAML's folder: the image gets a copy of"
        in capsys.readouterr().err
    )
