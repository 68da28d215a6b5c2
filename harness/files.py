"""Files written whole or not at all, and files of strangers read within bounds."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError, HostError, UserError

ErrorKind = Callable[[str], HarnessError]
LARGEST_JSON = 64 << 20  # bytes
DEEPEST_JSON = 64  # objects and lists in one another


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Give a stream whose content takes the place of `path` when the block ends well; else nothing has changed.

    It is written beside `path` and synced, with its folder, before the rename. A symbolic link stays one, and a file
    keeps its mode unless `mode` is given (a new one: 0o666 without the umask). HostError when the disk is full, which
    names the folder; every other trouble is the OSError that it was.
    """
    target = path.resolve()
    scratch = target.with_name(f".{target.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}")
    made = False
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as stream:
            made = True
            if mode is None:
                with suppress(FileNotFoundError):
                    mode = stat.S_IMODE(target.stat().st_mode)
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(target)
        made = False
        _sync(target.parent)
    except OSError as error:
        if error.filename == str(scratch):
            error.filename = str(path)  # the name that the caller knows
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError(f"the disk is full: could not write {path.name} into {target.parent}",
                            hint="free space there, or name another folder") from error  # fmt: skip
        raise
    finally:
        if made:
            with suppress(OSError):
                scratch.unlink()


def write(path: Path, content: bytes | str, *, mode: int | None = None) -> Path:
    """Write a whole file as `replacing` does; text as UTF-8, what has no place in it as escapes. Returns `path`."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path, mode=mode) as stream:
        stream.write(data)
    return path


def write_json(path: Path, value: object, *, mode: int | None = None, indent: int | None = 1) -> Path:
    """Write JSON as a whole file, with a newline at its end."""
    return write(path, json.dumps(value, indent=indent) + "\n", mode=mode)


def is_there(path: Path) -> bool:
    """Say whether a path names something; what no name can be, or this user may not look at, is not there."""
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Say likewise whether it names a regular file."""
    return is_there(path) and path.is_file()


@contextmanager
def regular(path: Path, error: ErrorKind = UserError) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; `error` when it is another kind, OSError when it cannot be opened."""
    # a pipe that nobody writes to would be waited for without an end, were it opened in the usual way
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(f"{path} is not a file")
    with os.fdopen(handle, "rb") as stream:
        yield stream


def read(path: Path, limit: int, error: ErrorKind = UserError) -> bytes:
    """Return a file's bytes; `error` when it cannot be read, is not a regular file, or is larger than `limit` bytes."""
    try:
        with regular(path, error) as stream:
            data = stream.read(limit + 1)
    except OSError as trouble:
        raise error(f"cannot read {path}: {trouble.strerror}") from None
    except ValueError as trouble:  # a NUL in the name
        raise error(f"cannot read {str(path)!r}: {trouble}") from None
    if len(data) > limit:
        raise error(f"{path} is larger than {_size(limit)}")
    return data


def read_json(path: Path, error: ErrorKind = UserError, limit: int = LARGEST_JSON) -> Any:
    """Return what a JSON file holds; `error` when it cannot be read, is none, is too large or too deep."""
    return parse_json(read(path, limit, error), str(path), error)


def parse_json(data: bytes | str, name: str, error: ErrorKind = UserError) -> Any:
    """Return what JSON holds; `error`, with the `name` of its file, when it is none or deeper than `DEEPEST_JSON`."""
    try:
        found = json.loads(data)
    except RecursionError:
        raise error(f"{name}: not JSON that can be read: nested too deeply") from None
    except ValueError as trouble:
        raise error(f"{name}: not JSON: {trouble}") from None
    if isinstance(found, dict | list) and _is_deeper(found, DEEPEST_JSON):
        raise error(f"{name}: not JSON that can be read: nested too deeply")
    return found


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        inner = (one for outer in level for one in (outer.values() if isinstance(outer, dict) else outer))
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def _sync(folder: Path) -> None:
    with suppress(OSError):  # a file system that cannot sync folders
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _size(limit: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if limit >= unit and limit % unit == 0:
            return f"{limit // unit} {name}"
    return f"{limit} bytes"
