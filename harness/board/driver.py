"""A board as a driver: reserved, given its image, switched on, answered at its boot loader, and switched off."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.board import deploy, pool, proof
from harness.board.connection import Connection
from harness.board.consoles import open_console
from harness.board.deploy import BootFiles, Deployment
from harness.board.faults import LoaderRefusedError
from harness.board.guard import guarded
from harness.board.kernelform import wants_unpacked
from harness.board.labgrid import release_argv, resolved
from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue, filled
from harness.board.locks import Claim
from harness.board.power import Switch
from harness.board.shells import PerLife, Rooted
from harness.board.source import BoardSource
from harness.board.ssh import SshShell
from harness.errors import HarnessError, UserError
from harness.image import Bootable
from harness.spec.models.base import Login
from harness.spec.models.board import Board, reached
from harness.spec.models.machine import MachineSpec
from harness.store import file_digest
from harness.system import host
from harness.system.channels import ConsoleSource
from harness.system.cmdline import cmdline as whole_cmdline
from harness.system.driver import Booted, Prepared, expected
from harness.system.frames import Frame
from harness.system.login import log_in
from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.record import BootRecord
from harness.system.shell import Shell

PROBE_WORD = "harness.probe=console"  # asks the probe for a root shell on the console
TICK_S = 0.1
FOLDER = "deploy"
GUARD_LOG = "guard.log"
BEFORE = "before.txt"  # what the console said before power-on, or before kexec
SSH = 22
SILENT = "its console is silent since power-on (is it the right line, and the power on?)"
UNANSWERED = "nothing has answered over SSH since power-on, and without a console nobody knows how far it came"
UNSTARTED = "its boot loader was answered to the end, and no kernel has said a word since"
NO_KERNEL = "what its console says is no kernel's word: its boot loader has started none"
GETTY = "getty"
# from a container of ours with the host's process ids and every capability
OUT_OF_CONTAINER = "/usr/bin/busybox nsenter -t 1 -m"


class BoardDriver:
    """A board with its console open; switched on by `meet`."""

    starts = 1  # its console stays the same

    def __init__(self, bench: Deployment, files: BootFiles, line: ConsoleLine, switch: Switch, probed: bool) -> None:
        self._bench, self._files, self._line, self._switch, self._probed = bench, files, line, switch, probed
        line.mute()  # until power-on
        self._asked_s, self._answered_s = time.monotonic(), 0.0  # the switch's; 0: it has not answered yet
        self.facts: dict[str, str | int | float] = {}
        self._is_on = False
        self._shell: Shell | None = None
        self.by_hand = ""
        self.forwards: Mapping[int, tuple[str, int]] = {}

    @property
    def awaited(self) -> str:
        """What the board has still to do before its image has a word."""
        if not self._line.heard:
            return UNANSWERED if self._bench.board.console.log else SILENT
        if not self._line.kernel:
            return self._line.dialogue.awaited or (UNSTARTED if self._bench.board.loader else NO_KERNEL)
        return self._line.dialogue.awaited

    def open(self) -> ConsoleSource:
        """Return its console."""
        return self._line

    def clock(self) -> float:
        """Return the seconds since power-on: the switch's answer, or the board's first byte if that came before.

        What the switch took to answer is not part of it. Neither moves once a byte was heard: no mark's time does.
        """
        return time.monotonic() - self._on_s

    @property
    def _on_s(self) -> float:
        known = [moment for moment in (self._line.first_s, self._answered_s) if moment]
        return min(known, default=self._asked_s)

    def frames(self) -> Sequence[Frame]:
        """Return none: nobody writes down what a board sends."""
        return ()

    def timed(self, marks: list[Milestone]) -> list[Milestone]:
        """Say of each milestone what the console's line took of its time; keep the other moments among the facts.

        ``switch_s`` is what the switch took; since power-on: ``first_byte_s``, ``loader_left_s`` (the dialogue was
        over), ``kernel_zero_s`` (its clock's).
        """
        if self._answered_s:
            self.facts["switch_s"] = round(self._answered_s - self._asked_s, 6)
        moments = {
            "first_byte_s": self._line.first_s,
            "loader_left_s": self._line.left_s,
            "kernel_zero_s": self._line.wire.zero_s(self._on_s),
        }
        self.facts.update({name: round(at - self._on_s, 6) for name, at in moments.items() if at is not None})
        return self._line.wire.timed(marks, self._on_s)

    def meet(self) -> None:
        """Switch it on and make it start the image."""
        self._switch.off()
        time.sleep(self._bench.board.power.pause)
        self._is_on = True  # whatever becomes of it
        self._begin()
        if self._bench.board.deploy.kexec:
            self._line.mute()  # to the system that is there first
        self._switch.on()
        self._answered_s = time.monotonic()
        if self._bench.board.deploy.kexec:
            deploy.kexec(self._bench, self._files)
            self._begin(dialogue=False)

    def again(self) -> ConsoleSource | None:
        """Return None: the console ends when the board is off."""
        return None

    def poll(self) -> int | None:
        """Return 0 once it is off."""
        return 0 if self._line.off else None

    def wait(self, timeout: float) -> int | None:
        """Wait until it is off."""
        end = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < end:
            time.sleep(TICK_S)
        return self.poll()

    def death(self, code: int) -> str:
        """Say that it is off, for a board has no other end."""
        return "the board went off"

    def words(self) -> str:
        """Return nothing: all that a board says is on its console."""
        return ""

    def screen(self) -> Path | None:
        """Return None: nobody looks at a board's screen."""
        return None

    def press(self) -> bool:
        """Return False: a board's power is cut."""
        return False

    def reset(self) -> None:
        """Switch it off and on."""
        self._line.mute()
        self._switch.cycle(self._line.begin)

    def off(self) -> None:
        """Switch it off."""
        self._line.off = True
        if self._is_on:
            self._is_on = False
            self._switch.off()

    def close(self) -> None:
        """Leave it as `after` says."""
        if self._bench.board.after == "off":
            self.off()
            return
        self._line.off = True
        if not self._is_on:
            self._switch.on()

    def shell(self, system: Booted) -> Shell | None:
        """Return the shell over SSH, of a login on the console, or of the probe there: the first that there is."""
        if self._shell is None:
            self._shell = self._make(system)
        return self._shell

    def prove(self, system: Booted) -> None:
        """Compare the digest of the running root with the built one's; nothing to compare where there is no shell.

        LoaderRefusedError where the dialogue with the boot loader did not come to its end, whatever came up.
        """
        if self._line.dialogue.awaited:
            raise LoaderRefusedError(
                f"{system.machine.name} came up, and what it booted is not known: {self._line.dialogue.awaited}",
                hint="see `loader` in the machine's YAML",
            )
        if system.image.manifest and (shell := self.shell(system)):
            proof.prove(shell, system.image.manifest, system.machine.name)

    def _make(self, system: Booted) -> Shell | None:
        board, many, ours = self._bench.board, system.options.timeout_multiplier, bool(system.image.manifest)

        def life() -> object:
            # on its way down it answers nothing: what is still typed would be shown amid the next boot's marks
            return (system.boots(), system.exits(gettys(system.image)), system.downs())

        def logged_in() -> Shell:
            if board.login is not None:
                log_in(system.console, with_password(board.login), system.check, many)
            shell = system.console_shell(life)
            return Rooted(shell, f"{OUT_OF_CONTAINER} /bin/sh -c {{command}}") if ours else shell

        if board.ssh is not None and serves_ssh(system.image):
            enter = OUT_OF_CONTAINER if ours else ""
            shell = SshShell(Connection(board.ssh, self._bench.base), system.check, many, enter)
            self._bench.stack.callback(shell.close)
            return shell
        if self._probed:
            return Rooted(system.console_shell())
        if board.login is not None or gettys(system.image):
            return PerLife(logged_in, life)
        return None

    def _begin(self, *, dialogue: bool = True) -> None:
        self._line.begin(dialogue=dialogue)
        self._line.first_s, self._line.left_s = None, None
        self._asked_s, self._answered_s = time.monotonic(), 0.0


def serves_ssh(image: Bootable) -> bool:
    """Say whether a booted image can be expected to let somebody in over SSH; nothing is known of a foreign OS."""
    if not image.manifest:
        return True
    return any(SSH in row["ports"] for row in image.expect["services"].values())


def with_password(login: Login) -> Login:
    """Return the login with its password from the environment; UserError when it is not there."""
    if login.password_env is None:
        return login
    password = os.environ.get(login.password_env)
    if password is None:
        raise UserError(f"the password of {login.user} is not in the environment", hint=f"set {login.password_env}")
    return login.model_copy(update={"password": password})


def prepare(image: Bootable, machine: MachineSpec, options: BootOptions, stack: ExitStack) -> Prepared:
    """Bring `image` to a board and open its console; `stack` switches it off.

    Raises UserError, HostError or MachineError: see `open_console` and `deploy.bring`.
    """
    stack.enter_context(pool.held(machine, what=image.name))
    claim = pool.claimed(machine)
    last = release_argv(machine)
    machine = stack.enter_context(resolved(machine, left=claim.left))
    board = machine.board
    assert board is not None
    if options.forwards and not board.address:
        raise UserError(f"{machine.name} has no `address` at which its services are reached")
    if options.published:
        raise UserError(f"{machine.name} is a board: its ports are at its own address", hint="--forward says where")
    switch = Switch(board.power, machine.path.parent, machine.name)
    if claim.left:  # on, perhaps: and what is brought to it is not to meet what still runs there
        switch.off()
    probed = options.probe and not board.deploy.installed and not _other_shell(board, image)
    if board.console.log and not serves_ssh(image):
        raise UserError(f"{machine.name} has no console, and {image.name} no SSH server: nothing would be heard of it")
    options.out.mkdir(parents=True, exist_ok=True)
    words = (*options.append, *((PROBE_WORD,) if probed else ()))
    cmdline = whole_cmdline(image.cmdline, machine, words, mode="wall", probe=probed)
    bench = Deployment(board, machine.path.parent, options.out, stack)
    files = _files(image, cmdline, bench, probed=probed)
    deploy.equip(bench, files, image.arch.name)
    files = deploy.bring(bench, files)
    source = _console(machine, files, options.out)
    dialogue = Dialogue(board.loader, files.names)
    line = ConsoleLine(
        source,
        dialogue,
        restarts=options.reboot,
        baud=board.console.speed,
        typing=board.typing,
        limits=board.limits,
        before=options.out / BEFORE,
    )
    driver = BoardDriver(bench, files, line, switch, probed)
    stack.enter_context(guarded(machine, claim, options.out / GUARD_LOG, last))
    stack.enter_context(_left_as_said(driver, claim))
    driver.by_hand = f"harness boot {image.path} -m {machine.path}"
    driver.forwards = {port: reached(board, port) for port in options.forwards}
    blank = _blank(image, machine, cmdline, probed)
    driver.facts = blank.host
    return Prepared(driver, blank, {"board": machine.description or machine.name})


@contextmanager
def _left_as_said(driver: BoardDriver, claim: Claim) -> Iterator[None]:
    """Leave the board as its YAML says; where that fails, whoever has it next is told that it may be on.

    What went wrong in the block is told before what goes wrong then.
    """
    try:
        yield
    except BaseException as error:
        try:
            driver.close()
        except HarnessError as second:
            claim.on = True
            if isinstance(error, HarnessError):
                error.details = "\n".join(filter(None, (error.details, f"then: {second.message}")))
        raise
    try:
        driver.close()
    except HarnessError:
        claim.on = True
        raise


def _console(machine: MachineSpec, files: BootFiles, out: Path) -> BoardSource:
    assert machine.board is not None
    console = machine.board.console
    if console.command:
        words = tuple(filled(word, files.names) for word in console.command)
        console = console.model_copy(update={"command": words})
    return open_console(console, machine.path.parent, out, machine.board.ssh)


def _other_shell(board: Board, image: Bootable) -> bool:
    return board.login is not None or bool(gettys(image)) or (board.ssh is not None and serves_ssh(image))


def gettys(image: Bootable) -> set[str]:
    """Return the services of an image of ours that wait for a person on its console: what is typed goes to them."""
    rows = image.manifest.get("components", [])
    return {row["name"] for row in rows if row["reference"] == GETTY}


def _files(image: Bootable, cmdline: str, bench: Deployment, *, probed: bool) -> BootFiles:
    parts = image.parts
    segments = [part for part in (parts.initrd, parts.probe if probed else None) if part]
    bench.stack.callback(shutil.rmtree, bench.out / FOLDER, ignore_errors=True)
    unpack = wants_unpacked(bench.board)
    return deploy.gather(parts.kernel, segments, cmdline, bench.out / FOLDER, bench.base, unpack=unpack)


def _blank(image: Bootable, machine: MachineSpec, cmdline: str, probed: bool) -> BootRecord:
    return BootRecord(
        image=image.name,
        arch=image.arch.name,
        foreign=bool(image.milestones),
        machine=machine.name,
        mode="wall",
        probed=probed,
        accel="none",
        accel_reason="a board",
        argv=(),
        cmdline=cmdline,
        cpu="",
        machine_type=machine.name,
        qemu_version="",
        host=host.facts(),
        expected=expected(image),
        inputs={name: file_digest(path) for name, path in image.parts.shipped.items() if name in ("kernel", "initrd")},
    )
