"""A machine that runs an image: its console, its shell, its power, and the record of its boot."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from harness.errors import HarnessError, ImageError, MachineError, UserError
from harness.files import write
from harness.image import Bootable, end_of
from harness.spec.models.machine import MachineSpec
from harness.system import marks, stalecode
from harness.system.console import Console
from harness.system.consoleshell import ConsoleShell
from harness.system.driver import Driver
from harness.system.folder import BootFolder
from harness.system.listener import READY, Listener
from harness.system.login import log_in
from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.record import BootRecord, completed
from harness.system.shell import Shell, ShellDeadError

T = TypeVar("T")
TICK_S = 0.2  # how often the machine is looked at while nothing is heard
SETTLE_S = 0.5  # how long a dying kernel may finish its words
OOPS_LINES = 80  # which they and what came with them may have
# not every shell's own poweroff is heeded by systemd
FOREIGN_OFF = "systemctl poweroff || poweroff"
BUTTON_S = 30.0  # for a system to power off once its button is pressed
PRESS_S = 2.0  # until it is pressed again, where nothing shows that it was heard
DRAIN_S = 10.0  # for what a machine that is off had said to be read
LOOPBACK = "127.0.0.1"
FIRST = "init"  # the first mark of every boot
DOWN = "shutdown"  # the first mark of its way down
UNREADY = "unready"
FATAL = (" failed", " timeout", "unready")
TROUBLE = (*FATAL, " exited")
RESTARTED = "reboot: Restarting system"  # the kernel's last words


@dataclass
class System:
    """A started machine. Made by `boot`, which also ends it. Waiting fails at once when image or machine is lost.

    Errors: ImageError for what the image did (panic, oops, unready, silence, off too early), MachineError for what
    QEMU or the board did.
    """

    image: Bootable
    machine: MachineSpec
    options: BootOptions
    driver: Driver
    listener: Listener
    blank: BootRecord  # what was known before the boot

    def __post_init__(self) -> None:
        self._on_console: ConsoleShell | None = None
        driver = self.driver
        self.console = Console(driver.open(), self.listener, driver.clock, driver.again, driver.frames)

    def meet(self) -> None:
        """See that the machine is on; MachineError with its words when it is not."""
        self._told(self.driver.meet)

    @property
    def alive(self) -> bool:
        """Whether it is on and its image is not lost."""
        return self.driver.poll() is None and self.listener.failure is None

    @property
    def forwards(self) -> dict[int, int]:
        """The guest's TCP ports to those of 127.0.0.1 that lead there; empty where the machine has its own address."""
        return {inside: port for inside, (address, port) in self.driver.forwards.items() if address == LOOPBACK}

    @property
    def argv(self) -> list[str]:
        """QEMU's command line as it was started; empty on a board."""
        return list(self.blank.argv)

    @property
    def transcript(self) -> Path:
        """The file with every console line and its time."""
        return self.listener.transcript.path

    @property
    def shell(self) -> Shell:
        """The machine's own shell (a probed boot's, say), or a login's on the console; MachineError without either."""
        if (own := self.driver.shell(self)) is not None:
            return own
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

    def console_shell(self, life: Callable[[], object] | None = None) -> ConsoleShell:
        """Return a shell over the console itself, where a root shell is shown: one in each `life`, or boot."""
        return ConsoleShell(self.console, self.check, self.options.timeout_multiplier, life or self.boots)

    def boots(self) -> int:
        """Return how often the image has begun to boot."""
        return sum(mark.name == FIRST for mark in self.milestones)

    def downs(self) -> int:
        """Return how often the image has begun to go down."""
        return sum(mark.name == DOWN for mark in self.milestones)

    def exits(self, services: Collection[str]) -> int:
        """Return how often one of these services has ended."""
        ends = {f"services/{name} exited" for name in services}
        return sum(mark.name in ends for mark in self.milestones)

    @property
    def milestones(self) -> list[Milestone]:
        """The marks so far, in order; of every boot when the machine has been restarted."""
        with self.console.changed:
            return list(self.listener.milestones)

    @property
    def record(self) -> BootRecord:
        """The boot so far."""
        with self.console.changed:
            witness = tuple(self.listener.witness)
        whole, ready = self.listener.sha256, self.listener.sha256_ready
        blank = replace(self.blank, console_sha256=whole, console_sha256_ready=ready)
        return completed(blank, self.driver.timed(self.milestones), witness)

    def judge(self) -> None:
        """See that the marks so far can be true (`marks.complaints`); ImageError with the guest's last words."""
        if found := marks.complaints(self.record):
            raise self.error(ImageError, marks.message(found[0]), details="\n".join(found[1:]), hint=marks.HINT)

    def wait_for(self, mark: str, timeout: float | None = None, *, after: int = 0) -> Milestone:
        """Wait for the mark called `mark` past the first `after` milestones; `timeout` in s (None: ready's)."""
        return self._wait(lambda: self._find(mark, after), f"mark {mark!r}", timeout)

    def wait_ready(self, timeout: float | None = None, *, after: int = 0) -> Milestone:
        """Wait for `ready`; an ImageError naming what failed when the boot comes to `unready` instead."""

        def come() -> Milestone | None:
            if self._find(UNREADY, after):
                raise self.error(ImageError, "the boot came to its end unready", details=self._troubles())
            return self._find(READY, after)

        ready = self._wait(come, "ready", timeout)
        self.judge()
        return ready

    def wait_off(self, timeout: float | None = None) -> None:
        """Wait until the machine is off, and has gone off well."""

        def off() -> int | None:
            return self.driver.poll() if self.console.ended else None

        if self._wait(off, "power-off", timeout) != 0:
            raise self._dead()
        if self.listener.failure:
            raise self._failure()

    def wait_end(self, timeout: float | None = None) -> None:
        """Wait for the end that the image's YAML expects: `ready`, or off by itself; ImageError for any other one.

        What it expects on the console must be there by then.
        """
        if end_of(self.image).end == "ready":
            self.wait_ready(timeout)
        else:
            self.wait_off(timeout)
            self.judge()
            if troubles := self._troubles(fatal=True):
                raise self.error(ImageError, "it switched itself off, but not all went well", details=troubles)
            if RESTARTED in self.console.last_lines():
                raise self.error(ImageError, "it restarted, where its YAML expects that it switches itself off")
        if missing := list(self.listener.missing.values()):
            raise self.error(ImageError, f"its console never showed {missing[0]!r}, as its YAML expects")

    def power_off(self, timeout: float = 60) -> bool:
        """Power off, and wait until it is off; say whether it went off cleanly.

        Through the shell where there is one; where there is none, or a foreign OS ignores it, by the machine's button;
        else at once: nothing hears the button before the boot has come to its end.
        """
        wall, driver = self.options.mode == "wall", self.driver
        own = driver.shell(self)
        if driver.poll() is None and (own is not None or (self.image.login and wall)):
            try:
                self.shell.run("poweroff" if own else FOREIGN_OFF, 10)
            except ShellDeadError:
                pass  # it may be gone before it can answer; whether it is off is seen below
            except (ImageError, MachineError):
                if driver.poll() is None:
                    raise
            if own is not None or driver.wait(timeout * self.options.timeout_multiplier) is not None:
                self.wait_off(timeout)
        booted = self.image.milestones or any(mark.name in ("ready", "unready") for mark in self.milestones)
        if driver.poll() is None and booted and wall and self._told(driver.press):
            self._wait_pressed(BUTTON_S * self.options.timeout_multiplier)
        clean = driver.poll() == 0
        driver.off()
        self._hear_out()
        return clean

    def _wait_pressed(self, timeout: float) -> None:
        """Wait until it is off. Ours listens from just after `ready` on: a press that was too early is repeated."""
        downs, end = self.downs(), time.monotonic() + timeout
        while not self.image.milestones and self.downs() <= downs and time.monotonic() < end:
            if self.driver.wait(min(PRESS_S, timeout)) is not None:
                return
            if self.downs() <= downs:
                self._told(self.driver.press)
        self.driver.wait(max(0.0, end - time.monotonic()))

    def reboot(self) -> None:
        """Let the system restart itself; wait with ``after=len(system.milestones)`` taken before."""
        with suppress(ShellDeadError):  # it may be gone before it can answer; whether it restarts is waited for
            self.shell.run("reboot")

    def reset(self) -> None:
        """Press the reset button; wait with ``after=len(system.milestones)`` taken before."""
        if not self.options.reboot:
            raise UserError("this boot ends at a reset", hint="boot with BootOptions(reboot=True)")
        self._told(self.driver.reset)

    def prove(self) -> None:
        """See that what runs is the image that was to be booted; MachineError naming both when it is another."""
        self.driver.prove(self)

    def reach(self, port: int) -> tuple[str, int]:
        """Return the address and port at which this host reaches a TCP port of the guest; KeyError: none was asked."""
        return self.driver.forwards[port]

    def interact(self) -> bool:
        """Give the console to the person at the terminal until Ctrl-] or power-off; any other end is an error.

        Returns True when the person left it, False when the machine went off.
        """
        from harness.system.interact import interact

        left = interact(self.console)
        if not left:
            self.wait_off()
        elif self.listener.failure:
            raise self._failure()
        return left

    def check(self) -> None:
        """Raise what makes any further waiting vain: a failure of the guest, a machine that is off."""
        if self.listener.failure:
            raise self._failure()
        if self.console.error:
            raise self.console.error
        starts = self.driver.starts
        code = self.driver.poll()
        if code is None:
            return
        self._hear_out()
        if self.driver.starts != starts:
            return  # it was started again
        if self.listener.failure:
            raise self._failure()
        if code != 0:
            raise self._dead()
        raise self.error(ImageError, f"the machine went off or restarted by itself{self._where()}")

    def error(self, kind: type[HarnessError], message: str, *, details: str = "", hint: str = "") -> HarnessError:
        """Return an error that shows the guest's last words, the transcript's path and the command to repeat it."""
        parts = [
            details,
            self.driver.words(),
            f"the console's last lines:\n{self.console.last_lines()}".rstrip(),
            f"transcript: {self.transcript}",
            f"to repeat it: {self.driver.by_hand}",
        ]
        name = f"{self.image.name} on {self.machine.name}"
        return kind(f"{name}: {message}", details="\n".join(filter(None, parts)), hint=hint)

    def close(self) -> None:
        """Take the power away and let go of everything. The transcript and ``record.json`` stay."""
        try:
            self.driver.close()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self.console.close()
        self.listener.transcript.close()
        write(BootFolder(self.options.out).record, self.record.dumps())

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
            if self.driver.poll() is not None and not self.listener.failure:
                self._hear_out()
                if (found := come()) is not None:
                    return found
            self.check()
            if time.monotonic() >= deadline:
                raise self._late(what, limit)

    def _lost(self) -> bool:
        return bool(self.listener.failure or self.console.error) or self.driver.poll() is not None

    def _hear_out(self) -> None:
        """Wait until all is heard that the machine has said since this start; another may have begun then."""
        starts = self.driver.starts
        with self.console.changed:
            self.console.changed.wait_for(lambda: self.console.ended or self.driver.starts != starts, DRAIN_S)

    def _told(self, order: Callable[[], T]) -> T:
        """Give the machine an order; one that died says more of it than that it does not obey."""
        try:
            return order()
        except MachineError:
            self.check()
            raise

    def _late(self, what: str, limit: float) -> HarnessError:
        heard = self.listener.heard_s
        if self.driver.awaited and not self.milestones:
            return self.error(MachineError, f"no {what} within {limit:g} s: {self.driver.awaited}")
        shown = self.driver.screen() if self.image.milestones and not self.milestones else None
        picture = f"its screen: {shown}" if shown else ""
        if heard is None:
            return self.error(
                ImageError,
                f"no {what}: nothing was heard for {limit:g} s",
                details=picture,
                hint=f"is {self.machine.console} this machine's console, and the kernel one for {self.machine.arch}?",
            )
        silent = max(0.0, self.driver.clock() - heard)
        return self.error(
            ImageError,
            f"no {what} within {limit:g} s{self._where()}; nothing was heard for the last {silent:.1f} s",
            details="\n".join(filter(None, [self.listener.finder.awaited, picture])),
        )

    def _failure(self) -> HarnessError:
        # its last words come after the first bad one
        quiet = time.monotonic() + SETTLE_S
        with self.console.changed:
            while not self.console.ended and (left := quiet - time.monotonic()) > 0:
                self.console.changed.wait(left)
        failure = self.listener.failure
        assert failure is not None
        message = f"{failure.what}{self._where()}: {failure.words}"
        if stale := stalecode.suspected(self.blank, failure.words, self.console.last_lines(OOPS_LINES)):
            return self.error(MachineError, f"{message}: {stale}", hint=stalecode.HINT)
        return self.error(ImageError, message)

    def _dead(self) -> HarnessError:
        return self.error(MachineError, f"{self.driver.death(self.driver.poll() or 0)}{self._where()}")

    def _where(self) -> str:
        marks = self.milestones
        return f" after {marks[-1].name!r}" if marks else " before its first mark"

    def _troubles(self, *, fatal: bool = False) -> str:
        rows = [mark for mark in self.milestones if mark.name.endswith(FATAL if fatal else TROUBLE)]
        return "\n".join(f"  {row.name} {' '.join(f'{k}={v}' for k, v in row.values.items())}".rstrip() for row in rows)
