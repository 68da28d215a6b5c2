"""How pytest ends by a signal: as by Ctrl-C, with its guests ended and its results written."""

from __future__ import annotations

import os
import signal
import threading

EXIT_ORPHAN = 143


def install() -> None:
    """Let SIGTERM and SIGHUP be as SIGINT, which counts even where it was inherited as ignored.

    But where the process that started this one has ended, this one ends at once: somebody may go on with the run.
    A SIGHUP that is ignored stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    parent = os.getppid()

    def end(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(EXIT_ORPHAN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
