"""What people type by mistake or by other tools' words: the message says what was meant, and what to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import arch, options, paths
from harness.cli import app, meant
from harness.spec.rules.references import machines, nearest_machine

BOOT = "boot my-os.yml -m"
# The line that is typed after `harness`, and what the answer has.
MISTAKES: tuple[tuple[str, str], ...] = (
    ("bulid my-os.yml", "did you mean 'build'?"),
    ("run my-os.yml", "did you mean `harness boot IMAGE -m MACHINE`?"),
    ("test", "did you mean `harness matrix`?"),
    ("ls", "harness machine list"),
    ("images", "did you mean `harness build IMAGE`?"),
    ("machines", "did you mean `harness machine list`?"),
    ("validate my-os.yml", "did you mean `harness lint FILE`?"),
    ("upgrade", "did you mean `harness outdated IMAGE`?"),
    ("certificate", "did you mean `harness certify IMAGE -m MACHINE`?"),
    ("xyzzy", "`harness help` lists the commands"),
    ("help bild", "did you mean 'build'?"),
    ("machine lst", "Did you mean 'list'?"),
    ("library serch dns", "Did you mean 'search'?"),
    ("profile base", "Did you mean `harness profile show base`?"),
    ("results one two -o x", "Did you mean `harness results merge one`?"),
    ("schema imge", "did you mean image?"),
    ("completion csh", "'csh' is not one of 'bash', 'zsh', 'fish'"),
    ("build", "Give one, such as default"),
    ("build my-os", "did you mean my-os.yml?"),
    ("build myos.yml", "did you mean my-os.yml?"),
    ("build my-os.yaml", "did you mean my-os.yml?"),
    ("build default.yml", "did you mean default?"),
    ("build defalt", "did you mean default?"),
    ("build board.yml", "describes a machine, where an image is wanted"),
    ("build qemu-arm64", "there is no image 'qemu-arm64': it is a machine"),
    ("build my-os.yml -o afile", "-o names a folder"),
    ("build my-os.yml --arch arm64,amd46", "did you mean x86_64?"),
    ("build my-os.yml --arch arm", "did you mean arm64?"),
    ("build my-os.yml --arch qemu-s390x", "did you mean s390x?"),
    ("build my-os.yml --arch i686", "what to do: one of: x86_64, arm64, s390x"),
    ("build my-os.yml --architecture arm64", "Did you mean --arch?"),
    ("build my-os.yml --platform linux/arm64", "Did you mean --arch?"),
    ("build my-os.yml -m qemu-arm64", "Did you mean --arch?"),
    ("build my-os.yml --format qcow", "did you mean qcow2?"),
    ("build my-os.yml --compresion xz", "Did you mean --compression?"),
    ("build my-os.yml --compression lz5", "Did you mean 'lz4'?"),
    ("calibrate my-os.yml", "such as qemu-arm64; `harness machine list` has all"),
    ("boot my-os.yml --arch arm64", "Did you mean --machine?"),
    (f"{BOOT} qemu-amd64", "did you mean qemu-x86_64?"),
    (f"{BOOT} amd64", "did you mean qemu-x86_64?"),
    (f"{BOOT} aarch64", "did you mean qemu-arm64?"),
    (f"{BOOT} qemu-x86-64", "did you mean qemu-x86_64?"),
    (f"{BOOT} qemu_arm64", "did you mean qemu-arm64?"),
    (f"{BOOT} s390", "did you mean qemu-s390x?"),
    (f"{BOOT} qemu-riscv64", "what to do: machines: "),
    (f"{BOOT} qemu-ppc64le", "what to do: machines: "),
    (f"{BOOT} board", "did you mean board.yml?"),
    (f"{BOOT} my-os.yml", "describes an image, where a machine is wanted"),
    (f"{BOOT} qemu-arm64 --forward 80:8080", "the port of the guest alone"),
    (f"{BOOT} qemu-arm64 --publish 80", "--forward takes the guest's alone"),
    (f"{BOOT} qemu-arm64 --exec ls", "Did you mean --run?"),
    (f"{BOOT} qemu-arm64 --memory lots", "MiB, or with a unit: 512, 512M, 2G"),
    (f"{BOOT} qemu-arm64 --timeout 5m", "from 0.1 to 86400 (SECONDS)"),
    ("matrix my-os.yml", "harness matrix --image my-os.yml"),
    ("matrix -m qemu-amd64", "did you mean qemu-x86_64?"),
    ("matrix --filter root", "Did you mean --keyword?"),
    ("lint my-os", "did you mean my-os.yml?"),
    ("lint tab.yml", "YAML allows no tabs for indentation"),
    ("new ngnix", "did you mean nginx?"),
    ("add my-os.yml nginx", "harness add nginx my-os.yml"),
    ("compare a b", "nothing called 'a' to compare"),
    ("compare my-os.yml my-os.yml", "-m MACHINE once for both"),
    ("certify my-os.yml", "harness certify my-os.yml -m qemu-arm64"),
    ("certify my-os.yml -m qemu-arm64 -p bas", "did you mean base?"),
    ("certify my-os.yml -m qemu-arm64 --key key.pub", "the private one signs: --key key"),
    ("verify my-os.yml", "harness verify takes what harness certify wrote"),
    ("sbom dif my-os.yml my-os.yml", "did you mean harness sbom diff?"),
    ("baseline accept", "harness baseline accept RUN --reason TEXT"),
    ("clean --to 5G", "(MB)"),
    ("--verbose boot", "Did you mean --debug?"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("project")
    (made / "my-os.yml").write_bytes((paths.CASES / "images/minimal.yml").read_bytes())
    (made / "board.yml").write_bytes((paths.MACHINES / "qemu-arm64.yml").read_bytes())
    (made / "tab.yml").write_text("kernel:\n\timage: kernel\n")
    (made / "key.pub").write_text("ssh-ed25519 AAAA me\n")
    (made / "afile").touch()
    return made


def test_there_are_sixty() -> None:
    assert len({line for line, _ in MISTAKES}) >= 60


@pytest.mark.parametrize(("line", "said"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_answered_with_what_was_meant(
    line: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, shlex.split(line))
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split()), done.output


def test_what_is_said_to_type_is_a_command_with_its_options() -> None:
    for typed in meant.COMMANDS.values():
        for words in re.findall(r"harness (\w+)([^()]*)", typed):
            command = app.commands[words[0]]
            known = {name for row in command.params for name in row.opts}
            assert set(re.findall(r"(?<!\S)--?\w[\w-]*", words[1])) <= known, typed
    names = {f"--{row.name}" for row in options.OPTIONS} | {"--debug"}
    assert {name for row in meant.OPTIONS.values() for name in row} <= names
    assert not set(meant.COMMANDS) & set(app.commands)


def test_no_other_architecture_is_taken_for_one_of_ours() -> None:
    known = machines()
    for word in (one for name in arch.OTHERS for one in (name, f"qemu-{name}", f"linux/{name}")):
        assert arch.nearest(word) == nearest_machine(word, known) == "", word


def test_every_name_of_an_architecture_means_it() -> None:
    known = machines()
    for row in arch.ARCHES:
        for name in (one for called in arch.names_of(row) for one in (called, f"qemu-{called}", called.upper())):
            assert (arch.nearest(name), nearest_machine(name, known)) == (row, f"qemu-{row}"), name


def test_words_that_can_only_mean_one_thing_are_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["lint", "minimal", "qemu-arm64"])
    assert (done.exit_code, done.output.count(", fine")) == (0, 2)
    found = CliRunner().invoke(app, ["library", "search", "http", "server"])
    assert found.output.startswith("nginx ")
    assert [row.name for row in arch.parse_list("AMD64,aarch64")] == ["x86_64", "arm64"]
