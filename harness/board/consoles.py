"""A board's console: a serial line, a command on another machine, or a program here."""

from __future__ import annotations

import os
import pty
import re
import signal
import time
import tty
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import serial

from harness import proc
from harness.board.connection import Connection
from harness.board.faults import ConsoleServerError
from harness.board.kernellog import LogSource
from harness.board.programs import located, located_argv
from harness.board.source import BoardSource
from harness.board.usual import completed
from harness.child import QemuProcess
from harness.errors import HostError, MachineError, UserError
from harness.patterns import Pattern, compiled
from harness.spec.models.board import BoardConsole, SshConsole, SshTarget
from harness.system.channels import GATHER_S, PIECE, SEND_S, PipeSource
from harness.system.text import clean
from harness.text import of_error

if TYPE_CHECKING:
    from paramiko import Channel

POLL_S = 0.05  # how long a serial port is waited for at once: changing that later would set the line up anew
# the program's terminal becomes its controlling one: it is hung up when the harness lets go
ON_TERMINAL = 'cd "$1" && shift && exec "$@" <"$0" >"$0" 2>&1'
WIDTH, HEIGHT = 200, 50
END_S = 1.0  # for a command that has closed its output to end
TERM_S = 3.0  # for a program to end its session once it is asked to
WAIT_S = 30.0  # for a program to be connected, a device that comes with the board's power to appear
AFTER_S = 30.0  # for the program that runs after it
MOST_TAIL = 500  # bytes of its last words
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^:\[]+)")


class SerialDevice(serial.Serial):
    """A serial device that keeps what it has: pySerial forgets the first words of one that comes with the power."""

    def _reset_input_buffer(self) -> None:
        pass


class SerialSource(BoardSource):
    """A serial line, near or far; a near one may be a device that comes with the board's power."""

    def __init__(self, console: BoardConsole, base: Path = Path(), appears_s: float = WAIT_S) -> None:
        """Open ``console.serial``; ConsoleServerError when it cannot be, UserError when pySerial knows no such line.

        A device is relative to the folder `base`. One that is not there is waited for, `appears_s` from power-on.
        """
        self._name, self.why = console.serial or "", ""
        self._console, self._appears_s = console, appears_s
        self._near = "://" not in self._name
        if self._near:
            self._name = str(located(self._name, base))
        self._port: Any = None
        if self._near and not Path(self._name).exists():
            self.absent_s = time.monotonic()
        else:
            self._open()

    def _open(self) -> None:
        # few servers answer for lines that have no modem control, and a console needs none
        asked = "" if not self._name.startswith("rfc2217:") else "&" if "?" in self._name else "?"
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of pySerial's own doing
                opened = SerialDevice if self._near else serial.serial_for_url
                self._port = opened(
                    self._name + (asked and f"{asked}ign_set_control"),
                    baudrate=self._console.baud,
                    rtscts=self._console.rtscts,
                    timeout=POLL_S,
                    write_timeout=SEND_S if self._near else None,  # rfc2217 of pySerial's refuses one
                    exclusive=self._near or None,
                )
        except ValueError as error:
            raise UserError(f"the console {self._name} is not a line of pySerial's: {error}") from error
        except (serial.SerialException, OSError) as error:
            if "expected a string in the form" in str(error):
                raise UserError(f"the console {self._name} is not a line of pySerial's: {of_error(error)}") from error
            raise ConsoleServerError(
                f"the console {self._name} cannot be opened: {_reason(error)}",
                hint="is it plugged in, this user's to open (group dialout), and in no other program's hands?"
                if self._near
                else "is the console server running there, and the port free?",
            ) from error

    def read(self, timeout: float) -> bytes | None:
        end = time.monotonic() + timeout
        if self.absent_s is not None and not self._appeared(self.absent_s):
            return None if self.why else b""
        try:
            while not (data := bytes(self._port.read(1))):
                if time.monotonic() >= end:
                    return b""
            time.sleep(GATHER_S)
            while (more := self._port.in_waiting) and len(data) < PIECE:
                data += self._port.read(min(more, PIECE - len(data)))
        except (serial.SerialException, OSError, TypeError) as error:  # a port that is closed meanwhile is None
            if self._near and (self.off or self.fresh):
                self._port.close()
                self.absent_s = time.monotonic()
                return b""
            self.why = f"the line {self._name} was lost: {_reason(error)}"
            return None
        return data

    def _appeared(self, since_s: float) -> bool:
        """Look whether the device is there now; `why` says that it did not come in time."""
        reason = "there is no such device"
        try:
            if Path(self._name).exists():
                self._open()
                self.absent_s = None
                return True
        except ConsoleServerError as error:  # it is not this user's yet, or just going
            reason = error.message
        if not self.off and time.monotonic() - since_s >= self._appears_s:
            self.why = f"the console {self._name} did not appear within {self._appears_s:g} s of power-on: {reason}"
        time.sleep(POLL_S)
        return False

    def write(self, data: bytes) -> None:
        if self.absent_s is not None:
            raise ConsoleServerError(f"the console takes no input: {self._name} is not there")
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise MachineError(f"the console takes no input for {SEND_S:g} s") from error
        except (serial.SerialException, OSError) as error:
            raise ConsoleServerError(f"the console takes no input: {_reason(error)}") from error

    def close(self) -> None:
        if self._port is not None:
            self._port.close()


class SshSource(BoardSource):
    """The console that a command gives on a machine reached over SSH."""

    def __init__(self, connection: Connection, command: str) -> None:
        """Start it there in a terminal; errors as `Connection.channel`'s."""
        self._connection, self.why = connection, ""
        self._channel: Channel = connection.channel()
        self._channel.get_pty("dumb", WIDTH, HEIGHT)
        if command:
            self._channel.exec_command(command)
        else:
            self._channel.invoke_shell()
        self._what = f"{command or 'the shell'} on {connection.target.host}"

    def read(self, timeout: float) -> bytes | None:
        self._channel.settimeout(timeout)
        try:
            data: bytes = self._channel.recv(PIECE)
        except TimeoutError:
            return b""
        except OSError as error:
            self.why = f"{self._what} was lost: {of_error(error)}"
            return None
        if not data:
            code = self._channel.recv_exit_status() if self._channel.status_event.wait(END_S) else None
            self.why = f"{self._what} ended" + (f" with exit code {code}" if code is not None and code >= 0 else "")
        return data or None

    def write(self, data: bytes) -> None:
        self._channel.settimeout(SEND_S)
        try:
            self._channel.sendall(data)
        except OSError as error:
            raise ConsoleServerError(f"the console takes no input: {error or 'it is full'}") from error

    def close(self) -> None:
        self._channel.close()
        self._connection.close()


class CommandSource(PipeSource, BoardSource):
    """A program's terminal; the program ends with it, and with the harness however that ends."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        base: Path = Path(),
        *,
        ready: str = "",
        ready_s: float = WAIT_S,
        after: Sequence[str] = (),
    ) -> None:
        """Start the program in the folder `base`; HostError when it is not there.

        `log` takes what goes wrong before it has its terminal. Until it has said `ready` nothing is the board's word:
        ConsoleServerError when it does not. `after` is run once it has ended.
        """
        ours, its = pty.openpty()
        try:
            tty.setraw(its)
            located = located_argv(argv, base)
            program = [proc.resolve(located[0]), *located[1:]]
            place = str(base.absolute())
            self._process = QemuProcess(["/bin/sh", "-c", ON_TERMINAL, os.ttyname(its), place, *program], log)
        except BaseException:
            os.close(ours)
            os.close(its)
            raise
        self._its = its  # kept while it is open: before the program has opened it, reading would find nobody there
        super().__init__(ours, ours)
        self.alive = lambda: self._process.poll() is None
        self._argv, self.why, self._tail, self._first = argv, "", b"", b""
        self._base, self._after = base, after
        if ready:
            self._await(compiled(ready), ready, ready_s)

    def _await(self, pattern: Pattern, ready: str, ready_s: float) -> None:
        """Wait for the program's word that it is connected; what follows it is the board's."""
        said, end = b"", time.monotonic() + ready_s
        while (found := pattern.search(said)) is None:
            data = self.read(POLL_S)
            if data is None or time.monotonic() > end:
                why = self.why or f"{self._argv[0]} did not say {ready!r} within {ready_s:g} s"
                self.close()
                raise ConsoleServerError(
                    f"the console is not connected: {why}", details=clean(said[-MOST_TAIL:]).decode(errors="replace")
                )
            said = (said + data)[-PIECE:]
        self._first = said[found.end() :]

    def read(self, timeout: float) -> bytes | None:
        if self._first:
            first, self._first = self._first, b""
            return first
        alive = self.alive()
        data = super().read(timeout)
        if data is None or (not data and not alive):
            code = self._process.wait(END_S)
            last = clean(self._tail).decode(errors="replace").strip().splitlines()[-1:]
            self.why = f"{self._argv[0]} ended" + (f" with exit code {code}" if code is not None else "")
            self.why += f"; the last words were {last[0]!r}" if last else ""
            return None
        self._tail = (self._tail + data)[-MOST_TAIL:]
        return data

    def close(self) -> None:
        """End the program and its children as its terminal's end would, then by force; run what comes after it."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            self._process.wait(TERM_S)
        self._process.kill()
        os.close(self._its)
        super().close()
        self._end_group()
        if self._after:
            try:
                proc.run(located_argv(self._after, self._base), cwd=self._base, timeout=AFTER_S)
            except HostError as error:
                raise ConsoleServerError(
                    f"the console was not closed as `after` says: {error.message}", details=error.details
                ) from error

    def _end_group(self) -> None:
        """End the children that have not ended with the terminal: one under nohup does not hear that it is gone."""
        end = time.monotonic() + END_S
        with suppress(ProcessLookupError):  # nobody is left
            while time.monotonic() < end:
                os.killpg(self._process.pid, 0)
                time.sleep(POLL_S)
            os.killpg(self._process.pid, signal.SIGKILL)


def open_console(console: BoardConsole, base: Path, out: Path, ssh: SshTarget | None = None) -> BoardSource:
    """Open a board's console. `base` is the folder of its YAML, `out` the boot's, `ssh` the way into the system.

    ConsoleServerError when it cannot be reached, UserError when the YAML is wrong about it, HostError without the
    program.
    """
    if console.serial is not None:
        return SerialSource(console, base, console.timeout)
    if console.command is not None:
        console = completed(console)
        assert console.command
        log, after = out / "console.log", console.after or ()
        return CommandSource(console.command, log, base, ready=console.ready, ready_s=console.timeout, after=after)
    if console.log:
        assert ssh is not None  # `harness.spec.rules.board` asks for it
        return LogSource(Connection(ssh, base))
    assert isinstance(console.ssh, SshConsole)
    connection = Connection(console.ssh, base)
    try:
        return SshSource(connection, console.ssh.command)
    except MachineError as error:
        connection.close()
        raise ConsoleServerError(f"the console: {error.message}", hint=error.hint, details=error.details) from error
    except BaseException:
        connection.close()
        raise


def _reason(error: Exception) -> str:
    """Return the innermost of an error's words: pySerial's wrap the system's own."""
    *_, last = [error, *_ERRNO.findall(str(error))]
    return str(last).strip() or type(error).__name__
