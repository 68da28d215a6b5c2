"""A run's cells as tasks of Dask, from the host that the run was started on: handed over, followed, put together.

All that is told of the run is told here, by one thread: what workers tell comes through a queue.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cluster import matching, parcels, task
from harness.cluster.matching import Host, Waiting
from harness.cluster.task import Done, Job
from harness.errors import HostError, UserError
from harness.run.folder import CELLS
from harness.run.run import RunSettings

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 2.0  # between two looks at which hosts there are
TRIES = 2  # of a cell whose host is lost
END_S = 15.0  # for what is under way to end, once the run is interrupted
PYTEST_USAGE, PYTEST_BROKEN = 4, 3
Message = Mapping[str, Any]


@dataclass
class CellState:
    """A cell that is to be run: how often a host has begun it, and where it is now."""

    job: Job
    waiting: Waiting
    tries: int = 0
    attempt: str = ""  # that is under way
    address: str = ""
    host: str = ""
    number: int = -1  # of the last event that was told
    future: Any = None  # Dask's, of what it has come to
    lost: str = ""  # what ended it before


@dataclass
class Stock:
    """The files that hosts may lack, by digest: where they lie here, or their bytes; pieces that Dask has already."""

    paths: dict[str, Path] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    pieces: dict[str, list[Future]] = field(default_factory=dict)

    def sent(self, client: Client, digest: str) -> list[Future]:
        """Return a file's pieces as Dask has them, sent once and again where the hosts that had them are lost."""
        found = self.pieces.get(digest)
        if found is None or any(one.status != "finished" for one in found):
            content = self.contents.get(digest)
            parts = [content] if content is not None else list(parcels.pieces(self.paths[digest]))
            found = self.pieces[digest] = [client.scatter(part, direct=False, hash=False) for part in parts]
        return found

    def keep_only(self, wanted: Iterable[str]) -> None:
        """Let Dask forget what no cell wants any more."""
        for digest in set(self.pieces) - set(wanted):
            del self.pieces[digest]


class Night:
    """The cells of a run on the hosts of a cluster."""

    def __init__(
        self, client: Client, run: RunSettings, states: Sequence[CellState], stock: Stock, wait_s: float,
        function: Callable[[Job, Any], Any] = task.run_cell,
    ) -> None:  # fmt: skip
        self.client, self.run, self.stock, self.wait_s, self.function = client, run, stock, wait_s, function
        self.cells = {one.job.cell: one for one in states}
        self.failed = self.count = 0  # cases, for pytest
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._hosts: list[Host] = []
        self._refused: dict[str, str] = {}  # hosts that cannot run this run's cells, by address
        self._notes: set[str] = set()
        self._interrupted = False
        self._able = {one: time.monotonic() for one in self.cells}  # when a host was there last that can run it

    def go(self) -> None:
        """Run all cells. Ctrl-C ends what is under way, takes in what it has left, and goes on as KeyboardInterrupt."""
        if not self.cells:
            return
        topic = next(iter(self.cells.values())).job.topic
        self.run.events.tell("collected", cases=dict.fromkeys(self.cells, 1))  # one at least, until it is known
        self.client.subscribe_topic(topic, lambda event: self._news.put(("told", event[1])))
        try:
            self._until_done()
        except KeyboardInterrupt:
            self._interrupt()
            raise
        finally:
            with suppress(ValueError):
                self.client.unsubscribe_topic(topic)

    def _until_done(self) -> None:
        looked = 0.0
        while self.cells:
            if time.monotonic() - looked >= LOOK_S:
                self._look()
                looked = time.monotonic()
            self._hand_over()
            self._take_news(LOOK_S)

    def _take_news(self, wait_s: float) -> bool:
        """Take in what has come, after a wait for the first of it; say whether there was anything."""
        try:
            kind, what = self._news.get(timeout=wait_s)
        except queue.Empty:
            return False
        while True:
            (self._told if kind == "told" else self._done)(what)
            try:
                kind, what = self._news.get_nowait()
            except queue.Empty:
                return True

    def _look(self) -> None:
        """See which hosts there are: a cell whose host is lost is told of, and one that none can run is not run."""
        if self.client.status != "running":
            raise HostError("the cluster's scheduler is lost", hint="start it anew; --resume goes on with this run")
        found = self.client.scheduler_info(n_workers=-1)["workers"]  # all: Dask of before 2026.2 tells of 5
        self._hosts = [Host(address, row["nthreads"], row["resources"]) for address, row in found.items()
                       if address not in self._refused]  # fmt: skip
        now = time.monotonic()
        for state in list(self.cells.values()):
            if state.attempt and state.address not in found:
                self._lose(state, f"{state.host} was lost")
            if matching.room(self._hosts, state.waiting.asked):
                self._able[state.job.cell] = now
            elif now - self._able[state.job.cell] >= self.wait_s or (found and not self._hosts):
                self._give_up(state)

    def _hand_over(self) -> None:
        waiting = [one.waiting for one in self.cells.values() if one.future is None]
        under_way = [one.waiting for one in self.cells.values() if one.future is not None]
        for one in matching.next_out(waiting, under_way, self._hosts):
            self._submit(self.cells[one.id], {})

    def _submit(self, state: CellState, came: Mapping[str, list[Future]], address: str = "") -> None:
        """Hand a cell over, best to the worker at `address`."""
        hosts = {"workers": [address], "allow_other_workers": True} if address else {}
        if self._refused and not address:
            hosts = {"workers": [one.address for one in self._hosts]}
        state.future = self.client.submit(
            self.function, state.job, dict(came), key=f"cell-{state.job.cell}-{time.monotonic_ns()}", pure=False,
            resources=dict(state.waiting.asked), **hosts,
        )  # fmt: skip
        cell = state.job.cell
        state.future.add_done_callback(lambda future: self._news.put(("done", (cell, future))))

    def _told(self, message: Message) -> None:
        """Take in what a worker tells of a cell."""
        state = self.cells.get(message["cell"])
        if state is None:
            return
        if message["number"] < 0:
            if state.attempt:
                self._lose(state, f"{state.host} was lost")
            if state.job.cell in self.cells:
                state.attempt, state.address, state.host = (message[key] for key in ("attempt", "address", "host"))
                state.number, state.tries = -1, state.tries + 1
        elif message["attempt"] == state.attempt:
            self._tell(state, message["number"], message["event"])

    def _tell(self, state: CellState, number: int, event: dict[str, Any]) -> None:
        """Tell of an event of a cell, once."""
        if number != state.number + 1:
            return
        state.number = number
        if event["event"] == "collected":
            event = {**event, "cases": {state.job.cell: 0, **event["cases"]}}
        elif event["event"] == "note":
            if event["text"] in self._notes:
                return
            self._notes.add(event["text"])
        elif event["event"] == "case":
            self.count += 1
            self.failed += event["outcome"] == "failed"
        self.run.events.tell(**event)

    def _done(self, what: tuple[str, Future]) -> None:
        cell, future = what
        state = self.cells.get(cell)
        if state is None or state.future is not future:
            return
        if future.status == "cancelled":  # the scheduler has gone, or a host with files that others were to have
            self._look()
            if state.attempt:
                self._lose(state, f"{state.host} was lost")
            state.future = None
            return
        try:
            done = future.result()
        except Exception as error:  # noqa: BLE001 -- whatever a host has raised, it is that host's
            self._lose(state, f"{state.host or 'a host'} could not run it: {type(error).__name__}: {error}", again=True)
            return
        if done.error is not None:
            self._refuse(state, done)
        elif done.lacks:
            came = {digest: self.stock.sent(self.client, digest) for digest in done.lacks}
            self._submit(state, came, done.address)
        elif done.code == PYTEST_USAGE:
            raise UserError("pytest refused its arguments", details=done.log)
        else:
            self._take(state, done)

    def _take(self, state: CellState, done: Done) -> None:
        """Take in a cell that a host has run to its end, or as far as pytest lived."""
        if done.attempt != state.attempt:  # what it told of its beginning has not come
            state.attempt, state.number, state.tries = done.attempt, -1, state.tries + 1
        for number, event in enumerate(done.told):
            self._tell(state, number, event)
        if done.code < 0 and not self._interrupted:
            self._lose(state, f"pytest was ended by signal {-done.code} on {state.host}", again=True)
            return
        if done.left:
            parcels.unpack(done.left, self.run.folder.path / CELLS)
        if done.code == PYTEST_BROKEN:
            self._fail(state, f"pytest ended with exit code {done.code}:\n{done.log}", whose="")
        self._end(state)

    def _lose(self, state: CellState, why: str, *, again: bool = False) -> None:
        """Let a cell begin anew elsewhere: what an attempt has told does not count. After the second it has failed.

        Dask itself runs the task of a worker that it has lost once more; `again`: it does not.
        """
        state.tries += again and not state.attempt  # it did not even begin
        self.run.events.tell(
            "lost",
            cell=state.job.cell,
            case="all of its cases",
            whose=HostError.whose,
            others=state.job.others,
            message=why,
        )
        state.attempt, state.address, state.number, state.lost = "", "", -1, why
        if state.tries >= TRIES:
            self._fail(state, f"{why}, twice", whose=HostError.whose)
            self._end(state)
        elif again:
            state.future = None

    def _refuse(self, state: CellState, done: Done) -> None:
        """Keep a host out that cannot run this run's cells; it has begun none."""
        assert done.error is not None
        self._refused[done.address] = done.error["text"]
        note = f"no cell runs on {done.address}: {done.error['message']}"
        if note not in self._notes:
            self._notes.add(note)
            self.run.events.tell("note", text=note)
        self._hosts = [one for one in self._hosts if one.address not in self._refused]
        state.future = None

    def _give_up(self, state: CellState) -> None:
        """Say of a cell that no host of the cluster can run it."""
        wanted = ", ".join(name if name != matching.MEMORY else f"{amount:g} MiB of memory"
                           for name, amount in state.waiting.asked.items() if name != matching.PLACE)  # fmt: skip
        refused = "".join(f"; {text}" for text in self._refused.values())
        facts = next(cell for cell in self.run.cells if cell.id == state.job.cell).built_facts()
        self.run.events.tell("built", cell=state.job.cell, **{
            **facts, "problem": f"no host of the cluster has {wanted}{refused}"})  # fmt: skip
        self._end(state)

    def _fail(self, state: CellState, message: str, *, whose: str) -> None:
        self.failed += 1
        self.run.events.tell("case", cell=state.job.cell, case=f"cluster::{state.job.cell}", outcome="failed",
                             instead="", message=message, whose=whose, transcript="", seconds=0.0)  # fmt: skip

    def _end(self, state: CellState) -> None:
        del self.cells[state.job.cell]
        if state.future is not None:
            state.future.cancel()
        self.stock.keep_only(digest for one in self.cells.values() for digest in one.job.wanted)

    def _interrupt(self) -> None:
        """End what is under way, and take in what it has left, as long as that comes in time."""
        self._interrupted = True
        for state in list(self.cells.values()):
            if state.future is not None and not state.attempt:
                state.future.cancel()
                state.future = None
        begun = [state.job.id for state in self.cells.values() if state.attempt]
        until = time.monotonic() + END_S
        if begun:
            with suppress(Exception):  # a scheduler or worker that is lost ends them by itself
                self.client.run(task.end_run, begun[0], on_error="ignore")
        while any(state.attempt for state in self.cells.values()) and time.monotonic() < until:
            self._take_news(1.0)


def states(run: RunSettings, costs: Mapping[str, float], jobs: Mapping[str, Job], overhead: int) -> Iterator[CellState]:
    """Yield the cells that are to be run."""
    for cell in run.cells:
        if cell.id in jobs:
            asked = matching.asks(cell, overhead)
            yield CellState(jobs[cell.id], Waiting(cell.id, asked, costs.get(cell.id, 1.0)))
