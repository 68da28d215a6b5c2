"""A shell over the serial console, for machines without a second channel.

The kernel prints in between and serial lines lose characters, so nothing is believed that does not carry its checksum:
a small server in the guest's shell takes numbered requests, and both sides ask again until the sums agree.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pexpect

from harness.boot.console import Console
from harness.boot.shell import MOST_COMMAND, Result, ShellDeadError, judge, seconds
from harness.errors import MachineError, UserError

# Requests `~Q NUMBER SUM VERB WORDS`, answers `~R NUMBER WORDS SUM`, a sum being the MD5 of number and words.
# `put` and `get` may be repeated at will; `run` with the number of the last one only answers again.
SERVER = r"""
h() { printf %s "$1" | md5sum | cut -c1-32; }
r() { printf '\n~R %s %s\n' "$1" "$(h "$1")"; }
stty -echo 2>/dev/null
D=$(mktemp -d /tmp/.console.XXXXXX) || D=$(mktemp -d /run/.console.XXXXXX)
last= code=
r "0 ready"
while read -r q n s rest; do
  [ "$q" = "~Q" ] && [ "$(h "$n $rest")" = "$s" ] || continue
  set -- $rest
  case $1 in
    put) printf %s "$3" >"$D/$2"; r "$n ok" ;;
    run)
      if [ "$last" != "$n" ]; then
        last=$n i=0
        while [ $i -lt $2 ]; do cat "$D/$i"; i=$((i+1)); done | base64 -d >"$D/cmd"
        timeout -s KILL "$3" sh "$D/cmd" </dev/null >"$D/out" 2>&1
        code=$?
      fi
      r "$n $code $(wc -c <"$D/out" | tr -d ' ') $(md5sum <"$D/out" | cut -c1-32)" ;;
    get) r "$n =$(dd if="$D/out" bs=BLOCK skip="$2" count=1 2>/dev/null | base64 | tr -d '\n')" ;;
    bye) r "$n ok"; break ;;
  esac
done
rm -rf "$D"
stty echo 2>/dev/null
"""
BLOCK = 2700  # bytes of output an answer carries
CHUNK = 600  # characters of a command a request carries: a terminal's line is short
BOOT_CHUNK = 120  # the guest's line editing may allow less still
MOST_OUTPUT = 4 << 20  # bytes: a serial line is slow
PATIENCE_S = (2.0, 15.0)  # before asking again: at first, at last
GRACE_S = 30.0
ANSWER = re.compile(rb"~R (\d{1,9}) ([^\r\n~]{1,4096}) ([0-9a-f]{32})\r*\n")


def md5(data: bytes) -> str:
    """Return the MD5 (hex): against a bad line, not against a bad person."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def bootstrap() -> list[str]:
    """Return the lines that start the server from a shell's prompt; a spoilt one leaves it unstarted."""
    text = base64.b64encode(SERVER.replace("BLOCK", str(BLOCK)).encode()).decode()
    pieces = [text[at : at + BOOT_CHUNK] for at in range(0, len(text), BOOT_CHUNK)]
    return [
        "export TERM=dumb; x=",
        *(f"x=${{x}}{piece}" for piece in pieces),
        f'case $(printf %s $x|md5sum|cut -c1-32) in {md5(text.encode())}) eval "$(printf %s $x|base64 -d)";; esac',
    ]


@dataclass
class ConsoleShell:
    """`run` over a console at whose other end a root shell waits: exact bytes or an error, never wrong ones.

    ``check_machine`` is called while waiting and raises when waiting is vain.
    """

    console: Console
    check_machine: Callable[[], None]
    multiplier: float = 1.0
    _number: int = 0
    _started: bool = False
    _dead: str = ""

    def start(self, timeout: float = 60) -> None:
        """Start the server in the guest's shell; ShellDeadError when none answers within `timeout` seconds."""
        if self._started:
            return
        deadline = time.monotonic() + timeout * self.multiplier
        lines = bootstrap()
        patience = PATIENCE_S[0]
        while time.monotonic() < deadline:
            self.console.drain()
            self.console.send(b"\x03\n")
            for line in lines:
                self.console.sendline(line)
            if self._answer(0, min(deadline, time.monotonic() + 2 * patience * self.multiplier)) == ["ready"]:
                self._started = True
                return
            patience = min(2 * patience, PATIENCE_S[1])
        raise self._broken("no shell answers on the console")

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> Result:
        """Run `cmd` (see `Shell.run`)."""
        if self._dead:
            raise ShellDeadError(f"the console's shell is dead: {self._dead}")
        if not cmd.strip() or len(cmd.encode()) > MOST_COMMAND or "\0" in cmd:
            raise UserError(f"not a command: empty, over {MOST_COMMAND >> 10} KiB, or with a NUL")
        self.start()
        limit = timeout * self.multiplier
        text = base64.b64encode(cmd.encode()).decode()
        pieces = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
        for number, piece in enumerate(pieces):
            self._ask(f"put {number} {piece}", 1)
        began = time.monotonic()
        code, size, digest = self._ask(f"run {len(pieces)} {seconds(limit)}", 3, limit)
        late = time.monotonic() - began >= limit
        if int(size) > MOST_OUTPUT:
            raise MachineError(f"{cmd!r} said {size} bytes: too much for a console", hint="write less, or to a file")
        output = b"".join(self._block(number) for number in range(-(-int(size) // BLOCK)))
        if len(output) != int(size) or md5(output) != digest:
            raise self._broken("its output did not arrive as it was")
        return judge(Result(cmd, output, int(code)), late=late, timeout=limit, check=check)

    def close(self) -> None:
        """Give the console back to the guest's own shell."""
        if self._started and not self._dead:
            self._ask("bye", 1)
        self._started = False

    def _block(self, number: int) -> bytes:
        (word,) = self._ask(f"get {number}", 1)
        try:
            return base64.b64decode(word.removeprefix("="), validate=True)
        except ValueError as error:
            raise self._broken("an answer that is no base64") from error

    def _ask(self, request: str, words: int, limit: float = 0.0) -> list[str]:
        self._number += 1
        body = f"{self._number} {request}"
        line = f"~Q {self._number} {md5(body.encode())} {request}"
        deadline = time.monotonic() + limit + GRACE_S * self.multiplier
        patience = PATIENCE_S[0]
        while time.monotonic() < deadline:
            # the newline before ends whatever a spoilt request left unfinished
            self.console.send(f"\n{line}\n")
            answer = self._answer(self._number, min(deadline, time.monotonic() + patience * self.multiplier))
            if answer is not None and len(answer) == words:
                return answer
            patience = min(2 * patience, PATIENCE_S[1])
        raise self._broken(f"no whole answer to {request.partition(' ')[0]!r} within its time")

    def _answer(self, number: int, deadline: float) -> list[str] | None:
        """Return the words of the answer to request `number`, None when none came whole by `deadline`."""
        while (left := deadline - time.monotonic()) > 0:
            self.check_machine()
            try:
                self.console.expect_list([ANSWER], timeout=min(left, 0.5))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                self.check_machine()
                raise self._broken("the console has ended") from None
            match = self.console.match
            assert isinstance(match, re.Match)
            identity, body, digest = match.groups()
            if int(identity) == number and md5(identity + b" " + body).encode() == digest:
                return list(body.decode(errors="replace").split())
        return None

    def _broken(self, why: str) -> ShellDeadError:
        self._dead = why
        return ShellDeadError(f"the console's shell failed: {why}", details=self.console.last_lines())
