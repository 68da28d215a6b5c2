"""What a failed system call says of this host, and what says nothing of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import hostfaults
from harness.errors import HostError, ImageError, UserError
from harness.hostfaults import KINDS, MOST_CAUSES, NO_PROCESS, explained, full_disk, host_fault, named

FULL = OSError(errno.ENOSPC, "No space left on device", "/a/b/c")


def told(error: BaseException, *folders: Path) -> str | None:
    found = host_fault(error, folders)
    return found.message if found else None


def raised(error: BaseException, through: Callable[[Callable[[], None]], None]) -> BaseException:
    """Return an error that has come out of a call."""

    def fails() -> None:
        raise error

    with contextlib.suppress(type(error)):
        through(fails)
    return error


def fork(call: Callable[[], None]) -> None:
    call()


def reads(call: Callable[[], None]) -> None:
    call()


def caused(*errors: BaseException) -> BaseException:
    """Return the first of some errors, each of which has the next as its cause."""
    for one, cause in itertools.pairwise(errors):
        one.__cause__ = cause
    return errors[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("x"), None),
        (RuntimeError("can't start a thread"), None),
        (ValueError("can't start new thread"), None),
        (RuntimeError("can't start new thread"), NO_PROCESS),
        (OSError(errno.ENOENT, "no such file", "/a"), None),
        (OSError(errno.EAGAIN, "nothing to read"), None),
        (FULL, "the disk of /a/b is full"),
        (OSError(errno.EDQUOT, "quota", b"/a/c"), "the disk of /a is full"),
        (OSError(errno.ENOSPC, "full"), "a disk is full"),
        (OSError(errno.ENOSPC, "full", "/from/a", None, "/to/b"), "the disk of /to is full"),
        (shutil.Error([("a", "b/c", "[Errno 28] No space left on device: 'a' -> 'b/c'")]), "a disk is full"),
        (shutil.Error([("a", "b/c", "[Errno 13] Permission denied: 'b/c'")]), None),
        (MemoryError(), KINDS[errno.ENOMEM][0]),
        (OSError(errno.EIO, "io", "/a/b"), f"{KINDS[errno.EIO][0]}: /a/b"),
        *((OSError(number, "x"), what) for number, (what, _) in KINDS.items()),
    ],
)
def test_what_one_error_says(error: BaseException, said: str | None) -> None:
    assert told(error) == said


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENAMETOOLONG, UserError), (errno.EACCES, HostError), (errno.ENOENT, None)]
)
def test_what_is_said_of_a_name(number: int, kind: type | None) -> None:
    found = named(OSError(number, "words", "/a"))
    assert type(found) is (kind or type(None))
    assert found is None or found.message == "/a: words"
    assert named(OSError(number, "words")) is named(ValueError("a")) is None


def test_a_folder_that_is_gone_and_a_home_that_never_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    missing = FileNotFoundError(errno.ENOENT, "words")
    assert named(missing) is None
    (tmp_path / "gone").rmdir()
    assert isinstance(named(missing), UserError)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda _: "~")
    with pytest.raises(RuntimeError) as caught:
        Path.home()
    assert isinstance(named(caught.value), HostError)


def test_a_link_that_leads_back_to_itself_is_the_users(tmp_path: Path) -> None:
    link = tmp_path / "a"
    link.symlink_to(link)
    with pytest.raises(RuntimeError) as caught:
        link.resolve()
    assert isinstance(named(caught.value), UserError)


def test_no_more_processes_is_only_what_a_start_was_told() -> None:
    assert told(raised(OSError(errno.EAGAIN, "again"), fork)) == NO_PROCESS
    assert told(raised(OSError(errno.EAGAIN, "again"), reads)) is None
    assert told(raised(OSError(errno.ENOENT, "no such program"), fork)) is None
    assert told(raised(ValueError("again"), fork)) is None


def test_the_cause_of_an_error_is_looked_for() -> None:
    assert told(caused(RuntimeError("while it wrote"), ValueError("x"), FULL)) == "the disk of /a/b is full"
    far = [ValueError(str(number)) for number in range(MOST_CAUSES)]
    assert told(caused(*far[1:], FULL)) == "the disk of /a/b is full"
    assert told(caused(*far, FULL)) is None, "an endless row of causes ends"


def test_what_an_error_came_upon_is_its_cause_but_where_it_was_raised_from_none() -> None:
    error = ValueError("x")
    error.__context__ = FULL
    assert told(error) == "the disk of /a/b is full"
    error.__suppress_context__ = True
    assert told(error) is None


def test_what_the_harness_has_explained_is_not_explained_again() -> None:
    same = HostError("no mirror")
    assert host_fault(caused(ValueError("x"), same, FULL)) is same
    assert host_fault(caused(ImageError("it panicked"), FULL)) is None


def test_a_full_disk_is_named_by_the_folder_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full-as-a-folder")
    tried = []

    class Temporary:
        """A file of a disk that lets one be opened, and is full."""

        def __enter__(self) -> Temporary:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, data: bytes) -> None:
            tried.append(len(data))

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "full")

    real = tempfile.TemporaryFile

    def opened(*, dir: Path) -> Any:  # noqa: A002 - as it is called
        return Temporary() if dir == full else real(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    missing = tmp_path / "missing"
    assert hostfaults.full([tmp_path, full, missing]) == [full], "one that is not there is not full"
    assert tried == [hostfaults.PROBE_BYTES]
    assert told(OSError(errno.ENOSPC, "full"), tmp_path, full) == f"the disk of {full} is full"
    found = full_disk([full, Path("/b")], "by whom")
    assert (found.message, found.details) == (f"the disk of {full} and /b is full", "by whom")


def test_within_a_block_only_the_hosts_failures_are_explained() -> None:
    with pytest.raises(HostError, match="/a/b is full") as info, explained(Path("/x")):
        raise FULL
    assert info.value.__cause__ is FULL and info.value.details == FULL.strerror
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/a")
    with pytest.raises(FileNotFoundError) as other, explained():
        raise missing
    assert other.value is missing
    with pytest.raises(ValueError, match="x"), explained():
        raise ValueError("x")
