"""A shell over SSH where the login stands in the way: what it runs is right, or it says what is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiers import needs

from harness import tools
from harness.board.connection import Connection
from harness.board.ssh import TO_RUN, SshShell, encoded
from harness.errors import ImageError, MachineError
from harness.system.shell import IncapableShellError

from .lab_servers import Sshd, sshd

pytestmark = pytest.mark.skipif(not tools.find("sshd"), reason="no sshd")
NASTY = "printf 'a\\0b\\377\\r\\n%s' \"it's \\\\ %d é\n\"; printf e >&2; exit 3"


@pytest.fixture(scope="module")
@needs("servers")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("sshd")
    more = f"ForceCommand /bin/sh {folder}/login\nMaxSessions 1\n"
    with sshd(folder, more) as running:
        yield running


@pytest.fixture
def on(server: Sshd) -> Iterator[SshShell]:
    made = SshShell(Connection(server.target(), server.folder))
    yield made
    made.close()


def login(server: Sshd, script: str) -> None:
    (server.folder / "login").write_text(script)


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("sh", 'sh -c "$SSH_ORIGINAL_COMMAND"'),
        ("sh", 'echo Welcome; echo loud >&2; sh -c "$SSH_ORIGINAL_COMMAND"; c=$?; echo Goodbye; exit $c'),
        ("sh", 'printf "no end of line"; sh -c "$SSH_ORIGINAL_COMMAND"; exit 9'),
        ("sh", 'head -c 3000000 /dev/zero >&2; sh -c "$SSH_ORIGINAL_COMMAND"'),
        ("rbash", 'rbash -c "$SSH_ORIGINAL_COMMAND"'),
        ("tcsh", 'tcsh -c "$SSH_ORIGINAL_COMMAND"'),
        ("fish", 'fish -c "$SSH_ORIGINAL_COMMAND"'),
        ("tcsh", "exec tcsh"),
        ("sh", "exec sh"),
        ("sh", "exec sh -i"),
    ],
)  # fmt: skip
def test_any_login_shell_gives_exact_answers(
    server: Sshd, on: SshShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, script: str
) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program}")
    monkeypatch.setattr("harness.board.ssh.TYPE_S", 1.0)
    login(server, script)
    for _ in range(2):
        done = on.run(NASTY)
        assert (done.stdout, done.code) == (b"a\0b\xff\r\nit's \\ %d \xc3\xa9\ne", 3)
    (tmp_path / "here").write_bytes(os.urandom(300_000))
    on.put(tmp_path / "here", str(tmp_path / "it's there"))
    assert on.run("true").code == 0
    on.get(str(tmp_path / "it's there"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()


RUN = 'sh -c "$SSH_ORIGINAL_COMMAND"'


@pytest.mark.parametrize(
    "script",
    [
        f"{RUN}; exit 0",  # its exit codes are its own
        f"{RUN}; kill -9 $$",
        f"tee /dev/stderr | {RUN}",  # it shows what it is sent
        f"sed -u 'p;w /dev/stderr' | {RUN} 2>&1",
        f'echo; echo "hello $$"; echo "done 0 0 -"; {RUN}; echo "done 1 0 -"',
        f"{RUN}; yes",  # it never ends
    ],
)
def test_a_login_that_lies_about_all_but_the_answer_changes_none(server: Sshd, on: SshShell, script: str) -> None:
    login(server, script)
    for code in (0, 3, 137):
        done = on.run(f"{NASTY[:-1]}{code}")
        assert (done.stdout, done.code) == (b"a\0b\xff\r\nit's \\ %d \xc3\xa9\ne", code)


@pytest.mark.parametrize(
    "script",
    [
        "exec yes",  # it floods
        "exec yes >&2",
        f"({RUN} | head -c 120; exec yes) 2>&1",
        f"{RUN} | head -c 90",  # it cuts
        f"{RUN} | tr 0-9 1-9",
        f"{RUN} | sed s/e/E/g",
        f"sed -u s/one/two/ | {RUN}",
        "exec sleep 60",  # it says nothing
        "exec cat",
    ],
)
def test_a_login_that_spoils_an_answer_gives_none(
    server: Sshd, on: SshShell, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    for name in ("GRACE_S", "TYPE_S", "CLOSED_S"):
        monkeypatch.setattr(f"harness.board.ssh.{name}", 0.5)
    login(server, script)
    with pytest.raises((MachineError, IncapableShellError)):
        on.run("echo one; exit 3", timeout=1)


def programs(folder: Path, *missing: str) -> str:
    """Return a login whose PATH has what a shell needs but those that are `missing`."""
    folder.mkdir()
    for name in ("sh", "cat", *TO_RUN):
        if name not in missing:
            (folder / name).symlink_to(shutil.which(name) or "")
    return f'PATH={folder} exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'


@pytest.mark.parametrize("missing", TO_RUN)
def test_a_missing_program_is_named(server: Sshd, on: SshShell, tmp_path: Path, missing: str) -> None:
    login(server, programs(tmp_path / "bin", missing))
    with pytest.raises(IncapableShellError, match=f"lacks programs .*: {missing}\n"):
        on.run("false")


def test_no_more_is_needed(server: Sshd, on: SshShell, tmp_path: Path) -> None:
    login(server, programs(tmp_path / "bin"))  # no base64, mktemp, dd or cut
    assert on.run("echo hi; exit 3").stdout == b"hi\n"
    assert on.run("false").code == 1


def test_a_login_without_a_shell_is_told_in_its_words(server: Sshd, on: SshShell) -> None:
    login(server, "echo This account is not available; exit 1")
    with pytest.raises(ImageError, match="runs no command: it ended with exit code 1") as caught:
        on.run("true")
    assert "This account is not available" in caught.value.details


def test_no_folder_for_the_output(server: Sshd, on: SshShell, tmp_path: Path) -> None:
    """A mkdir that refuses is what a read-only system looks like to a shell."""
    script = programs(tmp_path / "bin", "mkdir")
    (tmp_path / "bin/mkdir").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/mkdir").chmod(0o755)
    login(server, script)
    with pytest.raises(IncapableShellError, match=r"no folder .* can be written: /tmp"):
        on.run("true")


def test_output_that_had_no_room_is_no_output(server: Sshd, on: SshShell, tmp_path: Path) -> None:
    script = programs(tmp_path / "bin", "mkdir")
    # a folder whose files take nothing, as those of a full one
    (tmp_path / "bin/mkdir").write_text(
        '#!/bin/sh\nfor d; do :; done; /bin/mkdir "$d"; /bin/ln -s /dev/full "$d/out"; /bin/ln -s /dev/full "$d/room"\n'
    )
    (tmp_path / "bin/mkdir").chmod(0o755)
    login(server, script)
    with pytest.raises(IncapableShellError, match="is full"):
        on.run("echo lost")


def test_a_command_that_came_altered_is_not_run(
    server: Sshd, on: SshShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(server, 'sh -c "$SSH_ORIGINAL_COMMAND"')
    monkeypatch.setattr("harness.board.ssh.encoded", lambda data: encoded(data.replace(b"one", b"two")))
    with pytest.raises(MachineError, match="did not arrive"):
        on.run(f"touch {tmp_path}/one")
    assert not list(tmp_path.iterdir())
