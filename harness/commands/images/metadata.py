"""User-data on a CD, as a cloud without a network gives it (NoCloud): what the component `metadata` reads."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.files import is_there, read, write
from harness.tree import iso9660

LABEL = "cidata"
FACTS = b"instance-id: harness\n"  # cloud-init takes no user-data without a meta-data file
DATA_MIB = 4  # of the whole CD


def cd(data: Path) -> bytes:
    """Return a CD with a file's content as its user-data; UserError when it cannot be read or is too large."""
    return iso9660.write(LABEL, {"user-data": read(data, (DATA_MIB - 1) << 20), "meta-data": FACTS})


def create(file: Path, data: Path) -> int:
    """Write such a CD into a new file."""
    content = cd(data)
    if is_there(file):
        raise UserError(f"{file} is there already", hint="name a new file, or remove it")
    try:
        write(file, content)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None
    print(file)
    return 0
