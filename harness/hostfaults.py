"""What a failed system call says of this host, told as what it is: no disk, no memory, no process, no file to open.

Such a failure says nothing about an image, whatever was under way when it came.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.errors import HarnessError, HostError, UserError
from harness.text import of_error

PROBE_BYTES = 64 << 10  # what a disk must take to count as one that is not full
MOST_CAUSES = 10
FULL = (errno.ENOSPC, errno.EDQUOT)
# A call by any of these has asked for a process or a thread; elsewhere EAGAIN only says that there is nothing to read.
STARTING = frozenset({"_fork_exec", "fork", "_execute_child", "posix_spawn", "forkpty", "start"})
NO_PROCESS = "this host lets this user have no more processes"
KINDS = {
    errno.ENOMEM: ("this host has no memory left", "run fewer workers (-n), or give it more"),
    errno.EMFILE: ("too many files are open in one process", "ulimit -n"),
    errno.ENFILE: ("too many files are open on this host", "sysctl fs.file-max"),
    errno.EIO: ("a disk of this host fails: input/output error", "dmesg"),
    errno.EROFS: ("a disk of this host can only be read", "dmesg says whether it failed"),
    errno.EFBIG: ("a file has reached the most that this host lets one have", "ulimit -f"),
}

# of a file's name, whoever has given it
NAMES = {
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "a symbolic link leads back to itself",
}
REFUSED = (errno.EACCES, errno.EPERM)


def named(error: BaseException) -> HarnessError | None:
    """Return what a failed system call says of the file that it names: one that cannot be, or one that is refused."""
    if isinstance(error, RuntimeError):
        return _of_pathlib(str(error))
    if not isinstance(error, OSError):
        return None
    if not error.filename:
        gone = error.errno == errno.ENOENT and _is_adrift()
        return UserError("the current folder has been removed", hint="cd to one that exists") if gone else None
    if error.errno in NAMES:
        return UserError(of_error(error), hint=NAMES[error.errno])
    hint = f"user {os.getuid()} may not: name another path, or have it allowed"
    return HostError(of_error(error), hint=hint) if error.errno in REFUSED else None


def _of_pathlib(said: str) -> HarnessError | None:
    if said.startswith("Symlink loop"):
        return UserError(said, hint=NAMES[errno.ELOOP])
    hint = "set HOME, or HARNESS_CACHE and HARNESS_HISTORY"
    return HostError(f"user {os.getuid()} has no home folder", hint=hint) if "home directory" in said else None


def _is_adrift() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def host_fault(error: BaseException, folders: Iterable[Path] = ()) -> HostError | None:
    """Return what an error says of this host, None when it says nothing of it.

    Of `folders`, those whose disk is full are named where the error names no file. What the harness has explained
    already is not explained again.
    """
    for one in _causes(error):
        if isinstance(one, HarnessError):
            return one if isinstance(one, HostError) else None
        if found := _of_one(one, folders):
            return found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    now: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if now is None:
            return
        yield now
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)


def _of_one(error: BaseException, folders: Iterable[Path]) -> HostError | None:
    starting = isinstance(error, OSError) and error.errno == errno.EAGAIN and STARTING & {*_functions(error)}
    if starting or (isinstance(error, RuntimeError) and "can't start new thread" in str(error)):
        return HostError(NO_PROCESS, hint="ulimit -u, or the unit's TasksMax", details=str(error))
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno if isinstance(error, OSError) else None
    # of a copy the second name is that of what was written
    given = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    name = os.fsdecode(given) if given else ""
    if isinstance(error, shutil.Error) and os.strerror(errno.ENOSPC) in str(error):
        return full_disk(full(folders), of_error(error))
    if number in FULL:
        return full_disk([Path(name).parent] if name else full(folders), os.strerror(number or 0))
    if number in KINDS:
        what, hint = KINDS[number]
        return HostError(f"{what}: {name}" if name else what, hint=hint)
    return None


def full_disk(folders: Iterable[Path], details: str = "") -> HostError:
    """Return the error that names whose disk is full."""
    names = " and ".join(str(folder) for folder in folders)
    what = f"the disk of {names} is full" if names else "a disk is full"
    return HostError(what, hint="free space there, or `harness clean`", details=details)


def full(folders: Iterable[Path]) -> list[Path]:
    """Return those folders into which nothing more can be written."""
    return [folder for folder in folders if _is_full(folder)]


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"\0" * PROBE_BYTES)
            stream.flush()
    except OSError as error:
        return error.errno in FULL
    return False


def _functions(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_name
        trace = trace.tb_next


@contextlib.contextmanager
def explained(*folders: Path) -> Iterator[None]:
    """Raise what a failed system call within says of this host as HostError; everything else as it is."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if found := host_fault(error, folders):
            raise found from error
        raise
