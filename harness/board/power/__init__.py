"""A board's power: on, off, both in turn, and always off when its block is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from harness.board.faults import SwitchError
from harness.board.power import command
from harness.errors import HarnessError, MachineError
from harness.spec.models.power import BoardPower

T = TypeVar("T")
POLL_S = 0.5


@dataclass(frozen=True)
class Way:
    """A kind of switch: one function that puts it on (True) or off, one that says how it stands (None: unknown)."""

    put: Callable[[Any, Path, bool], None]
    get: Callable[[Any, Path], bool | None]


# a labgrid place switches itself: harness/board/labgrid.py
WAYS = tuple(name for name in BoardPower.one_of if name != "labgrid")


def way_called(name: str) -> Way:
    """Return the kind of switch that a key of `power` names: the module of that name in this folder."""
    module = import_module(f"{__name__}.{name}")
    return Way(module.put, module.get)


class Switch:
    """The power switch of one board.

    Every method raises SwitchError when the switch fails, MachineError when the board is not as it was told to be,
    HostError when a program for it is missing, UserError when a secret is not in the environment.
    """

    def __init__(self, power: BoardPower, base: Path, name: str = "the board") -> None:
        """`base` is the folder of the machine's YAML, `name` the machine's."""
        self.way = next(way for way in WAYS if getattr(power, way))
        self._switch = way_called(self.way)
        self._name, self._base, self._power = name, base, power
        self._spec: Any = name if self.way == "manual" else getattr(power, self.way)

    def on(self) -> None:
        """Switch on, and see that it is where that can be asked."""
        self._put(True)

    def off(self) -> None:
        """Switch off, and see that it is where that can be asked."""
        self._put(False)

    def cycle(self, between: Callable[[], None] = lambda: None) -> None:
        """Switch off and on; `between` is called while it is off, or before where one program does both."""
        if self.way == "command" and self._spec.cycle:
            between()
            self._tell(lambda: command.cycle(self._spec, self._base), "power-cycled")
            return
        self.off()
        time.sleep(self._power.pause)
        between()
        self.on()

    def status(self) -> bool | None:
        """Say whether it is on; None where that cannot be asked."""
        return self._tell(lambda: self._switch.get(self._spec, self._base), "asked for its power")

    def _put(self, on: bool) -> None:
        what = "on" if on else "off"
        self._tell(lambda: self._switch.put(self._spec, self._base, on), f"switched {what}")
        end = time.monotonic() + self._power.confirm
        while (now := self.status()) is not None and now != on:
            if time.monotonic() >= end:
                raise MachineError(
                    f"{self._name} was switched {what} but still says it is {'on' if now else 'off'}",
                    hint=f"is it the right outlet or controller? see `power.{self.way}` in the machine's YAML",
                )
            time.sleep(POLL_S)

    def _tell(self, action: Callable[[], T], what: str) -> T:
        told = command.limit_s.set(self._power.timeout)
        try:
            return action()
        except MachineError as error:
            raise SwitchError(
                f"{self._name} cannot be {what}: {error.message}", hint=error.hint, details=error.details
            ) from error
        finally:
            command.limit_s.reset(told)


@contextmanager
def powered(switch: Switch) -> Iterator[Switch]:
    """Give the switch, and put it off when the block is left, however.

    What went wrong in the block is told before what goes wrong with switching off.
    """
    try:
        yield switch
    except BaseException as error:
        try:
            switch.off()
        except HarnessError as second:
            if isinstance(error, HarnessError):
                error.details = "\n".join(filter(None, (error.details, f"then: {second.message}")))
        raise
    switch.off()
