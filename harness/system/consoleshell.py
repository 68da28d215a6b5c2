"""A shell over the serial console, for machines without a second channel.

The kernel prints in between and serial lines lose characters, so nothing is believed that does not carry its checksum:
a small server in the guest's shell takes numbered requests, and both sides ask again until the sums agree.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pexpect

from harness.errors import MachineError, UserError
from harness.system.console import Console
from harness.system.shell import MOST_COMMAND, CommandResult, LineDeadError, judge, seconds

# Requests `~Q NUMBER SUM VERB WORDS`, answers `~R NUMBER WORDS SUM`, a sum being the MD5 of number and words; `~N` says
# that a request came spoilt. All may be repeated at will: `run` with the number of the last one only answers again.
# The terminal takes no character for a command: a spoilt one would stop, interrupt or end the server.
# LOADER is typed at the prompt and must come whole; it runs what is asked of it, and so takes SERVER piece by piece.
# It answers where errors go: a spoilt line may have left the shell amid `$(`, where they alone reach the console.
LOADER = r"""
k=$(stty -g);stty -echo -icanon -isig -ixon min 1 time 0||stty -echo
h() { m=$(printf %s "$1"|md5sum);echo "${m%% *}";}
r() { printf '\n~R %s %s\n' "$1" "$(h "$1")";}
exec >&2
e=;r "$S loader"
while [ ! "$e" ]&&IFS=' ' read -r q n s w;do
[ "$q" ]||continue
if [ "$q$(h "$n $w")" = "~Q$s" ];then eval "$w";r "$n ok";else printf '\n~N\n';fi
done
stty "$k"||stty echo
"""
SERVER = r"""
b() { dd if="$D/o" bs=UNIT skip="$1" count="$2" 2>/dev/null | base64 | tr -d '\n'; }
t() { read -r u v </proc/uptime; echo "${u%.*}"; }
D=$(mktemp -d /tmp/.console.XXXXXX) || D=$(mktemp -d /run/.console.XXXXXX)
export CONSOLE_SHELL="$D"
command -v timeout >/dev/null || timeout() { shift 3; "$@"; }
l= c= e=1
set -f
r "$n ready"
while IFS=' ' read -r q n s w; do
  [ "$q" ] || continue
  [ "$q$(h "$n $w")" = "~Q$s" ] || { printf '\n~N\n'; continue; }
  set -- $w
  case $1 in
    :|eval) r "$n ready" ;;
    put) if printf %s "$3" >"$D/$2"; then r "$n ok"; else r "$n full"; fi ;;
    run)
      if [ "$l" != "$n" ]; then
        l=$n i=0
        while [ $i -lt $2 ]; do cat "$D/$i"; i=$((i+1)); done | base64 -d >"$D/cmd"
        c=$(md5sum <"$D/cmd")
        if [ "${c%% *}" = "$4" ]; then
          a=$(t)
          timeout -s KILL "$3" sh "$D/cmd" </dev/null >"$D/out" 2>&1
          c="$? $(($(t)-a))"
          head -c MOST "$D/out" >"$D/o"
          m=$(md5sum <"$D/o")
          c="$c $(wc -c <"$D/o" | tr -d ' ') ${m%% *}"
        else c=full
        fi
      fi
      r "$n $c =$(b 0 FIRST)" ;;
    get) r "$n =$(b "$2" "$3")" ;;
    bye) break ;;
  esac
done
set +f
rm -rf "$D"
"""
UNIT = 300  # bytes of output, of which an answer carries some
FIRST, MOST_UNITS = 2, 9  # units that come with the end of a command; at most in one answer
CHUNK = 600  # characters of a command a request carries: a terminal's line is short
BOOT_CHUNK = 120  # the guest's line editing may allow less still
MOST_OUTPUT = 4 << 20  # bytes: a serial line is slow
FILE_PIECES = 64  # requests of a file between two checks of what has come
FILE_NAMES = 1000  # the first number of a file's pieces: a command's are below
PATIENCE_S = (1.0, 30.0)  # before asking again: at first, at last
LONGEST_ANSWER_S = 15.0  # from its first word to its last, on a slow line
GRACE_S = 30.0
# What wakes a shell that may be in the middle of something. At first without Ctrl-C, which ends a shell of a getty's
# that has no terminal of its own; and no such shell is interrupted by it. There a spoilt line may have left a quote
# or a sum open, which nothing but its own end closes (in a comment, as most shells know them, a quote opens none), or a
# command, which ends with a complaint about a bracket too many.
WAKE, INTERRUPT, CLOSE = b"\n", b"\x03\n", b"\x03\n))\n}\n#'\n#\"\n#`\n}\n)\n"
ANSWER = re.compile(rb"~R (\d{1,9}) ([^\r\n~]{1,4096}) ([0-9a-f]{32})\r*\n")
ANY_ANSWER = re.compile(rb"~[RNB][^\r\n]*\r*\n")
SPOILT: list[str] = []  # what `_answer` returns for an answer that is none
UNSTARTED = ["~B"]  # and for the shell's own word that the loader came spoilt


def md5(data: bytes) -> str:
    """Return the MD5 (hex): against a bad line, not against a bad person."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def bootstrap(number: int) -> list[str]:
    """Return the lines that start the loader from a shell's prompt; a spoilt one leaves it unstarted, and is told.

    The loader's first word is `number`: that of an earlier one, which the line may still hold, is not taken for it.
    """
    pieces = _pieces(LOADER.encode(), BOOT_CHUNK)
    return [
        f"export TERM=dumb; S={number} x=",
        *(f"x=${{x}}{piece}" for piece in pieces),
        f'case $(printf %s $x|md5sum|cut -c1-32) in {md5("".join(pieces).encode())}) eval "$(printf %s $x|base64 -d)"'
        ";; *) echo '~'B;; esac",
    ]


def _pieces(data: bytes, size: int = CHUNK) -> list[str]:
    """Return data in base64, cut so that each piece fits a line."""
    coded = base64.b64encode(data).decode()
    return [coded[at : at + size] for at in range(0, len(coded), size)]


@dataclass
class ConsoleShell:
    """`run` over a console at whose other end a root shell waits: exact bytes or an error, never wrong ones.

    ``check_machine`` is called while waiting and raises when waiting is vain; ``life`` names that of the shell at the
    other end: another one knows nothing of this one's words.
    """

    fast: ClassVar = False
    console: Console
    check_machine: Callable[[], None]
    multiplier: float = 1.0
    life: Callable[[], object] = lambda: 1
    _number: int = 0
    _started: bool = False
    _dead: str = ""
    _life: object = None
    _units: int = MOST_UNITS  # what an answer carries now: less on a bad line

    def start(self, timeout: float = 60) -> None:
        """Start the server in the guest's shell; LineDeadError when none answers within `timeout` seconds."""
        if (life := self.life()) != self._life:
            self._started, self._dead, self._life = False, "", life
        if self._dead:
            raise LineDeadError(f"the console's shell is dead: {self._dead}")
        if self._started:
            return
        # of each server its own: one that a harness left behind may still know the answers to low numbers
        self._number = secrets.randbelow(800_000_000)
        deadline = time.monotonic() + timeout * self.multiplier
        patience = PATIENCE_S[0]
        lines = bootstrap(self._number)
        wakes = itertools.chain([WAKE], itertools.cycle([CLOSE, INTERRUPT]))
        while time.monotonic() < deadline:
            self.console.drain()
            self.console.send(next(wakes))
            for line in lines:
                self.console.sendline(line)
            greeting = self._greeting(min(deadline, time.monotonic() + 2 * patience * self.multiplier))
            if greeting in (["loader"], ["ok"]):
                self._load()
                greeting = ["ready"]
            if greeting == ["ready"]:
                self._started = True
                return
            if greeting is None:
                patience = min(2 * patience, PATIENCE_S[1])
        raise self._broken("no shell answers on the console")

    def _greeting(self, deadline: float) -> list[str] | None:
        """Return the first word of a loader or server, or UNSTARTED; None when nothing comes in time.

        It is asked for again where what comes is spoilt, or of one that a harness has left behind.
        """
        while (answer := self._answer(self._number, deadline)) is not None:
            if answer:
                return answer
            self.console.send(self._request(":"))
            deadline = min(deadline, time.monotonic() + PATIENCE_S[0] * self.multiplier)
        self.console.send(self._request(":"))
        return self._answer(self._number, time.monotonic() + PATIENCE_S[0] * self.multiplier) or None

    def _load(self) -> None:
        """Hand the server to the loader."""
        text = SERVER.replace("UNIT", str(UNIT)).replace("FIRST", str(FIRST)).replace("MOST", str(MOST_OUTPUT + 1))
        pieces = _pieces(text.encode())
        for number, piece in enumerate(pieces):
            self._ask(f"x{number}={piece}")
        whole = "".join(f"$x{number}" for number in range(len(pieces)))
        if self._ask(f'eval "$(printf %s "{whole}"|base64 -d)"') != ["ready"]:
            raise self._broken("its server did not start")

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` (see `Shell.run`)."""
        if not cmd.strip() or len(cmd.encode()) > MOST_COMMAND or "\0" in cmd:
            raise UserError(f"not a command: empty, over {MOST_COMMAND >> 10} KiB, or with a NUL")
        self.start()
        limit = timeout * self.multiplier
        pieces = _pieces(cmd.encode())
        for number, piece in enumerate(pieces):
            self._put(number, piece)
        answer = self._ask(f"run {len(pieces)} {seconds(limit)} {md5(cmd.encode())}", limit)
        if answer[0] == "full" or len(answer) != 5:
            raise MachineError("the guest could not keep a command", hint="is its /tmp full?")
        code, took, size, digest, first = answer
        if int(size) > MOST_OUTPUT:
            raise MachineError(f"{cmd!r} said over {MOST_OUTPUT} bytes: too much for a console", hint="write to a file")
        output = self._output(int(size), self._bytes(first))
        if md5(output) != digest:
            raise self._broken("its output did not arrive as it was")
        return judge(CommandResult(cmd, output, int(code)), late=int(took) >= limit, timeout=limit, check=check)

    def put(self, local: Path, remote: str) -> None:
        """Copy a file to the guest; MachineError when it does not arrive whole."""
        data = local.read_bytes()
        whole = '"$CONSOLE_SHELL/file"'
        self.run(f": >{whole}", check=True)
        coded = _pieces(data)
        for at in range(0, len(coded), FILE_PIECES):
            batch = coded[at : at + FILE_PIECES]
            for number, piece in enumerate(batch):
                self._put(FILE_NAMES + number, piece)
            names = f"i={FILE_NAMES}; while [ $i -lt {FILE_NAMES + len(batch)} ]; do cat $i; i=$((i+1)); done"
            self.run(f'cd "$CONSOLE_SHELL" && {{ {names}; }} | base64 -d >>file', check=True)
        name = shlex.quote(remote)
        came = self.run(f"cat {whole} >{name} && rm {whole} && md5sum <{name}", 120)
        if came.code or came.text.split()[:1] != [md5(data)]:
            raise MachineError(f"{local.name} did not arrive whole as {remote}", details=came.text[-500:])

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the guest; MachineError when it cannot be read or is over 4 MiB."""
        came = self.run(f"cat {shlex.quote(remote)}", 120)
        if came.code:
            raise MachineError(f"{remote} cannot be got", details=came.text[-500:])
        local.write_bytes(came.stdout)

    def close(self) -> None:
        """Give the console back to the guest's own shell."""
        if self._started and not self._dead and self.life() == self._life:
            self._ask("bye")
        self._started = False

    def _put(self, number: int, piece: str) -> None:
        if self._ask(f"put {number} {piece}") != ["ok"]:
            raise MachineError("the guest could not keep what was sent", hint="is its /tmp full?")

    def _output(self, size: int, first: bytes) -> bytes:
        """Return the output, of which the first bytes have come: blocks that are shorter on a bad line."""
        output = bytearray(first)
        while len(output) < size:
            at = len(output) // UNIT  # all but the last block are whole units
            (word,) = self._ask(f"get {at} {self._units}")
            block = self._bytes(word)
            if not block or len(output) % UNIT:
                raise self._broken("its output did not arrive as it was")
            output += block
            self._units = min(self._units + 1, MOST_UNITS)
        return bytes(output)

    def _bytes(self, word: str) -> bytes:
        try:
            return base64.b64decode(word.removeprefix("="), validate=True)
        except ValueError as error:
            raise self._broken("an answer that is not base64") from error

    def _request(self, request: str) -> bytes:
        body = f"{self._number} {request}"
        # the newline before ends whatever a spoilt request left unfinished
        return f"\n~Q {self._number} {md5(body.encode())} {request}\n".encode()

    def _ask(self, request: str, limit: float = 0.0) -> list[str]:
        self._number += 1
        end = time.monotonic() + limit  # until then a command may run
        deadline = end + GRACE_S * self.multiplier
        patience = PATIENCE_S[0]
        while (now := time.monotonic()) < deadline:
            self.console.send(self._request(request))
            wait = patience * self.multiplier
            if now < end < now + wait:
                wait = end - now + PATIENCE_S[0]  # a command that is ended then has its answer asked for at once
            answer = self._answer(self._number, min(deadline, now + wait))
            if answer:
                return answer
            if answer is None:
                patience = min(2 * patience, PATIENCE_S[1])
            elif request.startswith("get"):
                self._units = max(1, self._units // 2)
                request = f"get {request.split()[1]} {self._units}"
        raise self._broken(f"no whole answer to {request.partition(' ')[0]!r} within its time")

    def _answer(self, number: int, deadline: float) -> list[str] | None:
        """Return the words of the answer to request `number`; SPOILT when it came spoilt, None when none did in time.

        An answer that still comes puts `deadline` off: a slow line is not asked again in the middle of its words.
        """
        wait = deadline - time.monotonic()
        last = deadline + LONGEST_ANSWER_S * self.multiplier
        heard = self.console.listener.heard_s
        while (left := deadline - time.monotonic()) > 0:
            self.check_machine()
            if self.life() != self._life:
                raise LineDeadError("the machine was restarted meanwhile, or the shell ended with its getty")
            try:
                self.console.expect_list([ANY_ANSWER], timeout=min(left, 0.5))
            except pexpect.TIMEOUT:
                begun = b"~R" in self.console.buffer.rpartition(b"\n")[2]
                if begun and self.console.listener.heard_s != heard:
                    heard, deadline = self.console.listener.heard_s, min(last, time.monotonic() + wait)
                continue
            except pexpect.EOF:
                self.check_machine()
                raise self._broken("the console has ended") from None
            found = self.console.match
            assert isinstance(found, re.Match)
            if found.group().split() == [b"~B"]:
                return UNSTARTED
            match = ANSWER.fullmatch(found.group())
            if match is None or md5(b"%b %b" % match.group(1, 2)).encode() != match[3]:
                return SPOILT
            if int(match[1]) == number:
                return match[2].decode(errors="replace").split()
        return None

    def _broken(self, why: str) -> LineDeadError:
        self._dead = why
        return LineDeadError(f"the console's shell failed: {why}", details=self.console.last_lines())
