"""A folder for what boots leave behind: gone when all went well, kept when an error names what is in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError


@contextmanager
def scratch(what: str, wanted: Path | None = None) -> Iterator[Path]:
    """Give the folder `wanted`, which stays, or a temporary one, which stays only when the block ends in an error."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    folder = Path(tempfile.mkdtemp(prefix=f"harness-{what}-"))
    try:
        yield folder
    except HarnessError:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
