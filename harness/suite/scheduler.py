"""Groups to workers, in the order of collection: the longest are begun first, and a case that kills its worker is
not tried again."""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController


class Scheduler(LoadGroupScheduling):
    """xdist's own by groups, which sorts them by their number of cases and runs a fatal case for ever."""

    def _reschedule(self, node: WorkerController) -> None:
        # a worker needs to know one case ahead, no more: what it does not hold, an idle one can take
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Give a lost worker's cases to the others, but for the one that it died of, which is returned."""
        workload = self.assigned_work.pop(node)
        fatal = next((case for unit in workload.values() for case, done in unit.items() if not done), None)
        if fatal is None:
            return None
        for scope, unit in workload.items():
            left = {case: done or case == fatal for case, done in unit.items()}
            if not all(left.values()):
                self.workqueue[scope] = left
        for other in self.assigned_work:
            self._reschedule(other)
        return fatal
