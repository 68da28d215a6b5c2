"""Groups to workers, in the order of collection: the longest are begun first, and a case that a worker
ended in is tried once more."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from functools import cached_property

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from harness.errors import HostError
from harness.run.run import RunSettings
from harness.suite.fixtures import RUN

WAIT_S = 5.0  # for a process that has closed its end of the line to be one that has ended


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist's own for groups sorts them by their number of cases, runs a fatal case for ever, and renames cases to
    tell their group, which pytest 9.2 does not let it: here the workers leave a list."""

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of each case, by its id."""
        run: RunSettings = self.config.stash[RUN]
        return run.groups()

    def _split_scope(self, nodeid: str) -> str:
        return self.groups.get(nodeid, nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        # a worker needs to know one case ahead, no more: what it does not hold, an idle one can take
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)
        # it begins none before it knows the next, or that there is none: what a lost worker has left may be one alone
        while self._pending_of(self.assigned_work[node]) < 2 and not node.shutting_down:
            super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Give a lost worker's cases to the others; return the one that it died of if that was for the second time.

        What ends a worker, a lack of memory for one, is not a case's fault unless it does so again.
        """
        workload = self.assigned_work.pop(node)
        fatal: str | None = next((case for unit in workload.values() for case, done in unit.items() if not done), None)
        if fatal is None:
            return None
        first = fatal not in self.ended
        self.ended[fatal] = ended(node)
        if first:
            self._tell(fatal)
        for scope, unit in workload.items():
            left = {case: done or (case == fatal and not first) for case, done in unit.items()}
            if not all(left.values()):
                self.workqueue[scope] = left
        for other in self.assigned_work:
            self._reschedule(other)
        return None if first else fatal

    @cached_property
    def ended(self) -> dict[str, str]:
        """What became of the workers that ended in the midst of a case, by the case's id."""
        return {}

    def _tell(self, case: str) -> None:
        run: RunSettings = self.config.stash[RUN]
        run.events.tell("repeated", cell=self.groups.get(case, "").partition(":")[0], case=case, whose=HostError.whose,
                        message=self.ended[case])  # fmt: skip


def ended(node: WorkerController) -> str:
    """Return in words how a worker ended."""
    with suppress(AttributeError, subprocess.TimeoutExpired):
        code = node.gateway._io.popen.wait(WAIT_S)
        if code < 0:
            return f"the worker that ran it was ended by {signal.Signals(-code).name}"
        return f"the worker that ran it ended with exit code {code}"
    return "the worker that ran it has ended"
