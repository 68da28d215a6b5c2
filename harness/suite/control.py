"""Proof that a case could have failed: an attack is preceded by a control that succeeds, a search by a planted find.

What a control shows to be impossible here was not tried: the case is skipped, and a certificate calls that "not run".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import pytest

from harness.suite import judge

if TYPE_CHECKING:
    from harness.system.shell import Shell

PLACE = "/run/.control"  # on a tmpfs, where all of this can be done
READ_ONLY = "Read-only file system"
_MARK = "@@control"
_SETUP = f"""
[ "$(id -u)" = 0 ] || {{ echo "the shell is not root's"; exit 9; }}
rm -rf {PLACE} && mkdir -p {PLACE}/folder && cd {PLACE} &&
echo x >passwd && echo x >inittab && echo x >program && chmod 755 program ||
  {{ echo "{PLACE} cannot be written"; exit 9; }}
"""

_FILE = "@@file"
_SOCKETS = f"""
for file in /proc/net/{{kind}} /proc/net/{{kind}}6; do [ ! -e $file ] || {{{{ echo {_FILE}; cat $file; }}}}; done
"""


@dataclass(frozen=True)
class Attempt:
    """What is tried, and must fail; ``control`` is the same where it must succeed.

    ``why`` must be in what the attempt says, if anything is given: a failure for another reason shows nothing.
    """

    command: str
    control: str
    why: str = READ_ONLY


def not_run(why: str) -> NoReturn:
    """End the case as one that was not run."""
    pytest.skip(f"nothing was shown: {why}")


def ready(shell: Shell) -> None:
    """Make the place for controls; the case is not run where the shell is not root's, or nothing can be written."""
    made = shell.run(_SETUP, timeout=60)
    if made.code != 0:
        not_run(made.text.strip()[-200:] or f"exit code {made.code}")


def succeeded(shell: Shell, attempts: Sequence[Attempt], timeout: float = 120) -> list[str]:
    """Return the attempts that succeeded; the case is not run where a control fails, or a failure is another."""
    ready(shell)
    for attempt, (code, said) in zip(attempts, _run(shell, [one.control for one in attempts], timeout), strict=True):
        if code != 0:
            not_run(f"{attempt.control!r} fails as well: {said[-200:]}")
    found = []
    for attempt, (code, said) in zip(attempts, _run(shell, [one.command for one in attempts], timeout), strict=True):
        if code == 0:
            found.append(attempt.command)
        elif attempt.why and attempt.why not in said:
            not_run(f"{attempt.command!r} failed, and not because of {attempt.why!r}: {said[-200:]}")
    return found


def of_process(shell: Shell, pid: str, file: str) -> str:
    """Return a file of /proc/`pid`; empty once that has ended, and not run where it is there and says nothing."""
    said = shell.run(f"cat /proc/{pid}/{file} 2>/dev/null").text
    if not said.strip() and shell.run(f"[ -d /proc/{pid} ]").code == 0:
        not_run(f"/proc/{pid}/{file} cannot be read")
    return said


def mounts(shell: Shell, pid: str = "1") -> list[judge.MountLine]:
    """Return what is mounted where that process is; nothing once it has ended. Not run where a root is not among it."""
    found = judge.mounts(of_process(shell, pid, "mountinfo"))
    if found and not any(one.place == "/" for one in found):
        not_run(f"of the mounts of process {pid} the root is not among those that are told")
    return found


def sockets(shell: Shell, kind: str) -> str:
    """Return the kernel's table of sockets of a kind: tcp, udp or raw. Not run where it cannot be read.

    A kernel may be without IPv6, or without a kind; what it has must be read.
    """
    said = shell.run(_SOCKETS.format(kind=kind)).text
    files, heads = said.count(_FILE), said.count("local_address")
    if heads < files or (kind == "tcp" and not files):
        not_run(f"the kernel's table of {kind} sockets cannot be read: {said.strip()[-200:]}")
    return said


def _run(shell: Shell, commands: Sequence[str], timeout: float) -> list[tuple[int, str]]:
    """Run commands one after another, each in a shell of its own; return exit codes and words."""
    lines = [f'(cd /; {one}\n) 2>&1\necho "{_MARK} $?"' for one in commands]
    said = shell.run("\n".join(lines), timeout=timeout).text
    parts = re.split(rf"^{_MARK} (\d+)$", said, flags=re.MULTILINE)
    found = [(int(code), words.strip()) for words, code in zip(parts[::2], parts[1::2], strict=False)]
    if len(found) != len(commands):
        not_run(f"the shell ran {len(found)} of {len(commands)} commands: {said[-200:]}")
    return found


def search(shell: Shell, script: str, places: Sequence[str], planted: str, timeout: float = 300) -> list[str]:
    """Return what a search finds: `script` looks below each of its arguments, and says a path a line.

    It must first find what the command `planted` puts into the current folder; else the case is not run.
    """
    ready(shell)
    whole = f"cat >{PLACE}/search <<'EOF_OF_SEARCH'\n{script}\nEOF_OF_SEARCH\n"
    plant = f"mkdir -p {PLACE}/planted && cd {PLACE}/planted && {{ {planted}; }} && sh {PLACE}/search {PLACE}/planted"
    seen = shell.run(whole + plant, timeout=timeout)
    if f"{PLACE}/planted" not in seen.text:
        not_run(f"the search does not find what lies there: {seen.text.strip()[-200:]}")
    shell.run(f"rm -rf {PLACE}/planted", check=True)
    words = " ".join(map(shlex.quote, places))
    return [line for line in shell.run(f"sh {PLACE}/search {words}", timeout=timeout).text.splitlines() if line.strip()]
