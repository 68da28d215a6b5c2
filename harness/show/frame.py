"""What stands around every subcommand: errors in plain words on stderr, and the exit code that tells their kind."""

from __future__ import annotations

import io
import os
import platform
import re
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from harness import __version__, paths
from harness.errors import EXIT_BUG, EXIT_INTERRUPTED, HarnessError
from harness.hostfaults import host_fault, named
from harness.secrets import redact
from harness.show import waiting
from harness.text import lines as several_lines
from harness.text import one_line

QUIET = "HARNESS_QUIET"  # in the environment: no words about what is waited for, whose number the host's speed decides
DEBUG = "HARNESS_DEBUG"  # in the environment, so that workers see it too
PASSWORD = re.compile(r"(://[^\s:/@'\"]*):[^\s/@'\"]+@")
ENDING = (signal.SIGTERM, signal.SIGHUP)
EXIT_PIPE = 141  # what a shell reports of a program that wrote into a closed pipe


def open_streams() -> None:
    """Let words come out whatever the streams are.

    In the place of those that were closed comes nothing, before any file gets the number of one; what has no place in
    an encoding comes as escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def guarded(action: Callable[[], int], doing: str = "") -> int:
    """Run `action` and return its exit code, or the code of what it raised after saying so on stderr.

    With `doing`, its name, nobody waits longer than two seconds without a word on stderr, unless QUIET is set.
    """
    try:
        with _ending(), waiting.watched(doing, _told) if doing and not os.environ.get(QUIET) else nullcontext():
            code = action()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _say("harness: interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- the one place where a bug ends: in a report, not in a traceback
        return _judged(error)


@contextmanager
def _ending() -> Iterator[None]:
    """Let what ends a process end it as Ctrl-C does: nothing that it has started or made stays behind.

    Only once, for what comes then is the way out; one that is ignored, as under nohup, stays so.
    """
    ours = [one for one in ENDING if signal.getsignal(one) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        ours = []

    def end(*_: object) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in ours:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


def _judged(error: Exception) -> int:
    if isinstance(error, HarnessError):
        return _explained(error)
    if isinstance(error, BrokenPipeError) and _stdout_is_closed():
        return EXIT_PIPE
    if fault := host_fault(error, _places()) or named(error):
        return _explained(fault)
    return _crashed(error)


def _places() -> list[Path]:
    """Return the folders whose disks the harness writes to, as far as they can be had."""
    found = []
    for place in (Path.cwd, paths.cache_dir, lambda: Path(tempfile.gettempdir())):
        with suppress(OSError, RuntimeError):  # a folder that was removed, a user without a home
            found.append(place())
    return found


def _say(text: str) -> None:
    print(_discreet(text), file=sys.stderr, flush=True)


def _discreet(text: str) -> str:
    """Return `text` with no URL's password in it."""
    return PASSWORD.sub(r"\1:***@", text)


def progress(text: str) -> None:
    """Say on stderr what is being done: in one write, for architectures are built side by side."""
    waiting.heard(text)
    _told(text)


def _told(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _debugging() -> bool:
    return os.environ.get(DEBUG, "") not in ("", "0")


def _explained(error: HarnessError) -> int:
    if _debugging():
        _say(_traceback(error).rstrip())
    # a stranger's words among ours: a line stays one, and nothing in it moves a cursor
    lines = [f"harness: {one_line(error.message, None)}"]
    if error.details:
        lines.append(several_lines(error.details.rstrip("\n"), None))
    if error.hint:
        lines.append(f"what to do: {one_line(error.hint, None)}")
    lines.append(f"(exit {error.exit_code}: the cause is in {error.whose})")
    _say("\n".join(lines))
    return error.exit_code


def _stdout_is_closed() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(events & select.POLLERR for _, events in poll.poll(0)):
        return False
    # else the interpreter would complain about what it could not flush on its way out
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _traceback(error: BaseException) -> str:
    import traceback

    return redact("".join(traceback.format_exception(error)))


def _crashed(error: Exception) -> int:
    if _debugging():
        _say(_traceback(error).rstrip())
    where = _write_report(error)
    _say(
        f"harness: a bug in the harness: {type(error).__name__}: {redact(str(error))}\n"
        f"the report of it: {where}\n"
        "what to do: file an issue with that report; --debug shows the traceback here"
    )
    return EXIT_BUG


def _write_report(error: Exception) -> Path:
    text = (
        f"harness {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {' '.join(map(repr, sys.argv))}\n\n{_traceback(error)}"
    )
    name = time.strftime(f"crash-%Y%m%d-%H%M%S-{os.getpid()}.txt")
    for place, below in ((paths.cache_dir, "crashes"), (tempfile.gettempdir, "")):
        try:
            folder = Path(place()) / below
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(_discreet(text), encoding="utf-8", errors="backslashreplace")
        except (OSError, RuntimeError):  # the latter of a user without a home
            continue
        return folder / name
    return Path("nowhere: neither the cache nor the temporary folder can be written")
