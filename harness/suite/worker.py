"""What every process that runs cases does: cells as parameters, groups, guests, and failures in plain words."""

from __future__ import annotations

import ctypes
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from harness import files, paths
from harness.errors import HarnessError, HostError, UserError
from harness.hostfaults import full, full_disk, host_fault
from harness.run import known
from harness.run.cells import Cell
from harness.run.outcome import LAB
from harness.run.results import sound
from harness.run.run import RunSettings
from harness.secrets import redact
from harness.suite import collect, fixtures
from harness.suite.fixtures import GUESTS, RUN
from harness.suite.guests import Guests, SaidBeforeError

PR_SET_PDEATHSIG = 1


def join(config: pytest.Config, given: dict[str, Any]) -> None:
    """Take part in the run that the controller describes; end when the controller ends, however it does."""
    controller = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != controller:
        os._exit(1)
    _clean_what_crosses(config)
    take_part(config, RunSettings.from_json(given))


def _clean_what_crosses(config: pytest.Config) -> None:
    """Let what cannot be said in UTF-8 go to the controller as escapes: the line between them would end at it."""
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            plugin.sendevent = _cleaned(plugin.sendevent)


def _cleaned(send: Callable[..., None]) -> Callable[..., None]:
    return lambda name, **facts: send(name, **sound(facts))


def take_part(config: pytest.Config, run: RunSettings, *, whole: bool = True) -> None:
    """Register what runs cases, for `run`; `whole`: no other host has cells of it."""
    config.stash[RUN], config.stash[GUESTS] = run, Guests(run)
    config.pluginmanager.register(Worker(run, config.stash[GUESTS], _teller(config), whole=whole), "harness-worker")


def _teller(config: pytest.Config) -> bool:
    """Say whether this process is the one of many that tells what they all know."""
    return bool(getattr(config, "workerinput", {}).get("workerid", "gw0") == "gw0")


class Lister:
    """The hook of a process that only lists cases: nothing is built, booted or written."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a case on every cell; a `cell` fixture of somebody else's is theirs."""
        if "cell" in metafunc.fixturenames and _is_ours(metafunc):
            ids = [cell.id for cell in self.cells]
            metafunc.parametrize("cell", self.cells, ids=ids, indirect=True, scope="session")


class Worker(Lister):
    """The hooks of a process that runs cases."""

    def __init__(self, run: RunSettings, guests: Guests, teller: bool, *, whole: bool) -> None:
        super().__init__([cell for cell in run.cells if not cell.problem and not cell.finished])
        self.run, self.guests, self.teller, self.whole = run, guests, teller, whole
        self._collected = False

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out, skip, group and sort."""
        self._collected = True  # pytest asks for this only once it has found all there is
        if idle := [item for item in items if collect.is_idle(item)]:
            config.hook.pytest_deselected(items=idle)
            items[:] = [item for item in items if item not in idle]
        collect.arrange(items)

    @pytest.hookimpl(tryfirst=True)  # before xdist tells the controller, which then wants the groups
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell how many cases each cell has ("": those without one), and which of them share a guest.

        Pytest says that it has finished also where a signal has ended it before: which cases there are is not known
        then, and a cell without one would be told as not selected.
        """
        if not self._collected:
            return
        self._leave_groups(session.items)
        if self.teller:
            pairs = [(item.nodeid, cell) for item in session.items if (cell := collect.cell_of(item))]
            for excuse in known.idle(self.run.known, pairs) if self.whole and not _is_filtered(session.config) else ():
                self.run.events.tell("note", text=known.idle_note(excuse))
            names: dict[str, list[str]] = {}
            for item in session.items:
                names.setdefault(cell.id if (cell := collect.cell_of(item)) else "", []).append(item.nodeid)
            self.run.events.tell("collected", cases={cell: len(found) for cell, found in names.items()}, names=names)

    def _leave_groups(self, items: list[pytest.Item]) -> None:
        groups = {item.nodeid: collect.group_of(item, cell) for item in items if (cell := collect.cell_of(item))}
        files.write_json(self.run.folder.groups, groups)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Name a case of a file outside of pytest's root by its path: pytest leaves that out, and two may be one."""
        root = item.config.rootpath
        if not item.path.is_relative_to(root):
            rename(item, f"{os.path.relpath(item.path, root)}::{item.nodeid.partition('::')[2]}")

    # not first: another plugin that runs cases in its own way, and says so by being first, is left to it
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a case of a cell, once more where a machine or this host has failed; a plugin that repeats cases does so.

        What the second time says counts. What follows from an earlier failure is not repeated.
        """
        cell = collect.cell_of(item)
        if cell is None or cell.spec.board or item.config.pluginmanager.has_plugin("rerunfailures"):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if broken := next((one for one in reports if _may_be_repeated(one)), None):
            said = dict(broken.user_properties)
            self.run.events.tell("repeated", cell=cell.id, case=item.nodeid, whose=said["whose"],
                                 transcript=said.get("transcript", ""), message=broken.longreprtext)  # fmt: skip
            self.guests.forget(cell)
            item.user_properties.clear()
            item._initrequest()  # type: ignore[attr-defined]  # as pytest itself begins a case
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let the report say what the case counts towards; refuse what cannot be had."""
        for mark in item.iter_markers("verdict"):
            item.user_properties.append(("verdict", mark.args[0]))
        if collect.is_torn(item):
            raise UserError("the case asks for the shared system and boots of its own", hint="take one of them")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """End the shared system once nobody else wants it as it is."""
        cell, following = collect.cell_of(item), nextitem and collect.cell_of(nextitem)
        same = cell and nextitem and following and _group(item, cell) == _group(nextitem, following)
        if not same or (collect.disturbs(item) and collect.uses(item) & collect.SHARED_BOOT):
            self.guests.release()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show what the harness explains itself as it says it, without a traceback; no secret leaves the process."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        known_error = self._hosts(error) or (error if isinstance(error, HarnessError) else None)
        if known_error:
            report.longrepr = str(known_error)
            report.user_properties.append(("whose", known_error.whose))
            if isinstance(error, SaidBeforeError):
                report.user_properties.append(("said before", "yes"))
        if cell := collect.cell_of(item):
            self._excuse(report, cell, is_labs=dict(report.user_properties).get("whose") in LAB)
        if isinstance(report.longrepr, tuple):
            path, line, why = report.longrepr
            report.longrepr = (path, line, _fit(why))
        elif report.longrepr is not None and _fit(said := str(report.longrepr)) != said:
            report.longrepr = _fit(said)
        report.sections = [(title, _fit(text)) for title, text in report.sections]
        return report

    def _hosts(self, error: BaseException | None) -> HostError | None:
        """Return what a case's error says of this host: by itself, or for a disk is full and nothing can be judged."""
        if error is None or isinstance(error, pytest.skip.Exception):
            return None
        folders = (self.run.folder.path, paths.cache_dir(), Path(tempfile.gettempdir()))
        if isinstance(error, HarnessError) and error.whose in LAB:
            return None
        if found := host_fault(error, folders):
            return found
        places = full(folders)
        return full_disk(places, f"the case said: {error}") if places else None

    def _excuse(self, report: pytest.TestReport, cell: Cell, *, is_labs: bool) -> None:
        """Let a known failure count as that: pytest takes it for one that was expected. A lab's fault never is one."""
        excuse = known.find(self.run.known, report.nodeid, cell)
        if excuse is None:
            return
        if report.passed and report.when == "call" and excuse.what != known.FLAKY:
            report.user_properties.append(("passes", excuse.text))
        elif report.failed and not is_labs and excuse.holds(date.today()):
            report.user_properties.append(("known", excuse.text))
            report.outcome, report.wasxfail = "skipped", excuse.text
        elif report.failed and not is_labs:
            report.longrepr = f"{report.longreprtext}\nit was {excuse.text}, which has passed"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave no guest behind."""
        self.guests.release()


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    found = metafunc._arg2fixturedefs.get("cell") or ()
    return [one.func.__module__ for one in found][-1:] == [fixtures.__name__]


def rename(item: pytest.Item, nodeid: str) -> None:
    """Give a case another id: pytest has no way to ask for that, and from 9.2 on keeps ids in another place."""
    kept: Any = item
    if hasattr(kept, "_id"):
        kept._id = type(kept._id).parse(nodeid)
    else:
        kept._nodeid = nodeid


def _may_be_repeated(report: pytest.TestReport) -> bool:
    """Say whether a report is of a failure by the lab's fault that is its own."""
    said = dict(report.user_properties)
    return report.failed and said.get("whose") in LAB and "said before" not in said


def _fit(text: str) -> str:
    """Return what somebody said without secrets, and without what cannot be said in UTF-8."""
    cleaned: str = sound(redact(text))
    return cleaned


def _is_filtered(config: pytest.Config) -> bool:
    """Say whether somebody asked for some cases only."""
    return bool(config.getoption("keyword") or config.getoption("markexpr"))


def _group(item: pytest.Item, cell: Any) -> str:
    return collect.group_of(item, cell)
