"""The shell over a virtio-serial port: a channel of its own, so nothing mixes with it (docs/architecture.md)."""

from __future__ import annotations

import base64
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from harness.errors import UserError
from harness.system.shell import MOST_COMMAND, MOST_OUTPUT, AgentDeadError, CommandResult, judge, seconds

HELLO = b"hello 1"
GRACE_S = 15.0  # for the agent to say what it has to, once a command's time is over
TICK_S = 0.2
PIECE = 1 << 20
LONGEST_LINE = 256


class _Restarted(Exception):  # noqa: N818 - no error: the guest booted again
    pass


@dataclass
class ProbeShell:
    """`run` through the probe's agent.

    ``check_machine`` is called while waiting and raises when waiting is vain; ``boots`` counts the machine's boots.
    """

    fast: ClassVar = True
    end: socket.socket
    check_machine: Callable[[], None]
    boots: Callable[[], int] = lambda: 1
    multiplier: float = 1.0
    _booted: int = 1  # the boot that the agent spoken to belongs to
    _read: bytearray = field(default_factory=bytearray)
    _number: int = 0
    _greeted: bool = False
    _dead: str = ""

    def hello(self, timeout: float) -> None:
        """Wait until the agent listens; AgentDeadError when it does not within `timeout` seconds."""
        if self._greeted:
            return
        deadline = time.monotonic() + timeout
        while self._line(deadline) != HELLO:
            pass
        self._greeted = True

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` (see `Shell.run`)."""
        if (booted := max(1, self.boots())) != self._booted:
            self.forget()
            self._booted = booted
        if self._dead:
            raise AgentDeadError(f"the shell is dead: {self._dead}")
        if not cmd.strip() or len(cmd.encode()) > MOST_COMMAND or "\0" in cmd:
            raise UserError(f"not a command: empty, over {MOST_COMMAND >> 10} KiB, or with a NUL")
        limit = timeout * self.multiplier
        self.hello(limit + GRACE_S * self.multiplier)
        self._discard()
        self._number += 1
        number = self._number
        text = base64.b64encode(cmd.encode())
        began = time.monotonic()
        deadline = began + seconds(limit) + GRACE_S * self.multiplier
        self._dead = "a command was interrupted"  # unless it comes to its end below
        self._send(b"run %d %d %s\n" % (number, seconds(limit), text), deadline)
        try:
            output, code = self._answer(number, deadline)
        except _Restarted:
            self._dead = ""
            raise AgentDeadError(f"the machine was restarted while it ran {cmd!r}") from None
        self._dead = ""
        return judge(
            CommandResult(cmd, output, code), late=time.monotonic() - began >= limit, timeout=limit, check=check
        )

    def forget(self) -> None:
        """The machine starts again: wait for the agent's next greeting before the next command."""
        self._greeted, self._dead = False, ""
        self._read.clear()

    def attach(self, end: socket.socket) -> None:
        """Go on with another channel: the machine has been started again."""
        self.end = end
        self.forget()

    def _answer(self, number: int, deadline: float) -> tuple[bytes, int]:
        while True:
            words = self._line(deadline).split()
            if words == HELLO.split():
                raise _Restarted
            if len(words) != 4 or words[0] != b"done" or not all(word.isdigit() for word in words[1:]):
                raise self._broken("an answer that is none")
            identity, code, size = (int(word) for word in words[1:])
            if size > MOST_OUTPUT:
                raise self._broken(f"{size} bytes of output")
            output = self._bytes(size, deadline)
            if self._line(deadline) != b"end %d" % identity:
                raise self._broken("an answer without its end")
            if identity == number:
                return output, code

    def _discard(self) -> None:
        """Before a command nothing is worth hearing: a greeting of an earlier boot, say."""
        self._read.clear()
        while self._ready(wait=0):
            self._more(time.monotonic())
            self._read.clear()

    def _send(self, data: bytes, deadline: float) -> None:
        while data:
            self.check_machine()
            if time.monotonic() > deadline:
                raise self._broken("no room for a command")
            if self._ready(send=True):
                try:
                    data = data[self.end.send(data, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise self._over(error) from error

    def _line(self, deadline: float) -> bytes:
        while (at := self._read.find(b"\n")) < 0:
            if len(self._read) > LONGEST_LINE:
                raise self._broken("an endless line")
            self._more(deadline)
        line = bytes(self._read[:at])
        del self._read[: at + 1]
        return line.rstrip(b"\r")

    def _bytes(self, size: int, deadline: float) -> bytes:
        while len(self._read) < size:
            # a long answer may take its time as long as it keeps coming
            deadline = max(deadline, time.monotonic() + GRACE_S * self.multiplier)
            self._more(deadline)
        data = bytes(self._read[:size])
        del self._read[:size]
        return data

    def _more(self, deadline: float) -> None:
        while not self._ready():
            self.check_machine()
            if time.monotonic() > deadline:
                raise self._broken("it does not answer")
        try:
            data = self.end.recv(PIECE)
        except OSError as error:
            raise self._over(error) from error
        if not data:
            raise self._over()
        self._read += data

    def _ready(self, *, send: bool = False, wait: float = TICK_S) -> bool:
        """Say whether there is something to read, or room to send, within `wait` seconds."""
        end = [self.end]
        try:
            return any(select.select([] if send else end, end if send else [], [], wait))
        except (OSError, ValueError) as error:  # closed, for QEMU was started again
            raise self._over(error) from error

    def _over(self, error: Exception | None = None) -> AgentDeadError:
        self.check_machine()  # what it raises says more
        return self._broken(f"its channel ended{f': {error}' if error else ''}")

    def _broken(self, why: str) -> AgentDeadError:
        self._dead = why
        return AgentDeadError(
            f"the probe's agent failed: {why}",
            hint="" if self._greeted else "was the image's probe segment built for this kernel? see the transcript",
        )
