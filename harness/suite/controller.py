"""What the process that a person started does: build first, share the run with the workers, write the results."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import paths
from harness.errors import EXIT_OK, EXIT_USER, HarnessError, HostError, UserError
from harness.hostfaults import host_fault
from harness.options import pytest_values, settings_of
from harness.patience import HISTORY_S, within
from harness.run import beginning, builds, events, inputs, known, results, resume, shard
from harness.run import cells as cells_
from harness.run.cells import Cell
from harness.run.folder import RunFolder
from harness.run.inputs import RunInputs
from harness.run.outcome import PYTEST_OK
from harness.run.results_model import KNOWN, CellResult, Results
from harness.run.run import RunSettings
from harness.show.inert import inert
from harness.store import file_digest
from harness.suite import ending, worker
from harness.suite.fixtures import RUN

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from harness.spec.models.plan import Plan

COLLECTING = "(collecting)"  # the case that failed where no file is to blame: pytest names none
MESSAGE_CHARS = 8000
MOST_RESTARTS = "100000"
CLUSTER = "harness-cluster"  # the plugin that has the cells run on other hosts


def start(config: pytest.Config) -> None:
    """Register the controller; with xdist, groups are scheduled whatever `--dist` says."""
    if config.option.collectonly:
        config.pluginmanager.register(Listing(config), "harness-listing")
        return
    if config.getoption("dist", "no") != "no":
        config.option.dist = "loadscope"
        config.option.loadscopereorder = False
        # each case is tried twice at the most, so that no loss of workers goes on for ever
        config.option.maxworkerrestart = config.option.maxworkerrestart or MOST_RESTARTS
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


class Listing:
    """The hook of a process that only lists which cases there are on which cells."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Read the files; what is wrong with them ends the session with its complaints."""
        try:
            planned, _ = _part(cells_.planned(_inputs(self.config)), self.config)
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from None
        self.config.pluginmanager.register(worker.Lister([one.cell for one in planned]), "harness-lister")


class Controller:
    """The hooks of the process that a person started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.run: RunSettings | None = None
        self.interrupted = False
        self.temporary = False
        self.fault: HostError | None = None  # what kept pytest itself from going on
        self.finished: Mapping[str, CellResult] = {}  # by an earlier part of a run that goes on
        self.shard: dict[str, Any] | None = None
        self.missing = ""  # what this run does without
        self._seen: dict[str, str] = {}
        self._uncollected: set[tuple[str, str]] = set()
        self._spent: defaultdict[str, float] = defaultdict(float)  # seconds by case, not told yet

    @pytest.hookimpl(tryfirst=True)  # before xdist starts its workers
    def pytest_sessionstart(self) -> None:
        """Build every image; a wrong file ends the session with its complaints."""
        from harness.system import limits

        ending.install()
        self._print_inert()
        config = self.config
        try:
            read = _inputs(config)
            planned, self.shard = _part(_elsewhere(cells_.planned(read), config), config)
            excused = known.excuses(read.plan.known) if read.plan else ()
            excused += self._flaky([one.cell for one in planned], read.plan)
            folder = self._folder()
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from None
        for text in dict.fromkeys(str(done) for one in planned for done in one.spec.substitutions):
            print(text, file=sys.stderr, flush=True)
        cells = [one.cell for one in planned]
        self.run = RunSettings(
            folder, tuple(cells), 1, config.getoption("harness_timeout_multiplier"),
            settings_of(pytest_values(config.getoption)),
            explain=config.getoption("harness_explain"), known=excused,
        )  # fmt: skip
        try:
            self.finished = (
                resume.begin(self.run, cells) if config.getoption("harness_resume") else self._begin(read.plan)
            )
        except UserError as error:
            self.run = None  # what is there is another run's
            raise pytest.UsageError(str(error)) from None
        cluster = config.pluginmanager.get_plugin(CLUSTER)
        try:
            if cluster is not None:
                cluster.connect()
            cells = builds.build(planned, self.run.settings, self._building, self._built)
        except HarnessError as error:
            self._end(error=events.of_error(error))
            raise pytest.UsageError(str(error)) from None
        except BaseException as error:  # Ctrl-C too: what was planned is not lost
            self._end(interrupted=isinstance(error, KeyboardInterrupt), code=int(pytest.ExitCode.INTERNAL_ERROR))
            raise
        if self.missing:
            self.run.events.tell("note", text=self.missing)
        cells = resume.settle(self.run, cells, self.finished)
        memory = max((cell.spec.host_memory for cell in cells if not cell.problem), default=limits.SMALLEST)
        self.run = replace(self.run, cells=tuple(cells), slots=limits.guests(memory))
        if cluster is not None or config.pluginmanager.has_plugin("harness-distribution"):
            config.stash[RUN] = self.run
        else:
            worker.take_part(config, self.run)

    def _flaky(self, cells: list[Cell], plan: Plan | None) -> tuple[known.Excuse, ...]:
        """Return what is in quarantine; a history that cannot be had excuses nothing, which a note says."""
        if not self.config.getoption("harness_quarantine"):
            return ()
        try:
            return _quarantine(cells, plan, self.config.getoption("harness_history"))
        except HostError as error:
            self.missing = f"no case is in quarantine: {error.message}"
            print(self.missing, file=sys.stderr, flush=True)
            return ()

    def _begin(self, plan: Plan | None) -> dict[str, CellResult]:
        assert self.run is not None
        cells = self.run.cells
        source = plan.path if plan else Path(cells[0].sources[0]) if cells else None
        self.run.events.tell("run", **beginning.facts(plan.path if plan else None, source, cells, self.shard))
        return {}

    def _building(self, text: str) -> None:
        assert self.run is not None
        print(f"building {text}", file=sys.stderr, flush=True)
        self.run.events.tell("building", text=text)

    def _built(self, cell: Cell) -> None:
        assert self.run is not None
        if cell.id not in self.finished:
            facts = cell.built_facts()
            if facts["inputs"] and self._lock:
                facts["inputs"] = {**facts["inputs"], "lock": self._lock}
            self.run.events.tell("built", cell=cell.id, **facts)

    @cached_property
    def _lock(self) -> str:
        """The digest of the lock as the run found it; empty without one."""
        assert self.run is not None
        lock = self.run.settings.lock
        return file_digest(lock) if lock and lock.is_file() else ""

    def _end(self, **facts: Any) -> Results:
        """Write the results of a run that is over; return them."""
        assert self.run is not None
        self.run.events.tell("end", **facts)
        found = results.fold(self.run.folder.read_events())
        self.run.folder.write_results(found)
        return found

    def _folder(self) -> RunFolder:
        given: Path | None = self.config.getoption("harness_results")
        self.temporary = given is None
        folder = RunFolder(Path(tempfile.mkdtemp(prefix="harness-")) if given is None else given.absolute())
        return folder.resume() if given is not None and self.config.getoption("harness_resume") else folder.take()

    def _discard(self) -> None:
        if self.temporary and self.run is not None:
            shutil.rmtree(self.run.folder.path, ignore_errors=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Say of a case in which two workers ended that this host is to blame."""
        said = sched.ended.get(crashitem, "the worker that ran it has ended")
        hint = "look for a lack of memory (dmesg); run fewer workers (-n)"
        report.longrepr = f"{said}, twice\nwhat to do: {hint}"
        report.user_properties.append(("whose", HostError.whose))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember what an error outside of all cases says of this host."""
        folder = () if self.run is None else (self.run.folder.path,)
        self.fault = self.fault or host_fault(excinfo.value, (*folder, paths.cache_dir(), Path(tempfile.gettempdir())))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell of a file whose cases could not be collected: it counts as a failed case without a cell.

        Each worker collects all and says so.
        """
        told = (report.nodeid, report.longreprtext)
        if self.run is not None and report.failed and told not in self._uncollected:
            self._uncollected.add(told)
            self._tell(report, report.outcome)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a case once it has an outcome; a failing teardown makes a passed case a failed one."""
        self._spent[report.nodeid] += report.duration  # its guests boot before the call
        if self.run is None or not (report.failed or report.skipped or report.when == "call"):
            return
        if name := _partial(report):
            self.run.events.tell("partial", cell=self._cell(report), case=report.nodeid, outcome=name)
            return
        # other plugins settle an outcome when it is asked for its word: a case whose subtests failed has failed
        self.config.hook.pytest_report_teststatus(report=report, config=self.config)
        if self._seen.get(report.nodeid) == "failed":
            return
        cell = self._cell(report)
        properties = dict(report.user_properties)
        outcome = KNOWN if properties.get("known") else _outcome(report)
        before, self._seen[report.nodeid] = self._seen.get(report.nodeid, ""), outcome
        more = {key: properties.get(key, "") for key in ("transcript", "verdict", "whose", "known", "passes")}
        self._tell(report, outcome, cell, before, seconds=round(self._spent.pop(report.nodeid), 3), **more)

    def _cell(self, report: pytest.TestReport) -> str:
        """Return the id of the cell that a case ran on; empty where it ran on none."""
        return self._groups.get(report.nodeid, "").partition(":")[0]

    def _tell(
        self, report: pytest.TestReport | pytest.CollectReport, outcome: str, cell: str = "", instead: str = "",
        **more: Any,
    ) -> None:  # fmt: skip
        """Tell of an outcome, perhaps `instead` of one that was told before."""
        assert self.run is not None
        message = _message(report)[:MESSAGE_CHARS]
        case = report.nodeid or COLLECTING
        self.run.events.tell("case", cell=cell, case=case, outcome=outcome, instead=instead, message=message, **more)

    @cached_property
    def _groups(self) -> dict[str, str]:
        """The group of each case, which begins with its cell; read once there is a report, so all is collected."""
        assert self.run is not None
        return self.run.groups()

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that a person ended the run; pytest ends itself by the same way, at ``-x`` for one."""
        self.interrupted = excinfo.type is KeyboardInterrupt

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write results.json, whatever the run came to."""
        if self.run is None:
            return
        facts = {"error": events.of_error(self.fault)} if self.fault else {}
        found = self._end(interrupted=self.interrupted, code=int(session.exitstatus), **facts)
        if session.exitstatus in PYTEST_OK and found.exit not in (EXIT_OK, EXIT_USER):
            session.exitstatus = found.exit
        self.temporary = self.temporary and not found.exit

    def _print_inert(self) -> None:
        """Let nothing that a guest has said be a command to the CI server that shows pytest's words."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            write = reporter._tw.write
            reporter._tw.write = lambda msg, **how: write(inert(msg), **how)

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
            shutil.rmtree(self.run.folder.slots, ignore_errors=True)
            self._discard()


def _inputs(config: pytest.Config) -> RunInputs:
    """Return what the run is of: as `harness matrix` has read it, else read now."""
    if path := os.environ.pop(inputs.HANDED, ""):  # it is for this process alone
        return inputs.handed(Path(path))
    return inputs.read(inputs.Wanted(
        plan=config.getoption("harness_plan"),
        images=tuple(config.getoption("harness_image")),
        machines=tuple(config.getoption("harness_machine")),
        library=config.getoption("harness_library"),
    ))  # fmt: skip


def _quarantine(cells: list[Cell], plan: Plan | None, where: str | None) -> tuple[known.Excuse, ...]:
    from harness.history import History, keys, outcomes

    source = plan.path if plan else Path(cells[0].sources[0]) if cells else None
    facts = beginning.facts(None, source, cells)

    def asked() -> tuple[known.Excuse, ...]:
        with History.open(where) as opened:
            found = opened.as_known(results.fold([{"event": "run", **facts}]))
            return tuple(
                excuse
                for (name, _), cell in zip(keys.pairs_of(found.cells), cells, strict=True)
                for excuse in known.flaky(outcomes.flaky_cases(opened, name, cell.machine), cell, date.today())
            )

    return within(HISTORY_S, "the history", asked)


def _part(planned: list[cells_.Planned], config: pytest.Config) -> tuple[list[cells_.Planned], dict[str, Any] | None]:
    """Return the cells that this host has to run, and how the plan was split; all of them without ``--shard``."""
    text: str | None = config.getoption("harness_shard")
    if not text:
        return planned, None
    past: Path | None = config.getoption("harness_durations_of")
    mine, facts = shard.part(
        [one.cell for one in planned], results.read(past) if past else None, shard.parse(text, os.environ)
    )
    ids = {cell.id for cell in mine}
    return [one for one in planned if one.cell.id in ids], facts


def _elsewhere(planned: list[cells_.Planned], config: pytest.Config) -> list[cells_.Planned]:
    """Return the cells of a run; what this host lacks to boot them is nothing to one that has other hosts do so."""
    if not config.pluginmanager.has_plugin(CLUSTER):
        return planned
    return [replace(one, cell=replace(one.cell, problem="")) for one in planned]


def _outcome(report: pytest.TestReport) -> str:
    """Return a case's outcome under its own name: one that was expected to fail is not a skipped one."""
    if hasattr(report, "wasxfail") and not report.failed:
        return "xfailed" if report.skipped else "xpassed"
    return report.outcome


def _partial(report: pytest.TestReport) -> str:
    """Return the name of an outcome that is not the case's own: of a subtest, or an attempt that is repeated."""
    if hasattr(report, "context"):  # pytest's subtests, and those of its former plugin
        return f"subtests {_outcome(report)}"
    return report.outcome if report.outcome not in ("passed", "failed", "skipped") else ""


def _message(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    # what a case says of an image is for people who never saw its Python
    return str(crash.message if crash else report.longrepr or "").removeprefix("AssertionError: ")
