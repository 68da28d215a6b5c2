"""`./run`: what it installs, what it says where it cannot, and that a second run costs nothing."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TOP = Path(__file__).resolve().parent.parent
QEMUS = ("qemu-system-x86_64", "qemu-system-aarch64", "qemu-system-s390x")
HOST = "/usr/local/bin:/usr/bin:/bin"  # without a virtual environment that may be active
ORDINARY = ("bash", "cat", "cmp", "dirname", "env", "flock", "head", "id", "mkdir", "mktemp", "python3", "readlink",
            "rm", "sleep", "tail", "touch")  # fmt: skip

# a build backend that needs nothing from an index: its project is one command named harness
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("toy.py", "import sys\\ndef main(): print('toy says', *sys.argv[1:])\\n")
        wheel.writestr("toy-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1\\n")
        wheel.writestr("toy-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("toy-1.dist-info/entry_points.txt", "[console_scripts]\\nharness = toy:main\\n")
        wheel.writestr("toy-1.dist-info/RECORD", "")
    return name

build_wheel = build_editable
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


class Checkout:
    """A checkout of a toy project with the real `run`, on a host that has just the programs it is given."""

    def __init__(self, folder: Path) -> None:
        self.top, self.bin = folder / "checkout", folder / "bin"
        self.top.mkdir()
        self.bin.mkdir()
        shutil.copy(TOP / "run", self.top / "run")
        # run looks into the host's sbin folders too; here they are none of its business
        text = (self.top / "run").read_text()
        (self.top / "run").write_text(text.replace(":/usr/sbin:/sbin", ""))
        (self.top / "pyproject.toml").write_text(PYPROJECT)
        (self.top / "backend.py").write_text(BACKEND)
        self.give(ORDINARY)

    def give(self, programs: Iterable[str]) -> None:
        """Let the host have programs: the real ones, or stand-ins where only their being there counts."""
        for name in programs:
            real = shutil.which(name, path=HOST) if name in ORDINARY else None
            self.fake(name, f'exec {real} "$@"' if real else "exit 0")

    def fake(self, name: str, text: str) -> None:
        """Let the host have a program that is a shell script.

        Never a link to the host's own program: a test that then replaced it would write through the link.
        """
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def set_up(self) -> None:
        """Let the checkout have the environment that an earlier run made: where making it is not the point."""
        folder = self.top / ".venv" / "bin"
        folder.mkdir(parents=True)
        shutil.copy(self.bin / "python3", folder / "python")
        (folder / "harness").write_text('#!/bin/bash\necho toy says "$@"\n')
        (folder / "harness").chmod(0o755)
        (self.top / ".venv" / ".ready-run").write_text(f"{self.top} {folder / 'python'}\n{PYPROJECT}")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start ./run from another folder than its own."""
        env = {"PATH": str(self.bin), "HOME": str(self.top), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        return subprocess.Popen([str(self.top / "run"), *words], env=env, cwd=self.bin, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ./run to its end."""
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout on a host without any of the packages."""
    return Checkout(tmp_path)


@pytest.fixture
def whole(checkout: Checkout) -> Checkout:
    """A checkout on a host that has all it needs to build and boot."""
    checkout.give(("tar2sqfs", "depmod", *QEMUS))
    return checkout


def test_help_needs_nothing(checkout: Checkout) -> None:
    done = checkout.run("help")
    assert done.returncode == 0
    assert "matrix" in done.stdout
    assert not (checkout.top / ".venv").exists()


def test_the_fixture_leaves_the_hosts_own_programs_alone(checkout: Checkout) -> None:
    assert not [path for path in checkout.bin.iterdir() if path.is_symlink()]


def test_unknown_command_is_the_users_mistake(checkout: Checkout) -> None:
    done = checkout.run("matrics")
    assert done.returncode == 2
    assert "unknown command: matrics" in done.stderr


def test_sets_up_once_and_passes_everything_on(whole: Checkout) -> None:
    first = whole.run("matrix", "a b", "--results", "x")
    assert (first.returncode, first.stdout) == (0, "toy says matrix a b --results x\n"), first.stderr
    assert "making the virtual environment" in first.stderr
    second = whole.run("harness", "doctor")
    assert (second.stdout, second.stderr) == ("toy says doctor\n", "")


def test_another_python_on_the_path_makes_nothing_anew(whole: Checkout) -> None:
    whole.run("matrix")
    whole.fake("python3", "exit 1")
    again = whole.run("matrix")
    assert (again.stdout, again.stderr) == ("toy says matrix\n", "")


def test_apt_is_left_alone_when_nothing_is_missing(whole: Checkout) -> None:
    whole.set_up()
    whole.fake("apt-get", "echo called >&2; exit 1")
    assert "apt" not in whole.run("matrix").stderr


def test_two_at_once_set_up_once(whole: Checkout) -> None:
    both = [whole.start("matrix", name) for name in ("one", "two")]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [out for out, _ in outputs] == ["toy says matrix one\n", "toy says matrix two\n"]
    assert "".join(err for _, err in outputs).count("making the virtual environment .venv\n") == 1


def test_changed_requirements_are_installed(whole: Checkout) -> None:
    whole.run("matrix")
    (whole.top / "pyproject.toml").write_text(PYPROJECT + "# another line\n")
    again = whole.run("matrix")
    assert again.returncode == 0
    assert "installing Python packages" in again.stderr
    assert "making" not in again.stderr


def test_what_a_url_or_a_cluster_asks_for_is_installed_once(whole: Checkout) -> None:
    whole.run("matrix")
    asking = {
        "postgresql": [("matrix", "--history", "postgresql://me@there/db"), ("harness", "history", "--history=postgres://a/b")],
        "cluster": [("matrix", "--cluster", "lab.yml"), ("harness", "cluster", "worker", "tls://a:1")],
    }  # fmt: skip
    for extra, (first, second) in asking.items():
        assert not (whole.top / f".venv/.ready-{extra}").exists()
        done = whole.run(*first)
        assert done.returncode == 0 and "installing Python packages" in done.stderr, done.stderr
        assert (whole.top / f".venv/.ready-{extra}").exists()
        assert whole.run(*second).stderr == ""
    assert whole.run("matrix", "--history", "history.db").stderr == ""


def test_failed_installation_says_why_and_starts_over(whole: Checkout) -> None:
    (whole.top / "backend.py").write_text("raise SystemExit('the backend is broken')")
    failed = whole.run("matrix")
    assert failed.returncode == 3
    assert "the backend is broken" in failed.stderr
    (whole.top / "backend.py").write_text(BACKEND)
    again = whole.run("matrix")
    assert again.returncode == 0
    assert "making the virtual environment" in again.stderr


def test_moved_checkout_gets_an_environment_of_its_own(whole: Checkout) -> None:
    whole.run("matrix")
    moved = whole.top.with_name("elsewhere")
    whole.top.rename(moved)
    whole.top = moved
    again = whole.run("matrix")
    assert again.stdout == "toy says matrix\n", again.stderr
    assert "making the virtual environment" in again.stderr


def test_installs_all_that_is_missing_by_apt(checkout: Checkout) -> None:
    if os.geteuid() != 0:
        checkout.fake("sudo", 'shift; exec "$@"')
    programs = " ".join(("tar2sqfs", "depmod", *QEMUS))
    install = (
        f"for program in {programs}; do echo >{checkout.bin}/$program; /bin/chmod +x {checkout.bin}/$program; done"
    )
    checkout.fake("apt-get", f'echo "$*" >>{checkout.top}/apt.log\n[[ " $* " != *" install "* ]] || {install}')
    checkout.set_up()
    done = checkout.run("matrix")
    assert (done.returncode, done.stdout) == (0, "toy says matrix\n"), done.stderr
    update, install = (checkout.top / "apt.log").read_text().splitlines()
    assert update.endswith(" update")
    assert "install -y --no-install-recommends squashfs-tools-ng kmod qemu-system-x86" in install


def test_apt_that_fails_is_quoted_and_stops(checkout: Checkout) -> None:
    if os.geteuid() != 0:
        checkout.fake("sudo", 'shift; exec "$@"')
    checkout.fake("apt-get", "echo no route to the mirror; exit 100")
    done = checkout.run("matrix")
    assert done.returncode == 3
    assert "no route to the mirror" in done.stderr
    assert "apt-get install -y --no-install-recommends squashfs-tools-ng kmod qemu-system-x86" in done.stderr


def test_ordinary_user_is_told_the_line_to_type(checkout: Checkout) -> None:
    checkout.fake("id", "echo 1000")
    checkout.fake("apt-get", "echo apt must not be called >&2; exit 100")
    done = checkout.run("matrix")
    assert done.returncode == 3
    assert "apt must not be called" not in done.stderr
    assert "type as root: apt-get update && apt-get install -y --no-install-recommends squashfs-tools-ng" in done.stderr


def test_one_missing_emulator_stops_nothing(whole: Checkout) -> None:
    whole.set_up()
    whole.fake("id", "echo 1000")
    (whole.bin / "qemu-system-s390x").unlink()
    done = whole.run("matrix")
    assert (done.returncode, done.stdout) == (0, "toy says matrix\n")
    assert "not installed: qemu-system-misc" in done.stderr


def test_what_cannot_be_installed_is_not_asked_for_at_every_start(whole: Checkout) -> None:
    if os.geteuid() != 0:
        whole.fake("sudo", 'shift; exec "$@"')
    whole.set_up()
    (whole.bin / "qemu-system-s390x").unlink()
    whole.fake("apt-get", f'echo "$*" >>{whole.top}/apt.log; [[ " $* " != *" install "* ]]')
    assert whole.run("matrix").returncode == 0
    asked = (whole.top / "apt.log").read_text()
    assert "install" in asked
    again = whole.run("matrix")
    assert again.returncode == 0
    assert "within the last day: qemu-system-misc" in again.stderr
    assert (whole.top / "apt.log").read_text() == asked
    (whole.top / ".cache/apt-tried").unlink()
    whole.run("matrix")
    assert (whole.top / "apt.log").read_text() != asked


def test_no_emulator_at_all_stops_the_matrix_but_not_the_command(whole: Checkout) -> None:
    whole.set_up()
    whole.fake("id", "echo 1000")
    for name in QEMUS:
        (whole.bin / name).unlink()
    assert whole.run("matrix").returncode == 3
    assert whole.run("harness", "doctor").stdout == "toy says doctor\n"


def test_a_host_of_another_kind_is_told_its_own_names(checkout: Checkout) -> None:
    checkout.fake("dnf", "echo dnf must not be called >&2; exit 1")
    done = checkout.run("matrix")
    assert done.returncode == 3
    assert "type as root: dnf install apt debian-keyring" in done.stderr
    assert "qemu-system-x86 qemu-system-aarch64 qemu-system-s390x" in done.stderr
    (checkout.bin / "dnf").unlink()
    (checkout.top / ".cache/apt-tried").unlink()
    checkout.give(["pacman"])
    done = checkout.run("matrix")
    assert "type as root: pacman -S --needed apt debian-archive-keyring" in done.stderr


@pytest.mark.timeout(60)
def test_a_long_installation_says_what_it_is_doing(checkout: Checkout) -> None:
    """apt ends only once the word has come."""
    if os.geteuid() != 0:
        checkout.fake("sudo", 'shift; exec "$@"')
    checkout.set_up()
    checkout.fake("apt-get", f"until [ -e {checkout.top}/heard ]; do sleep 0.1; done; exit 1")
    process = checkout.start("matrix")
    assert process.stderr
    for line in process.stderr:
        if line.startswith("run: installing system packages with apt: ") and line.endswith(" s so far\n"):
            break
    (checkout.top / "heard").touch()
    assert "qemu" in process.communicate(timeout=50)[1]
    assert process.returncode == 3


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("answer", "installed"), [("n\n", False), ("y\n", True)])
def test_servers_are_installed_at_a_terminal_only_after_a_question(
    whole: Checkout, answer: str, installed: bool
) -> None:
    if os.geteuid() != 0:
        whole.fake("sudo", 'shift; exec "$@"')
    whole.fake("apt-get", f'echo "$*" >>{whole.top}/apt.log; exit 0')
    whole.set_up()
    shutil.copy(whole.top / ".venv/.ready-run", whole.top / ".venv/.ready-dev")
    whole.fake("tox", "exit 0")
    (whole.top / ".venv/bin/tox").write_text("#!/bin/bash\nexit 0\n")
    (whole.top / ".venv/bin/tox").chmod(0o755)
    person, terminal = pty.openpty()
    env = {"PATH": str(whole.bin), "HOME": str(whole.top)}
    argv = [str(whole.top / "run"), "test", "--quick"]
    with subprocess.Popen(argv, env=env, cwd=whole.bin, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(person, 4096)
        os.write(person, answer.encode())
        try:
            while os.read(person, 4096):
                pass
        except OSError:  # the last one has left the terminal
            pass
    os.close(person)
    assert process.returncode == 0
    asked = (whole.top / "apt.log").read_text()
    assert ("postgresql" in asked, "gnupg" in asked) == (installed, True)
