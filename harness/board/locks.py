"""Locks on a lab's things, with a word on who has each: the kernel's, so that nothing is left of a dead owner.

All users of a host share one folder (HARNESS_LAB). A thing is a console or an outlet (`harness.board.things`): whoever
has a board has them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from harness import files
from harness.errors import HostError

if TYPE_CHECKING:
    from filelock import FileLock

SHARED = Path("/run/lock")
MODE = 0o666  # of what all users write, whatever their umask
FOLDER_MODE = 0o777
_turn = Lock()


@dataclass(frozen=True)
class Owner:
    """Who has a board, since when (UTC), and for what."""

    pid: int
    user: str
    since: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.user} (process {self.pid}) since {self.since}{f', {self.what}' if self.what else ''}"


def lab() -> Path:
    """Return the shared folder: HARNESS_LAB, else one of the host's. HostError when it cannot be made."""
    own = os.environ.get("HARNESS_LAB")
    folder = Path(own).absolute() if own else SHARED / "harness-lab"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)
    except OSError as error:
        raise HostError(
            f"cannot make the lab's folder {folder}: {error.strerror}", hint="set HARNESS_LAB to a folder you may write"
        ) from error
    return folder


@dataclass
class Claim:
    """Things that this process has.

    ``left``: an owner before died with one of them, so that it may be on. ``on``: so it may be when they are given
    back, and whoever has one next is to know.
    """

    _locks: dict[str, FileLock] = field(default_factory=dict)
    left: bool = False
    on: bool = False

    def own(self, owner: Owner) -> None:
        """Write down whose they are."""
        for name in self._locks:
            self.left = self.left or bool(read(_owner_file(name)))
            write(_owner_file(name), asdict(owner))

    def give_back(self) -> None:
        """Let go of them."""
        for path in self.owner_files if not self.on else ():
            with suppress(OSError):  # of another user's folder: whoever comes next switches it off, as after a death
                path.unlink()
        self.release()

    def release(self) -> None:
        """Let go of them, without a word on whose they were."""
        with _turn:
            while self._locks:
                self._locks.popitem()[1].release()

    @property
    def owner_files(self) -> list[Path]:
        """The files that say whose they are."""
        return [_owner_file(name) for name in self._locks]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The open files of the locks: locked until all copies of them are closed."""
        found = (lock._context.lock_file_fd for lock in self._locks.values())
        return tuple(one for one in found if one is not None)


def claim(names: Iterable[str]) -> Claim | None:
    """Take the things of these names, all or none; None when somebody has one. HostError where nothing can be locked.

    Always in one order: of two who want the same, one gets them.
    """
    taken = Claim()
    for name in sorted(names):
        if (lock := _lock(name)) is None:
            taken.release()
            return None
        taken._locks[name] = lock
    return taken


def owner_of(names: Iterable[str]) -> Owner | None:
    """Return who has one of these things, which are not this process's; None when nobody does."""
    for name in names:
        if (lock := _lock(name)) is None:
            return left_by([name]) or Owner(0, "somebody", "just now")
        lock.release()
    return None


def left_by(names: Iterable[str]) -> Owner | None:
    """Return who is written down as the owner of one of these things."""
    for name in names:
        with suppress(TypeError):
            return Owner(**read(_owner_file(name)))
    return None


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write facts for all users."""
    files.write_json(path, facts, mode=MODE)


def read(path: Path) -> dict[str, Any]:
    """Return what was written; nothing where there is none, or no such thing."""
    try:
        found = files.read_json(path, HostError)
    except HostError:
        return {}
    return found if isinstance(found, dict) else {}


def _owner_file(name: str) -> Path:
    return lab() / f"{name}.owner.json"


def _lock(name: str) -> FileLock | None:
    from filelock import FileLock, Timeout

    path = lab() / f"{name}.lock"
    with _turn:
        lock = FileLock(path, timeout=0, mode=MODE, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return None
        except OSError as error:
            raise HostError(
                f"cannot lock {path}: {error.strerror}", hint="set HARNESS_LAB to another folder"
            ) from error
        return lock
