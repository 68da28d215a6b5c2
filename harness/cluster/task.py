"""A cell as a task of Dask: what a worker does with it, in a process of its own that pytest runs in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import files, paths, proc
from harness.cluster import parcels
from harness.cluster.announce import own_code
from harness.errors import HarnessError, HostError
from harness.run import events as events_
from harness.run.cells import Cell
from harness.run.folder import CELLS, RunFolder
from harness.run.run import RunSettings
from harness.spec.foreign import with_password
from harness.store import DOWNLOADS, Store
from harness.suite.elsewhere import HANDED

if TYPE_CHECKING:
    from distributed import Worker

POLL_S = 0.1
GRACE_S = 12.0  # for an interrupted pytest to end its guest and write what it has
TOLD = frozenset({"begin", "run", "end"})  # events of a run as a whole: its own host tells them
LOG_LINES = 30
_under_way: dict[str, subprocess.Popen[bytes]] = {}  # pytests of this worker, by attempt
_ended: set[str] = set()  # runs that have been ended


@dataclass(frozen=True)
class Job:
    """All that a host needs to run a cell, in terms that can travel.

    ``run`` is the run's settings with this cell alone, ``image`` and ``cases`` the digests of what else it needs.
    ``base`` and ``root`` say where the cases lie at home, ``paths`` which of them are run, ``words`` what else pytest
    is told.
    """

    id: str  # of the run
    cell: str
    run: Mapping[str, Any]
    image: parcels.Sums
    cases: str
    base: str
    root: str
    paths: tuple[str, ...]
    words: tuple[str, ...]
    folder: str  # the run's, at home
    code: str
    lock: str | None = None
    others: bool = False  # whether to run the cases that have no cell, too

    @property
    def topic(self) -> str:
        """Under which what happens is told."""
        return f"harness-{self.id}"

    @property
    def wanted(self) -> set[str]:
        """The digests of all that has to be there."""
        return {*self.image.values(), self.cases}


@dataclass
class Done:
    """What became of a cell on a worker: what it `lacks`, or pytest's exit code with all events and left files."""

    cell: str
    attempt: str = ""
    address: str = ""
    lacks: tuple[str, ...] = ()
    code: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    left: bytes = b""
    log: str = ""
    error: dict[str, Any] | None = None  # this host cannot run it, as `events.of_error` tells it


def run_cell(job: Job, came: Mapping[str, Sequence[bytes]]) -> Done:
    """Run a cell on the worker that this is called on; what `came` is kept here for the cells that follow."""
    from distributed import get_worker

    worker = get_worker()
    done = Done(job.cell, uuid.uuid4().hex, worker.address)
    try:
        if job.code != own_code():
            hint = "install the same harness on every host of the cluster"
            raise HostError(f"{_name(worker)} has another harness than the run", hint=hint)
        store = Store(paths.cache_dir())
        if lacks := _lacking(store, job, came):
            return replace(done, lacks=tuple(sorted(lacks)))
        folder, packed = _arrived(store, job, came)
        worker.log_event(job.topic, {"cell": job.cell, "attempt": done.attempt, "number": -1, "address": worker.address,
                                     "host": _name(worker)})  # fmt: skip
        return _run(worker, job, done, folder, packed)
    except HarnessError as error:
        return replace(done, error=events_.of_error(error))


def end_run(run: str) -> int:
    """End the pytests of a run on the worker that this is called on, now and from now on; return how many there are."""
    _ended.add(run)
    for attempt, process in list(_under_way.items()):
        if attempt.startswith(run):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
    return sum(attempt.startswith(run) for attempt in _under_way)


def _name(worker: Worker) -> str:
    import platform

    return f"{platform.node()} ({worker.address})"


def _lacking(store: Store, job: Job, came: Mapping[str, Sequence[bytes]]) -> set[str]:
    lacks = job.wanted - set(came)
    if lacks and parcels.there(store, job.image) is not None:
        lacks -= set(job.image.values())
    if job.cases in lacks and store.find("blobs", job.cases) is not None:
        lacks.remove(job.cases)
    return lacks


def _arrived(store: Store, job: Job, came: Mapping[str, Sequence[bytes]]) -> tuple[Path, bytes]:
    """Return the image's folder and the packed cases, as they are here now."""
    folder = parcels.there(store, job.image) or parcels.arrive(store, job.image, came)

    def write(there: Path) -> None:
        (there / DOWNLOADS["blobs"]).write_bytes(b"".join(came[job.cases]))

    made = store.find("blobs", job.cases) or store.make("blobs", job.cases, write)
    if store.find("blobs", job.cases) is None:
        raise HostError("the cases have not arrived as they were sent", hint="look at the network between the hosts")
    return folder, (made / DOWNLOADS["blobs"]).read_bytes()


def _run(worker: Worker, job: Job, done: Done, image: Path, packed: bytes) -> Done:
    with tempfile.TemporaryDirectory(prefix="harness-cell-") as scratch:
        place = Path(scratch)
        cases, folder = place / "cases", RunFolder(place / "results").take()
        parcels.unpack(packed, cases)
        handed = place / "handed.json"
        run = _settings(job, folder, image, place)
        files.write_json(handed, {"run": run.to_json(), "base": job.base, "root": job.root, "here": str(cases),
                                  "others": job.others})  # fmt: skip
        words = [*(str(cases / path) for path in job.paths), f"--harness-results={folder}",
                 f"--rootdir={cases}", "-n=0", *job.words]  # fmt: skip
        with folder.log.open("wb") as log, _pytest(job, done.attempt, words, handed, log) as process:
            relay = _Relay(worker, job, done, folder)
            _watch(process, relay, lambda: job.id in _ended or not _is_wanted(worker))
        relay.tell()
        said = folder.log.read_text("utf-8", "replace").replace(str(folder), job.folder)
        return replace(done, code=process.returncode, told=relay.told, left=parcels.pack(folder.path / CELLS),
                       log="\n".join(said.splitlines()[-LOG_LINES:]))  # fmt: skip


def _settings(job: Job, folder: RunFolder, image: Path, place: Path) -> RunSettings:
    """Return the run's settings as they are on this host."""
    run = replace(RunSettings.from_json(dict(job.run)), folder=folder, slots=1)
    lock = place / "lock" if job.lock is not None else None
    if lock is not None and job.lock is not None:
        lock.write_text(job.lock)
    settings = replace(run.settings, cache=paths.cache_dir(), lock=lock)
    return replace(run, cells=tuple(_placed(cell, image) for cell in run.cells), settings=settings)


def _placed(cell: Cell, image: Path) -> Cell:
    """Return a cell whose image lies here."""
    if cell.os is None:
        return replace(cell, folder=str(image))
    here = {path.stem: path for path in image.iterdir()}
    made = cell.os.model_copy(update={"login": with_password(cell.os), **here})
    return replace(cell, folder=str(image), os=made)


@contextmanager
def _pytest(job: Job, attempt: str, words: Sequence[str], handed: Path, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run pytest in a session of its own, which ends with this worker, however that ends."""
    argv = [proc.resolve("setpriv"), "--pdeathsig", "TERM", "--", sys.executable, "-m", "pytest", *words]
    env = {**os.environ, HANDED: str(handed)}
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                               start_new_session=True, env=env)  # fmt: skip
    name = f"{job.id}-{attempt}"
    _under_way[name] = process
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _under_way.pop(name)


def _watch(process: subprocess.Popen[bytes], relay: _Relay, is_ended: Callable[[], bool]) -> None:
    """Tell what pytest tells until it ends; it is ended when nobody waits for the cell any more."""
    until = None
    while process.poll() is None:
        relay.tell()
        if until is None and is_ended():
            until = time.monotonic() + GRACE_S
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        if until is not None and time.monotonic() > until:
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)


def _is_wanted(worker: Worker) -> bool:
    """Say whether Dask's scheduler still wants what this thread does: else the run has ended, or lost its host."""
    from distributed.worker import thread_state

    task = worker.state.tasks.get(thread_state.key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")


class _Relay:
    """Tells the run's host of a cell's events, which also go back as a whole: each has its number."""

    def __init__(self, worker: Worker, job: Job, done: Done, folder: RunFolder) -> None:
        self.worker, self.job, self.done, self.folder = worker, job, done, folder
        self.events = folder.events
        self.told: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Tell of what has come since."""
        for event in self.events.news():
            if event["event"] in TOLD:
                continue
            said = json.loads(json.dumps(event).replace(str(self.folder), self.job.folder))
            if isinstance(said.get("host"), dict):
                said["host"]["name"] = _name(self.worker)
            number = len(self.told)
            self.told.append(said)
            self.worker.log_event(self.job.topic, {"cell": self.job.cell, "attempt": self.done.attempt,
                                                   "number": number, "event": said})  # fmt: skip
