"""What pytest does, where a run is started with ``--cluster``, in the place of collecting and running cases."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.cluster import connection, night, parcels
from harness.cluster.announce import own_code
from harness.cluster.task import Job
from harness.errors import HarnessError, UserError
from harness.run import known, results, shard
from harness.run.cells import Cell
from harness.run.run import RunSettings
from harness.spec.cluster import load_cluster
from harness.suite import worker
from harness.suite.fixtures import RUN
from harness.system import limits

if TYPE_CHECKING:
    from distributed import Client

    from harness.spec.models.foreign import OsSpec

PLUGIN = "harness-cluster"


def start(config: pytest.Config) -> None:
    """Register what runs the cells elsewhere; UserError for a cluster that cannot be read."""
    folder: Path | None = config.getoption("harness_certificates")
    config.pluginmanager.register(ClusterRun(config, folder), PLUGIN)


class ClusterRun:
    """The hooks of a run over many hosts."""

    def __init__(self, config: pytest.Config, certificates: Path | None) -> None:
        try:
            self.cluster = load_cluster(config.getoption("harness_cluster"), certificates)
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from None
        self.config = config
        self.client: Client | None = None
        self.stack = ExitStack()
        self.is_over = False  # before it has begun

    def connect(self) -> None:
        """Bring the cluster up, before anything is built for it."""
        self.client = self.stack.enter_context(connection.connected(self.cluster))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool | None:
        """Collect nothing: every host does so for its cells. Where no cell is left, the cases without one run here."""
        run = self.config.stash[RUN]
        self.is_over = all(cell.problem or cell.finished for cell in run.cells)
        if self.is_over:
            worker.take_part(self.config, run, whole=False)
        return None if self.is_over else True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the cells on the cluster's hosts."""
        if self.is_over:
            return None
        assert self.client is not None
        run = self.config.stash[RUN]
        stock = night.Stock()
        try:
            jobs = self._jobs(run, stock)
            states = list(night.states(run, self._costs(run), jobs, limits.OVERHEAD))
            work = night.Night(self.client, run, states, stock, self.cluster.wait * 60)
            try:
                work.go()
            finally:
                session.testsfailed, session.testscollected = work.failed, work.count
        except HarnessError as error:
            controller: Any = self.config.pluginmanager.get_plugin("harness-controller")
            controller.fault = error
            raise pytest.UsageError(str(error)) from None
        self._tell_idle(run)
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End what was brought up."""
        self.stack.close()

    def _jobs(self, run: RunSettings, stock: night.Stock) -> dict[str, Job]:
        words, paths = self._words()
        here = [Path(word.partition("::")[0]).resolve() for word in paths]
        if missing := [path for path in here if not path.exists()]:
            raise UserError(f"{missing[0]} is not there")
        base, packed = parcels.pack_cases(here, self.config.rootpath)
        cases = hashlib.sha256(packed).hexdigest()
        stock.contents[cases] = packed
        given = tuple(f"{path.relative_to(base)}{''.join(word.partition('::')[1:])}"
                      for path, word in zip(here, paths, strict=True))  # fmt: skip
        lock = run.settings.lock
        text = lock.read_text() if lock is not None and lock.is_file() else None
        image: dict[str, parcels.Sums] = {}
        cells = [cell for cell in run.cells if not cell.problem and not cell.finished]
        jobs = {}
        for cell in cells:
            key = f"{cell.folder} {cell.os.path if cell.os else ''}"
            if key not in image:
                found = parcels.image_files(cell)
                image[key] = parcels.sums(found)
                stock.paths |= {image[key][name]: path for name, path in found.items()}
            alone = replace(run, cells=(_without_password(cell),), slots=1)
            jobs[cell.id] = Job(
                id=_id(run), cell=cell.id, run=alone.to_json(), image=image[key], cases=cases, base=str(base),
                root=str(self.config.rootpath), paths=given, words=words, folder=str(run.folder), code=own_code(),
                lock=text, others=cell is cells[0],
            )  # fmt: skip
        return jobs

    def _words(self) -> tuple[tuple[str, ...], list[str]]:
        """Return what pytest was told that its like on other hosts are told too, and the cases it was given."""
        paths = [str(one) for one in self.config.args]
        own = [str(word) for word in self.config.invocation_params.args]
        kept = [word for word in own if not word.startswith(("--harness-", "-n=", "--rootdir")) and word not in paths]
        return tuple(kept), paths

    def _costs(self, run: RunSettings) -> dict[str, float]:
        """Return about how long each cell takes: by earlier results, else by its architecture and its image's size."""
        past: Path | None = self.config.getoption("harness_durations_of")
        previous = run.folder.previous
        if past is None and previous.is_file():
            past = previous
        if past is not None:
            return shard.costs(run.cells, results.read(past))
        return {cell.id: _guess(cell) for cell in run.cells}

    def _tell_idle(self, run: RunSettings) -> None:
        """Note what the plan knows of cases that no host has found."""
        if self.config.getoption("keyword") or self.config.getoption("markexpr"):
            return
        cells = {cell.id: cell for cell in run.cells}
        pairs = [(case, cells[name]) for event in run.folder.read_events() if event["event"] == "collected"
                 for name, cases in event.get("names", {}).items() if name in cells for case in cases]  # fmt: skip
        for excuse in known.idle(run.known, pairs):
            run.events.tell("note", text=known.idle_note(excuse))


def _guess(cell: Cell) -> float:
    from harness.arch import by_name

    return by_name(cell.arch).exact_cost


def _id(run: RunSettings) -> str:
    begun: list[dict[str, Any]] = [event for event in run.folder.read_events() if event["event"] == "run"]
    return str(begun[-1]["run"])


def _without_password(cell: Cell) -> Cell:
    """Return a cell whose OS's password stays here: a host has it in its own environment."""
    login = cell.os.login if cell.os else None
    if cell.os is None or login is None or login.password_env is None:
        return cell
    made: OsSpec = cell.os.model_copy(update={"login": login.model_copy(update={"password": None})})
    return replace(cell, os=made)
