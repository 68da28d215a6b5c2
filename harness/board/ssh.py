"""A shell over SSH: commands and files, each proven to have arrived whole and each answer to be the command's own.

SSH keeps bytes as they are, but between it and a shell stands the login: its shell may print words of its own, be csh,
fish or a restricted one, or be none at all. So a session begins with one line that all shells read alike; it starts
`sh`, which greets with a number of this session alone. Only then is the rest sent, and only what bears that number is
an answer, in the frames of the probe's agent: ``done NUMBER …``, so many bytes, ``end NUMBER``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.board.connection import AGAIN_S, Connection, NoSessionError, UnreachableError
from harness.errors import HarnessError, MachineError, UserError
from harness.system.shell import (
    MOST_COMMAND,
    MOST_OUTPUT,
    CommandResult,
    IncapableShellError,
    LineDeadError,
    judge,
    seconds,
)

if TYPE_CHECKING:
    from paramiko import Channel

GRACE_S = 15.0  # for the answer to come once a command's time is over
TICK_S = 0.2
TYPE_S = 5.0  # without a greeting, and the line is typed: the login may start a shell whatever it is asked to run
CLOSED_S = 2.0  # for the server to end a session: it may allow one at a time
CLOSING_S = 0.005  # between looks at whether it has
PIECE = 1 << 20
MOST_PIECES = 16  # of the standard error, before the standard output is looked at again
SLOWEST = 2000  # bytes per second of an answer
MOST_WORDS = 64 << 10  # bytes kept of what is not an answer
SHOWN = 500  # characters of them in an error

# In these scripts @N@ is the session's number. Every shell takes GREET for the same: two words and a quoted one.
GREET = """sh -c 'echo;echo hello @N@;IFS= read -r s&&eval "$s"'"""
NEEDED = """
m=;for p in @PROGRAMS@;do command -v $p >/dev/null 2>&1||m="$m $p";done
[ "$m" ]&&{ echo;echo "lack @N@$m";exit;}
c=$(printf %b_ @ENCODED@);c=${c%_}
"""
# The command comes in one line; output goes to a file first: a program left in the background holds nothing back, and
# what it says later is not of the answer.
RUN = """
s=$(printf %s "$c"|md5sum);[ "${s%% *}" = @DIGEST@ ]||{ echo;echo spoilt @N@;exit;}
d=;for t in /tmp /run /dev/shm /var/tmp "$HOME";do mkdir -m 700 "$t/.shell.@N@" 2>/dev/null&&d=$t/.shell.@N@&&break;done
[ "$d" ]||{ echo;echo folderless @N@;exit;}
timeout -s KILL @LIMIT@ sh -c "$c" </dev/null >"$d/out" 2>&1
x=$?
{ echo . >"$d/room"&&[ -s "$d/room" ];} 2>/dev/null||{ rm -rf "$d";echo;echo roomless @N@;exit;}
z=$(($(wc -c <"$d/out")));s=$(head -c $z "$d/out"|md5sum)
echo;echo done @N@ $x $z ${s%% *};[ $z -gt @MOST@ ]||head -c $z "$d/out";rm -rf "$d";echo;echo end @N@
"""
GET = """
[ -r "$c" ]&&[ -f "$c" ]||{ echo;echo done @N@ 1 0 -;echo;echo end @N@;exit;}
z=$(($(wc -c <"$c")));s=$(head -c $z "$c"|md5sum)
echo;echo done @N@ 0 $z ${s%% *};[ $z -gt @MOST@ ]||head -c $z "$c";echo;echo end @N@
"""
PUT = """
echo;echo go @N@
cat >"$c";x=$?;s=;[ $x -gt 0 ]||s=$(md5sum <"$c");s=${s%% *}
echo;echo done @N@ $x 0 ${s:--};echo;echo end @N@
"""
TO_RUN = ("md5sum", "timeout", "mkdir", "wc", "head", "rm")
TO_GET, TO_PUT = ("md5sum", "wc", "head"), ("md5sum", "cat")
ANSWER = (
    rb"\n(?:done %b (?P<code>\d{1,3}) (?P<size>\d{1,12}) (?P<digest>[0-9a-f]{32}|-)"
    rb"|lack %b (?P<lack>[a-z0-9 ]{1,200})|(?P<spoilt>spoilt) %b|(?P<trouble>folderless|roomless) %b)\n"
)
TROUBLES = {
    b"folderless": "no folder to keep its output in can be written: /tmp, /run, /dev/shm, /var/tmp, its home",
    b"roomless": "the folder that its output is kept in is full",
}


def md5(data: bytes) -> str:
    """Return the MD5 (hex): against a login that takes or adds words, not against a bad person."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def encoded(data: bytes) -> str:
    """Return `data` as a word of sh in one line of ASCII, which ``printf %b`` decodes."""
    return shlex.quote("".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\0{byte:03o}" for byte in data))


def line(script: str, programs: tuple[str, ...], argument: str, **values: str) -> bytes:
    """Return a script as one line: it looks for the `programs` that it needs, and then has `argument` in ``c``."""
    values |= {"PROGRAMS": " ".join(programs), "MOST": str(MOST_OUTPUT), "ENCODED": encoded(argument.encode())}
    text = ";".join(filter(None, (NEEDED + script).splitlines()))
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text).encode() + b"\n"


@dataclass
class _Session:
    """One session: what has come and is not taken yet."""

    channel: Channel
    number: str
    check_machine: Callable[[], None]
    deadline: float
    heard: bytearray = field(default_factory=bytearray)
    aside: bytes = b""  # of the standard error

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        sent = 0
        while sent < len(data):
            try:
                sent += self.channel.send(data[sent : sent + PIECE])
            except TimeoutError:
                self._idle()
            self._drain()

    def until(self, pattern: re.Pattern[bytes], patience: float = 0.0) -> re.Match[bytes] | None:
        """Return what matches and take it with all before it; None when nothing does within `patience` seconds, if any.

        LineDeadError when nothing does by the deadline, IncapableShellError when the login's shell ended before.
        """
        end = time.monotonic() + patience
        while (match := pattern.search(bytes(self.heard))) is None:
            del self.heard[: max(0, len(self.heard) - MOST_WORDS)]
            if patience and time.monotonic() > end:
                return None
            if not self.more():
                raise self._ended()
        del self.heard[: match.end()]
        return match

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        self.deadline = max(self.deadline, time.monotonic() + GRACE_S + size / SLOWEST)
        while len(self.heard) < size:
            if not self.more():
                raise self._ended()
        data = bytes(self.heard[:size])
        del self.heard[:size]
        return data

    def more(self) -> bool:
        """Take what comes within a moment; False once nothing more can."""
        self._drain()
        try:
            piece = self.channel.recv(PIECE)
        except TimeoutError:
            self._idle()
            return True
        if time.monotonic() > self.deadline:  # words without end are no answer
            self._idle()
        self.heard += piece
        return bool(piece)

    def answer(self) -> tuple[int, bytes, str]:
        """Return an answer's code, its bytes, and its digest; an error where there is none that is whole."""
        match = self.until(re.compile(ANSWER % ((self.number.encode(),) * 4)))
        assert match is not None
        if match["lack"]:
            raise IncapableShellError(
                f"the system over SSH lacks programs that a shell there needs: {match['lack'].decode()}",
                hint="add them to the image (busybox and coreutils have them all), or use its console's shell",
            )
        if match["trouble"]:
            why = TROUBLES[match["trouble"]]
            raise IncapableShellError(f"the system over SSH cannot run a command: {why}", details=self.words())
        if match["spoilt"]:
            raise LineDeadError("a command did not arrive over SSH as it was sent", details=self.words())
        code, size, digest = int(match["code"]), int(match["size"]), match["digest"].decode()
        if size > MOST_OUTPUT:
            raise LineDeadError(f"the shell over SSH said more than {MOST_OUTPUT >> 20} MiB")
        output, end = self.take(size), b"\nend %b\n" % self.number.encode()
        if self.take(len(end)) != end or (size and md5(output) != digest):
            raise LineDeadError("an answer over SSH did not arrive as it was", details=self.words())
        return code, output, digest

    def finish(self) -> None:
        """Let the server end the session, so that the next one is not one too many."""
        end = time.monotonic() + CLOSED_S
        with suppress(OSError):  # a shell that the login has started, or what stands before one, waits for more
            self.channel.shutdown_write()
        while not self.channel.closed and time.monotonic() < end:
            self._drain()
            try:
                if not self.channel.recv(PIECE):
                    time.sleep(CLOSING_S)
            except TimeoutError:
                continue

    def words(self) -> str:
        """Return the end of what was said beside an answer."""
        self._drain()
        return (self.aside + bytes(self.heard)).decode(errors="replace").strip()[-SHOWN:]

    def _drain(self) -> None:
        for _ in range(MOST_PIECES):
            if not self.channel.recv_stderr_ready():
                break
            self.aside = (self.aside + self.channel.recv_stderr(PIECE))[-MOST_WORDS:]

    def _idle(self) -> None:
        self.check_machine()
        if time.monotonic() > self.deadline:
            raise LineDeadError("the shell over SSH does not answer", details=self.words())

    def _ended(self) -> HarnessError:
        self.check_machine()
        self.channel.status_event.wait(CLOSED_S)
        code = self.channel.recv_exit_status() if self.channel.exit_status_ready() else -1
        if code < 0:
            return LineDeadError("the connection was lost before the command's end", details=self.words())
        return IncapableShellError(
            f"the login over SSH runs no command: it ended with exit code {code} before its time",
            details=self.words() or "it said nothing",
            hint="is its shell one, and does the server let it run `sh`?",
        )


@dataclass
class SshShell:
    """`run` over SSH, and files.

    Its files are those of the login, whatever ``enter`` says.
    ``check_machine`` is called while waiting and raises when waiting is vain.
    """

    fast: ClassVar = True
    connection: Connection
    check_machine: Callable[[], None] = lambda: None
    multiplier: float = 1.0
    enter: str = ""  # what leads from where the login is to where commands are to run, as a prefix
    _types: bool = field(default=False, init=False)  # the login has started a shell and not what it was asked to run

    def start(self, timeout: float = 60) -> None:
        """Wait until the machine lets us in; LineDeadError when it does not within `timeout` seconds."""
        deadline = time.monotonic() + timeout * self.multiplier
        while True:
            self.check_machine()
            try:
                self.connection.open()
                return
            except UnreachableError as error:
                if time.monotonic() >= deadline:
                    raise LineDeadError(f"no shell over SSH within {timeout:g} s: {error.message}") from error
            time.sleep(AGAIN_S)

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` (see `Shell.run`); IncapableShellError where the login cannot, naming what is missing."""
        if not cmd.strip() or len(cmd.encode()) > MOST_COMMAND or "\0" in cmd:
            raise UserError(f"not a command: empty, over {MOST_COMMAND >> 10} KiB, or with a NUL")
        limit = timeout * self.multiplier
        with self._session(limit + GRACE_S * self.multiplier, self.enter) as session:
            values = {"DIGEST": md5(cmd.encode()), "LIMIT": str(seconds(limit)), "N": session.number}
            session.send(line(RUN, TO_RUN, cmd, **values))
            began = time.monotonic()
            code, output, _ = session.answer()
            late = time.monotonic() - began >= limit
        return judge(CommandResult(cmd, output, code), late=late, timeout=limit, check=check)

    def put(self, local: Path, remote: str) -> None:
        """Copy a file onto the machine; MachineError when it does not arrive whole."""
        data = local.read_bytes()
        with self._session(GRACE_S * self.multiplier) as session:
            session.send(line(PUT, TO_PUT, remote, N=session.number))
            session.until(re.compile(rb"\ngo %b\n" % session.number.encode()))
            with suppress(OSError):  # it ends before it has taken all where it cannot: its answer says why
                session.send(data)
                session.channel.shutdown_write()
            code, _, digest = session.answer()
            if code or digest != md5(data):
                raise MachineError(
                    f"{local.name} cannot be put to {remote}", details=session.words() or "it did not arrive whole"
                )

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the machine; MachineError when it cannot be read or is over 64 MiB."""
        with self._session(GRACE_S * self.multiplier) as session:
            session.send(line(GET, TO_GET, remote, N=session.number))
            code, data, _ = session.answer()
        if code:
            raise MachineError(f"{remote} cannot be got: it is not a file there that can be read")
        local.write_bytes(data)

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    @contextmanager
    def _session(self, patience: float, enter: str = "") -> Iterator[_Session]:
        """Give a session whose `sh` has greeted."""
        import paramiko

        self.start(patience)
        deadline, number = time.monotonic() + patience, secrets.token_hex(16)
        greet = f"{enter} {GREET}".strip().replace("@N@", number)
        hello = re.compile(rb"\nhello %b\r?\n" % number.encode())
        with self._channel(deadline) as channel:
            session = _Session(channel, number, self.check_machine, deadline)
            try:
                channel.exec_command(greet)
                channel.settimeout(TICK_S)
                if session.until(hello, TICK_S if self._types else TYPE_S * self.multiplier) is None:
                    session.send(f"{greet}\n".encode())
                    session.until(hello)
                    self._types = True
                session.deadline = time.monotonic() + patience
                yield session
                session.finish()
            except (paramiko.SSHException, OSError, EOFError) as error:
                self.check_machine()
                raise LineDeadError(f"the connection was lost: {error or type(error).__name__}") from error

    def _channel(self, deadline: float) -> Channel:
        """Return a new session: nothing was run yet.

        A server that still counts the last one is asked again; where that does not help, or its connection has ended,
        it is of a new connection.
        """
        patience = time.monotonic() + CLOSED_S
        while True:
            try:
                return self.connection.channel()
            except NoSessionError as error:
                refused: UnreachableError = error
            except UnreachableError as error:
                refused, patience = error, 0.0
            self.check_machine()
            if time.monotonic() >= deadline:
                raise LineDeadError(refused.message) from refused
            if time.monotonic() >= patience:
                self.connection.close()
                time.sleep(AGAIN_S)
            else:
                time.sleep(CLOSING_S)
