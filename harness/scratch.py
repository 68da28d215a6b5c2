"""A folder for what boots leave behind: gone when all went well, kept when an error names what is in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError, UserError


@contextmanager
def scratch(what: str, wanted: Path | None = None) -> Iterator[Path]:
    """Give the folder `wanted`, which stays, or a temporary one, which stays only when the block ends in an error.

    The error then names it. Raises UserError when `wanted` cannot be made.
    """
    if wanted is not None:
        if wanted.exists() and not wanted.is_dir():
            raise UserError(f"{wanted} is a file", hint="a folder is wanted there, a new one or one that you have")
        try:
            wanted.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {wanted}: {error.strerror}") from None
        if not os.access(wanted, os.W_OK | os.X_OK):
            raise UserError(f"cannot write into the folder {wanted}", hint="name one that you may write")
        yield wanted
        return
    folder, kept = Path(tempfile.mkdtemp(prefix=f"harness-{what}-")), False
    try:
        yield folder
    except HarnessError as error:
        kept = any(path.is_file() for path in folder.rglob("*"))
        if kept and str(folder) not in str(error):
            error.details = f"{error.details}\nwhat is left of it: {folder}".lstrip("\n")
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
