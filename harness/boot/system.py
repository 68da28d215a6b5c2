"""A machine that runs an image: its console, its shell, its power, and the record of its boot."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from harness.boot import milestones
from harness.boot.channels import Source
from harness.boot.console import Console
from harness.boot.consoleshell import ConsoleShell
from harness.boot.listener import READY, Listener
from harness.boot.login import log_in
from harness.boot.milestones import Milestone
from harness.boot.options import BootOptions
from harness.boot.probe import ProbeShell
from harness.boot.process import QemuProcess
from harness.boot.qemu import Launch
from harness.boot.qmp import Qmp
from harness.boot.record import BootRecord
from harness.boot.running import Running, run_qemu
from harness.boot.shell import Shell, ShellDeadError
from harness.errors import HarnessError, ImageError, MachineError, UserError
from harness.image import Bootable
from harness.spec.model import MachineSpec

T = TypeVar("T")
TICK_S = 0.2  # how often QEMU is looked at while nothing is heard
SETTLE_S = 0.5  # how long a dying kernel may finish its words
# not every shell's own poweroff is heeded by systemd
FOREIGN_OFF = "systemctl poweroff || poweroff"
BUTTON_S = 30.0  # for a system to power off once its button is pressed
DRAIN_S = 10.0  # for what a dead QEMU had said to be read
UNREADY = "unready"
FIRST = "init"  # the first mark of every boot
TROUBLE = (" failed", " timeout", " unready", " exited")


@dataclass
class System:
    """A started machine. Made by `boot`, which also ends it. Waiting fails at once when the guest or QEMU is lost.

    Errors: ImageError for what the guest did (panic, oops, unready, silence, off too early), MachineError for QEMU.
    """

    image: Bootable
    machine: MachineSpec
    options: BootOptions
    launch: Launch
    running: Running
    listener: Listener
    blank: BootRecord  # what was known before the boot
    by_hand: str  # the shell command for a person
    clock: Callable[[], float]  # seconds since QEMU's start
    forwards: dict[int, int] = field(default_factory=dict)  # the guest's port to the one on 127.0.0.1

    def __post_init__(self) -> None:
        self._ended = False
        self._turn = threading.Lock()  # who holds it starts or ends QEMU
        self.probe: ProbeShell | None = None
        self._on_console: ConsoleShell | None = None
        if self.running.probe:
            self.probe = ProbeShell(self.running.probe, self.check, self._boots, self.options.timeout_multiplier)
        self.console = Console(self.running.source, self.listener, self.clock, self._again)

    def meet(self) -> None:
        """Make QEMU tell of resets and learn the forwarded ports; MachineError with its words when it has died."""
        if self.options.reboot:
            self._ask(Qmp.greet)
        if self.options.forwards:
            self.forwards = self._ask(Qmp.forwards)

    @property
    def process(self) -> QemuProcess:
        """The QEMU that runs now, or ran last."""
        return self.running.process

    @property
    def argv(self) -> list[str]:
        """QEMU's command line as it was started."""
        return list(self.blank.argv)

    @property
    def transcript(self) -> Path:
        """The file with every console line and its time."""
        return self.listener.transcript.path

    @property
    def shell(self) -> Shell:
        """The shell of a probed boot, or of a login on the console; MachineError when there is neither."""
        if self.probe is not None:
            return self.probe
        if self.image.login is None:
            raise MachineError("this boot has no shell: it was not probed", hint="boot with BootOptions(probe=True)")
        if self._on_console is None:
            try:
                log_in(self.console, self.image.login, self.check, self.options.timeout_multiplier)
            except ImageError as error:
                if error.details:  # it is the machine's own story
                    raise
                raise self.error(ImageError, error.message, hint=error.hint) from None
            self._on_console = self.console_shell()
        return self._on_console

    def console_shell(self) -> ConsoleShell:
        """Return a shell over the console itself, for a guest that shows a root shell there."""
        return ConsoleShell(self.console, self.check, self.options.timeout_multiplier)

    @property
    def milestones(self) -> list[Milestone]:
        """The marks so far, in order; of every boot when the machine has been restarted."""
        with self.console.changed:
            return list(self.listener.milestones)

    @property
    def record(self) -> BootRecord:
        """The boot so far."""
        marks = self.milestones
        ready = next((mark for mark in marks if mark.name == READY), None)
        exact = self.options.mode == "exact"
        return BootRecord(
            **{
                **self.blank.__dict__,
                "milestones": tuple(marks),
                "ready_us": ready.guest_us if ready else None,
                "host_ready_s": ready.host_s if ready else None,
                "power_on_us": milestones.power_on_us(self.blank.arch, ready) if ready and exact else None,
                "console_sha256": self.listener.sha256,
                "console_sha256_ready": self.listener.sha256_ready,
            }
        )

    def wait_for(self, mark: str, timeout: float | None = None, *, after: int = 0) -> Milestone:
        """Wait for the mark called `mark` past the first `after` milestones; `timeout` in s (None: ready's)."""
        return self._wait(lambda: self._find(mark, after), f"mark {mark!r}", timeout)

    def wait_ready(self, timeout: float | None = None, *, after: int = 0) -> Milestone:
        """Wait for `ready`; an ImageError naming what failed when the boot comes to `unready` instead."""

        def come() -> Milestone | None:
            if self._find(UNREADY, after):
                raise self.error(ImageError, "the boot came to its end unready", details=self._troubles())
            return self._find(READY, after)

        return self._wait(come, "ready", timeout)

    def wait_off(self, timeout: float | None = None) -> None:
        """Wait until the machine is off, that is QEMU has ended well."""

        def off() -> int | None:
            return self.process.poll() if self.console.ended else None

        if self._wait(off, "power-off", timeout) != 0:
            raise self._dead()
        if self.listener.failure:
            raise self._failure()

    def power_off(self, timeout: float = 60) -> bool:
        """Power off, and wait until it is off; say whether it went off cleanly.

        Through the shell where there is one; a foreign OS that has none, or ignores it, by the machine's button; else
        at once.
        """
        wall = self.options.mode == "wall"
        if self.process.poll() is None and (self.probe is not None or (self.image.login and wall)):
            try:
                self.shell.run("poweroff" if self.probe else FOREIGN_OFF, 10)
            except ShellDeadError:
                pass  # it may be gone before it can answer; whether it is off is seen below
            except (ImageError, MachineError):
                if self.process.poll() is None:
                    raise
            if self.probe is not None or self.process.wait(timeout * self.options.timeout_multiplier) is not None:
                self.wait_off(timeout)
        if self.process.poll() is None and self.image.milestones and wall:
            self._ask(lambda qmp: qmp.execute("system_powerdown"))
            self.process.wait(BUTTON_S * self.options.timeout_multiplier)
        clean = self.process.poll() == 0
        with self._turn:
            self._ended = True
            self.process.kill()
        self._hear_out()
        return clean

    def reset(self) -> None:
        """Press the reset button; wait with ``after=len(system.milestones)`` taken before."""
        if not self.options.reboot:
            raise UserError("this boot ends at a reset", hint="boot with BootOptions(reboot=True)")
        self._ask(lambda qmp: qmp.execute("system_reset"))

    def interact(self) -> None:
        """Give the console to the person at the terminal until Ctrl-] or power-off; any other end is an error."""
        from harness.boot.interact import interact

        if not interact(self.console):
            self.wait_off()
        elif self.listener.failure:
            raise self._failure()

    def check(self) -> None:
        """Raise what makes any further waiting vain: a failure of the guest, a QEMU that has ended."""
        if self.listener.failure:
            raise self._failure()
        if self.console.error:
            raise self.console.error
        process = self.process
        code = process.poll()
        if code is None:
            return
        self._hear_out()
        if self.process is not process:
            return  # it was started again
        if self.listener.failure:
            raise self._failure()
        if code != 0:
            raise self._dead()
        raise self.error(ImageError, f"the machine went off or restarted by itself{self._where()}")

    def error(self, kind: type[HarnessError], message: str, *, details: str = "", hint: str = "") -> HarnessError:
        """Return an error that shows the guest's last words, the transcript's path and the command to repeat it."""
        said = self.process.words()
        parts = [
            details,
            f"QEMU said: {said}" if said else "",
            f"the console's last lines:\n{self.console.last_lines()}".rstrip(),
            f"transcript: {self.transcript}",
            f"to repeat it: {self.by_hand}",
        ]
        name = f"{self.image.name} on {self.machine.name}"
        return kind(f"{name}: {message}", details="\n".join(filter(None, parts)), hint=hint)

    def close(self) -> None:
        """End QEMU and let go of everything. The transcript and ``record.json`` stay."""
        with self._turn:
            self._ended = True
            self.running.close()
        self.console.close()
        self.listener.transcript.close()
        (self.options.out / "record.json").write_text(self.record.dumps())

    def _find(self, name: str, after: int) -> Milestone | None:
        return next((mark for mark in self.listener.milestones[after:] if mark.name == name), None)

    def _wait(self, come: Callable[[], T | None], what: str, timeout: float | None) -> T:
        limit = (self.options.timeout if timeout is None else timeout) * self.options.timeout_multiplier
        deadline = time.monotonic() + limit
        while True:
            with self.console.changed:
                found = None if self.listener.failure else come()
                if found is None and not self._lost() and time.monotonic() < deadline:
                    self.console.changed.wait(min(TICK_S, max(0.0, deadline - time.monotonic())))
                    continue
            if found is not None:
                return found
            if self.process.poll() is not None and not self.listener.failure:
                self._hear_out()
                if (found := come()) is not None:
                    return found
            self.check()
            if time.monotonic() >= deadline:
                raise self._late(what, limit)

    def _lost(self) -> bool:
        return bool(self.listener.failure or self.console.error) or self.process.poll() is not None

    def _hear_out(self) -> None:
        """Wait until all is heard that the QEMU of this moment has said; another may have been started then."""
        process = self.process
        with self.console.changed:
            self.console.changed.wait_for(lambda: self.console.ended or self.process is not process, DRAIN_S)

    def _ask(self, question: Callable[[Qmp], T]) -> T:
        """Ask QEMU's monitor, and nobody starts another QEMU meanwhile."""
        try:
            with self._turn:
                if self.running.qmp is None:
                    raise UserError("an exact boot takes no events from outside", hint="boot in wall mode")
                return question(self.running.qmp)
        except MachineError:
            self.process.wait(SETTLE_S)
            self.check()  # a QEMU that died says more than its silent monitor
            raise

    def _boots(self) -> int:
        return sum(mark.name == FIRST for mark in self.milestones)

    def _again(self) -> Source | None:
        """Start a fresh QEMU when a reset has ended this one.

        One that resets its machine runs on over memory that has held code, which TCG pays for with seconds to minutes.
        """
        with self._turn:
            old = self.running
            if self._ended or not self.options.reboot or old.process.wait(DRAIN_S) != 0:
                return None
            if old.qmp is None or not old.qmp.ended_by_reset():
                return None
            forwards = tuple((outside, inside) for inside, outside in self.forwards.items()) or self.launch.forwards
            old.close()
            self.running = new = run_qemu(replace(self.launch, forwards=forwards), self.options.out)
            try:
                if new.qmp:
                    new.qmp.greet()
            except MachineError:
                if new.process.wait(SETTLE_S) is None:
                    new.source.close()
                    raise
                # else it has died: the end of its console is heard next, and its own words are told
            if self.probe and new.probe:
                self.probe.attach(new.probe)
        return new.source

    def _late(self, what: str, limit: float) -> HarnessError:
        heard = self.listener.heard_s
        if heard is None:
            return self.error(
                ImageError,
                f"no {what}: nothing was heard for {limit:g} s",
                hint=f"is {self.machine.console} this machine's console, and the kernel one for {self.machine.arch}?",
            )
        silent = max(0.0, self.clock() - heard)
        return self.error(
            ImageError,
            f"no {what} within {limit:g} s{self._where()}; nothing was heard for the last {silent:.1f} s",
            details=self.listener.finder.awaited,
        )

    def _failure(self) -> HarnessError:
        # its last words come after the first bad one
        quiet = time.monotonic() + SETTLE_S
        with self.console.changed:
            while not self.console.ended and (left := quiet - time.monotonic()) > 0:
                self.console.changed.wait(left)
        failure = self.listener.failure
        assert failure is not None
        return self.error(ImageError, f"{failure.what}{self._where()}: {failure.words}")

    def _dead(self) -> HarnessError:
        code = self.process.poll() or 0
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        return self.error(MachineError, f"QEMU {how}{self._where()}")

    def _where(self) -> str:
        marks = self.milestones
        return f" after {marks[-1].name!r}" if marks else " before its first mark"

    def _troubles(self) -> str:
        rows = [mark for mark in self.milestones if mark.name.endswith(TROUBLE)]
        return "\n".join(f"  {row.name} {' '.join(f'{k}={v}' for k, v in row.values.items())}".rstrip() for row in rows)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
