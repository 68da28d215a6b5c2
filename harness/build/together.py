"""Builds side by side which all end when the caller interrupts: no next step begins, no program runs on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

MadeT = TypeVar("MadeT")
PERIOD = 0.2  # seconds between two looks at what an interrupted build has still running


class Together:
    """Runs tasks in threads. What they do, they tell by `tell`: an interrupted one gets no further than that."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._interrupted = False

    def tell(self, text: str) -> None:
        """Tell the next step; KeyboardInterrupt when there shall be none."""
        self.check()
        self._progress(text)

    def check(self) -> None:
        """Raise KeyboardInterrupt once the caller has interrupted: for what takes long within one step."""
        if self._interrupted:
            raise KeyboardInterrupt

    def run(self, tasks: Sequence[Callable[[], MadeT]]) -> list[MadeT]:
        """Return what the tasks return; the first error is raised when all have ended."""
        from concurrent.futures import ThreadPoolExecutor, wait  # a build of nothing needs none

        with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                wait(futures)
            except KeyboardInterrupt:
                self._interrupted = True
                # at a terminal they have had the signal, too; one that was just being started has not
                while wait(futures, timeout=PERIOD).not_done:
                    _interrupt_children()
                raise
        return [future.result() for future in futures]


def _interrupt_children() -> None:
    import psutil

    try:
        children = psutil.Process().children()
    except psutil.NoSuchProcess:  # /proc is of another PID namespace, as in some containers
        return
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGINT)
