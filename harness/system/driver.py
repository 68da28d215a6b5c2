"""What makes a machine run, as far as a System must know: QEMU and a board are two drivers behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.image import OWN_INIT, Bootable
from harness.spec.models.machine import MachineSpec
from harness.system.channels import ConsoleSource
from harness.system.console import Console
from harness.system.frames import Frame
from harness.system.milestones import Milestone
from harness.system.options import BootOptions
from harness.system.record import BootRecord
from harness.system.shell import Shell


class Booted(Protocol):
    """What a driver sees of the System that it runs: `System` is one."""

    @property
    def image(self) -> Bootable:
        """What was booted."""

    @property
    def machine(self) -> MachineSpec:
        """What it runs on."""

    @property
    def options(self) -> BootOptions:
        """How it was booted."""

    @property
    def console(self) -> Console:
        """Its console."""

    def check(self) -> None:
        """Raise what ended the boot, when something has."""

    def boots(self) -> int:
        """Return how often the image has begun to boot."""

    def downs(self) -> int:
        """Return how often the image has begun to go down."""

    def exits(self, services: Collection[str]) -> int:
        """Return how often one of these services has ended."""

    def console_shell(self, life: Callable[[], object] | None = None) -> Shell:
        """Return a shell over the console itself, one in each `life`."""


class Driver(Protocol):
    """A machine's console, power and shell. Errors: MachineError when it fails as a machine."""

    @property
    def starts(self) -> int:
        """How often it was started: each start has a console of its own."""

    @property
    def forwards(self) -> Mapping[int, tuple[str, int]]:
        """The guest's TCP ports, to the address and port at which this host reaches each."""

    @property
    def by_hand(self) -> str:
        """The shell command with which a person repeats the boot."""

    @property
    def awaited(self) -> str:
        """What the machine itself has still to do before a silent image is to blame; empty when nothing."""

    def open(self) -> ConsoleSource:
        """Return the console of the first start; heard before the machine is on."""

    def clock(self) -> float:
        """Return the seconds since power-on."""

    def frames(self) -> Sequence[Frame]:
        """Return the frames that the guest has sent since this was last asked; none where nobody writes them down."""

    def timed(self, marks: list[Milestone]) -> list[Milestone]:
        """Return the milestones, each with what the way to this host took of its time where that is known."""

    def meet(self) -> None:
        """See that the machine is on, and learn of it what only a running one tells."""

    def again(self) -> ConsoleSource | None:
        """Return the console of the next start when a reset has ended this one; None when it is off for good."""

    def poll(self) -> int | None:
        """Return None while it is on, 0 when it has gone off as a machine should, another code when it died."""

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds until it is off; return what `poll` does."""

    def death(self, code: int) -> str:
        """Return what such a code other than 0 means: who ended, and how."""

    def words(self) -> str:
        """Return what the machine itself, not its image, has said last, in one sentence; empty when nothing."""

    def screen(self) -> Path | None:
        """Return a picture of what its image shows on a screen, made once more if need be; None where there is none."""

    def press(self) -> bool:
        """Press the power button, which the image may heed; say whether there is one."""

    def reset(self) -> None:
        """Press the reset button."""

    def off(self) -> None:
        """Take the power away; nothing starts it again."""

    def shell(self, system: Booted) -> Shell | None:
        """Return the shell that this boot has besides a login on its console; None when it has none."""

    def prove(self, system: Booted) -> None:
        """See that what runs is the image that was to be booted; MachineError naming both when it is another."""

    def close(self) -> None:
        """Take the power away and let go of everything but the console's source, which is its reader's to close."""


def expected(image: Bootable) -> dict[str, tuple[str, ...]]:
    """Return the names of the containers whose steps an image's init marks, by section, for its record.

    They are those that it declares; {} where another init than the harness's own runs them, as in a foreign OS: what
    that one writes before ``ready`` is its own affair.
    """
    if image.milestones or image.manifest.get("init", OWN_INIT) != OWN_INIT:
        return {}
    return {part: tuple(names) for part, names in image.expect.items()}


@dataclass(frozen=True)
class Prepared:
    """A machine that is ready to be started, or has been; `blank` is its boot's record so far."""

    driver: Driver
    blank: BootRecord
    facts: Mapping[str, str] = field(default_factory=dict)  # for the transcript's head
