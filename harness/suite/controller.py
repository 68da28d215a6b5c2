"""What the process that a person started does: build first, share the run with the workers, write the results."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import __version__, results
from harness.errors import HarnessError
from harness.suite import cells as cells_
from harness.suite import revision, worker
from harness.suite.events import FILE as EVENTS
from harness.suite.events import Events
from harness.suite.fixtures import RUN
from harness.suite.run import Run

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

MESSAGE_CHARS = 8000


def start(config: pytest.Config) -> None:
    """Register the controller; with xdist, groups are scheduled whatever `--dist` says."""
    if config.getoption("dist", "no") != "no":
        config.option.dist = "loadscope"
        config.option.loadscopereorder = False
        config.pluginmanager.register(Distribution(), "harness-distribution")
    config.pluginmanager.register(Controller(config), "harness-controller")


class Distribution:
    """The hooks that only exist with xdist."""

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Tell a worker of the run."""
        node.workerinput["harness"] = node.config.stash[RUN].to_json()

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Schedule groups in the order of collection."""
        from harness.suite.scheduler import Scheduler

        return Scheduler(config, log)


class Controller:
    """The hooks of the process that a person started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.run: Run | None = None
        self.interrupted = False
        self.temporary = False
        self._seen: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)  # before xdist starts its workers
    def pytest_sessionstart(self) -> None:
        """Build every image; a wrong file ends the session with its complaints."""
        from harness.boot import limits

        config = self.config
        wanted = cells_.Wanted(
            plan=config.getoption("harness_plan"),
            images=tuple(config.getoption("harness_images")),
            machines=tuple(config.getoption("harness_machines")),
        )
        cache, folder = config.getoption("harness_cache"), self._folder()
        try:
            cells = cells_.prepare(wanted, cache, lambda text: _progress(folder, text))
        except HarnessError as error:
            self._discard(folder)
            raise pytest.UsageError(str(error)) from None
        memory = max((cell.spec.qemu.memory for cell in cells if not cell.problem), default=256)
        self.run = Run(folder, tuple(cells), limits.guests(memory), config.getoption("harness_patience"), cache)
        self.run.events.tell(
            "run",
            harness=__version__,
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            run=uuid.uuid4().hex,
            plan=cells_.shown(wanted.plan) if wanted.plan else None,
            source=revision.of(wanted.plan or Path(cells[0].sources[0])) if cells else None,
            cells=[cell.facts() for cell in cells],
        )
        if config.pluginmanager.has_plugin("harness-distribution"):
            config.stash[RUN] = self.run
        else:
            worker.take_part(config, self.run)

    def _folder(self) -> Path:
        given: Path | None = self.config.getoption("harness_results")
        self.temporary = given is None
        folder = Path(tempfile.mkdtemp(prefix="harness-")) if given is None else given.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for old in (results.FILE, EVENTS):
            (folder / old).unlink(missing_ok=True)
        shutil.rmtree(folder / "cells", ignore_errors=True)
        return folder

    def _discard(self, folder: Path) -> None:
        if self.temporary:
            shutil.rmtree(folder, ignore_errors=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a case once it has an outcome; a failing teardown makes a passed case a failed one."""
        if self.run is None or not (report.failed or report.skipped or report.when == "call"):
            return
        if self._seen.get(report.nodeid) == "failed":
            return
        properties = dict(report.user_properties)
        cell = str(properties.get("cell") or self._cell_in(report.nodeid))
        again = report.nodeid in self._seen
        self._seen[report.nodeid] = report.outcome
        self.run.events.tell(
            "case",
            cell=cell,
            case=report.nodeid.partition("@")[0],
            outcome=report.outcome,
            again=again,
            message=_message(report)[:MESSAGE_CHARS],
            transcript=properties.get("transcript", ""),
            verdict=properties.get("verdict", ""),
            seconds=round(report.duration, 3),
        )

    def _cell_in(self, nodeid: str) -> str:
        """Return the cell that a nodeid's parameters name: what a worker that has died can say no more."""
        assert self.run is not None
        inside = nodeid.partition("[")[2]
        return max((cell.id for cell in self.run.cells if cell.id in inside), key=len, default="")

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that the run did not come to its end."""
        self.interrupted = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write results.json, whatever the run came to."""
        if self.run is None:
            return
        self.run.events.tell("end", interrupted=self.interrupted)
        found = results.fold(self.run.events.news())
        results.write(self.run.folder, found)
        if session.exitstatus == pytest.ExitCode.OK and found["exit"]:
            session.exitstatus = found["exit"]
        self.temporary = self.temporary and not found["exit"]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Name the cells that were not run, and where everything is."""
        if self.run is None:
            return
        for cell in self.run.cells:
            if cell.problem:
                terminalreporter.write_line(f"not run: {cell.id}: {' - '.join(cell.problem.splitlines())}")
        if not self.temporary:
            terminalreporter.write_line(f"results: {self.run.folder}")

    def pytest_unconfigure(self) -> None:
        """Take away a folder that nobody asked for and nobody needs."""
        if self.run is not None:
            shutil.rmtree(self.run.folder / "slots", ignore_errors=True)
            self._discard(self.run.folder)


def _progress(folder: Path, text: str) -> None:
    print(f"building {text}", file=sys.stderr, flush=True)
    Events(folder).tell("building", text=text)


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr or "")
