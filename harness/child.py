"""QEMU as a process that never outlives the harness."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness import proc

TAIL_BYTES = 4096
# The kernel ends QEMU when its starter ends; a starter that ended before the kernel was asked is seen by its pid.
GUARD = '[ "$PPID" = "$0" ] && exec "$@"'
# QEMU stamps the frames of `filter-dump` with its virtual clock as the host's time zone has it.
UTC = {"TZ": "UTC0"}
_PROCESSOR: ContextVar[int | None] = ContextVar("processor", default=None)


@contextmanager
def on_processor(number: int) -> Iterator[None]:
    """Let what this thread starts meanwhile run on one of the host's processors: for wall times that are compared.

    They are not equal, and who moves from one to another loses its caches: of pairs of boots beside four busy loops,
    the ratio's standard deviation falls from 15 % to 4 %.
    """
    before = _PROCESSOR.set(number)
    try:
        yield
    finally:
        _PROCESSOR.reset(before)


@dataclass(frozen=True)
class _Order:
    argv: list[str]
    log: Path
    fds: Sequence[int]
    processor: int | None
    result: Future[subprocess.Popen[bytes]]


class _Starter(threading.Thread):
    """Starts all processes: the kernel's promise is about the starting *thread*, so that one has to last."""

    def __init__(self) -> None:
        super().__init__(name="qemu-starter", daemon=True)
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            order = self._orders.get()
            try:
                # a process begins where the thread that starts it may run
                os.sched_setaffinity(0, _allowed(order.processor))
                with order.log.open("wb") as stderr:
                    order.result.set_result(
                        subprocess.Popen(
                            order.argv,
                            stdin=subprocess.DEVNULL,
                            stdout=stderr,
                            stderr=stderr,
                            pass_fds=order.fds,
                            env={**os.environ, **UTC},
                            start_new_session=True,  # Ctrl-C is for the harness, which ends QEMU in its own time
                        )
                    )
            except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for
                order.result.set_exception(error)

    def popen(self, argv: list[str], log: Path, fds: Sequence[int]) -> subprocess.Popen[bytes]:
        result: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put(_Order(argv, log, fds, _PROCESSOR.get(), result))
        return result.result()


def _allowed(processor: int | None) -> set[int]:
    return os.sched_getaffinity(os.getpid()) if processor is None else {processor}


@lru_cache(maxsize=1)
def _starter(pid: int) -> _Starter:  # by pid: a fork does not inherit the thread
    return _Starter()


class QemuProcess:
    """A running QEMU; its words go to `log`. Ends with the harness, however that ends."""

    def __init__(self, argv: Sequence[str], log: Path, fds: Sequence[int] = ()) -> None:
        """Start `argv` with the file descriptors `fds` inherited; HostError when a program is missing."""
        self.argv, self.log = list(argv), log
        setpriv, program = proc.resolve("setpriv"), proc.resolve(argv[0])
        guarded = [setpriv, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", GUARD, str(os.getpid())]
        self._popen = _starter(os.getpid()).popen([*guarded, program, *argv[1:]], log, fds)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def waited(self) -> float | None:
        """Return how many seconds its busiest thread has waited for a processor; None where the host does not say."""
        counted = [tuple(map(int, text.split()[:2])) for text in self._schedules()]
        if not any(run for run, _ in counted):
            return None  # of a kernel that counts none of it
        return max(counted)[1] / 1e9

    def _schedules(self) -> Iterator[str]:
        """Yield of each of its threads the ns that it ran and that it waited for that (proc_pid_schedstat)."""
        if not proc.is_own():
            return  # the number is another process's
        for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it has ended
                yield path.read_text()

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), None while it runs."""
        return self._popen.poll()

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for the end; return the exit code, None when it still runs."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it at once; nothing is left when this returns."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()

    def words(self) -> str:
        """Return the last that QEMU said on its standard error."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                return stream.read().decode(errors="replace").strip()
        except OSError:
            return ""
