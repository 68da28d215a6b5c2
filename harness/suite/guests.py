"""The guests of one process: one shared system at a time, exact pairs made once, and boots of a case's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import HarnessError, ImageError, MachineError
from harness.hostfaults import explained
from harness.image import Bootable, Image
from harness.run.cells import Cell
from harness.run.run import RunSettings

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from harness.launch import ExactPair
    from harness.system import BootRecord, System

# Seconds; they bound what is lost, so they are generous: a passing run never waits for them.
WALL_S = 90.0
EXACT_S = 240.0
READY_S = 60.0  # in which a service is to be ready where its YAML does not say
NO_STEPS: Mapping[str, int] = MappingProxyType({})
GuestT = TypeVar("GuestT")


class SaidBeforeError(ImageError):
    """What a case depends on has failed for an earlier one, which tells how."""


class Guests:
    """Boots the guests that cases ask for, and tells the run's events of each."""

    def __init__(self, run: RunSettings) -> None:
        self.run = run
        self._shared: tuple[str, System, ExitStack] | None = None
        self._exact: dict[str, ExactPair] = {}
        self._failed: dict[tuple[str, str], HarnessError] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._up = 0  # guests of this process

    def system(self, cell: Cell) -> System:
        """Return the cell's shared system, at ready and with a shell; boots it when there is none."""
        if self._shared and (self._shared[0] != cell.id or not self._shared[1].alive):
            self.release()
        if self._shared is None:
            stack = ExitStack()
            try:
                system = self._once(cell, "wall", lambda: stack.enter_context(self._booted(cell, "wall")))
            except BaseException:
                stack.close()
                raise
            self._shared = (cell.id, system, stack)
        return self._shared[1]

    def release(self) -> None:
        """End the shared system, if there is one."""
        if self._shared:
            stack, self._shared = self._shared[2], None
            stack.close()

    def forget(self, cell: Cell) -> None:
        """End a cell's guest, and forget what has failed there: it is tried once more."""
        self.release()
        self._exact.pop(cell.id, None)
        for key in [key for key in self._failed if key[0] == cell.id]:
            del self._failed[key]

    def exact(self, cell: Cell) -> ExactPair:
        """Return the cell's pair of exact boots, made at the first call."""
        if cell.id not in self._exact:
            self.release()
            self._exact[cell.id] = self._once(cell, "exact", lambda: self._pair(cell))
        return self._exact[cell.id]

    @contextmanager
    def own(
        self, cell: Cell, *, image: Image | None = None, probe: bool = True, until: str = "ready", **options: Any
    ) -> Iterator[System]:
        """Boot a guest for one case; `until` is the mark it is handed over at ("" at once).

        `options` are more of `BootOptions`.
        """
        self.release()
        with self._booted(cell, "own", image=image, probe=probe, until=until, **{"reboot": False, **options}) as system:
            yield system

    def out(self, cell: Cell, what: str) -> Path:
        """Return a fresh folder for what a boot leaves behind."""
        base = self.run.folder.cell(cell.id)
        while True:
            number = self._numbers[cell.id, what] = self._numbers.get((cell.id, what), 0) + 1
            folder = base / (what if number == 1 else f"{what}-{number}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return folder

    def _once(self, cell: Cell, what: str, make: Callable[[], GuestT]) -> GuestT:
        """Make something; what failed once is not tried again, and the whole story is told once."""
        key = (cell.id, what)
        if key in self._failed:
            first = self._failed[key]
            error = SaidBeforeError(f"the {what} boot failed, see the first failed case of {cell.id}: {first.message}")
            error.whose, error.exit_code = first.whose, first.exit_code
            raise error
        try:
            with explained(self.run.folder.path):
                return make()
        except HarnessError as error:
            self._failed[key] = error
            self.run.events.tell("boot failed", cell=cell.id, what=what, message=error.message)
            raise

    @contextmanager
    def _slot(self, cell: Cell) -> Iterator[None]:
        """Wait for the right to have a guest up; a case that has one need not wait for its second, nor does a board."""
        if cell.spec.qemu is None:
            yield
            return
        with self.run.slot() if self._up == 0 else nullcontext():
            self._up += 1
            try:
                yield
            finally:
                self._up -= 1

    @contextmanager
    def _booted(
        self, cell: Cell, what: str, *, image: Image | None = None, probe: bool = True, until: str = "ready",
        **options: Any,
    ) -> Iterator[System]:  # fmt: skip
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        from harness.board.pool import equals, reserved
        from harness.launch import boot
        from harness.system import BootOptions

        failed_on: set[str] = set()

        def once(stack: ExitStack) -> System:
            spec = stack.enter_context(reserved(cell.spec, avoid=failed_on, what=f"{cell.id}, {what} boot"))
            failed_on.add(spec.name)  # unless this comes to its end
            if spec.name != cell.spec.name:
                self.run.events.tell("moved", cell=cell.id, what=what, machine=spec.name)
            probed = probe and (image or cell.built).parts.probe is not None
            how = BootOptions(
                mode="wall", out=self.out(cell, what), probe=probed, forwards=_ports(cell),
                timeout=_limit(image or cell.built), timeout_multiplier=self.run.patience,
                **{"reboot": True, **options, "append": tuple(options.get("append", ()))},
            )  # fmt: skip
            system = stack.enter_context(boot(image or cell.built, spec, how))
            if until == "ready":
                system.wait_end()
                system.prove()
            elif until:
                system.wait_for(until)
            return system

        def failed(state: RetryCallState) -> None:
            error = state.outcome and state.outcome.exception()
            self.run.events.tell("machine failed", cell=cell.id, what=what, attempt=state.attempt_number,
                                 message=str(error))  # fmt: skip

        # an image that fails is not tried again: that it did is the result
        tries = Retrying(
            stop=stop_after_attempt(cell.spec.tries * len(equals(cell.spec))),
            retry=retry_if_exception_type(MachineError),
            before_sleep=failed,
            reraise=True,
        )
        with self._slot(cell), ExitStack() as kept:
            self.run.events.tell("booting", cell=cell.id, what=what)
            for attempt in tries:
                with attempt, ExitStack() as stack:
                    system = once(stack)
                    kept.push(stack.pop_all())
            self._tell(cell, what, system.record)
            yield system

    def _pair(self, cell: Cell) -> ExactPair:
        from harness.launch import exact_pair

        with self._slot(cell):
            self.run.events.tell("booting", cell=cell.id, what="exact")
            pair = exact_pair(
                cell.built, cell.spec, self.out(cell, "exact"), timeout=EXACT_S, timeout_multiplier=self.run.patience
            )
            steps = self._steps(cell) if self.run.explain else {}
        self._tell(cell, "exact", pair.first, steps, repeats=pair.repeats, moved=pair.moved)
        return pair

    def _steps(self, cell: Cell) -> dict[str, int]:
        from harness.suite.steps import step_figures, traced_boot

        self.run.events.tell("booting", cell=cell.id, what="steps")
        out, patience = self.out(cell, "steps"), self.run.patience
        try:
            _, found = traced_boot(cell.built, cell.spec, out, timeout=EXACT_S, multiplier=patience)
        except ImageError as error:  # a kernel that cannot trace: its phases are known, and its services' own time
            self.run.events.tell("note", text=f"{cell.id}: who had the processor is not known: {error.message}")
            return {}
        return step_figures(found)

    def _tell(
        self, cell: Cell, what: str, record: BootRecord, steps: Mapping[str, int] = NO_STEPS, **facts: Any
    ) -> None:
        from harness.measure.phases import figures

        exact = what == "exact"
        ready = _ms(record.ready_us, 1e3) if exact else _ms(record.host_ready_s, 1e-3)
        self.run.events.tell(
            "booted", cell=cell.id, what=what, ready=ready, power_on=_ms(record.power_on_us, 1e3) if exact else None,
            key=record.key, **({"figures": {**figures(record), **steps}} if exact else {}),
            host={**record.host, "qemu": record.qemu_version, "accelerator": record.accel,
                  "accelerator_reason": record.accel_reason},
            **facts,
        )  # fmt: skip


def _limit(image: Bootable) -> float:
    """Return how many seconds a boot may take: longer where the image's YAML gives a service longer to be ready."""
    return WALL_S + max((row.get("ready", READY_S) - READY_S for row in image.expect["services"].values()), default=0)


def _ports(cell: Cell) -> tuple[int, ...]:
    if not cell.spec.network:
        return ()
    return tuple(sorted({port for row in cell.built.expect["services"].values() for port in row["ports"]}))


def _ms(value: float | None, units: float) -> float | None:
    return None if value is None else round(value / units, 3)
