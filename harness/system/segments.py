"""An initrd of several segments: the image's own, and the probe's."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from harness.errors import HostError
from harness.text import of_error

CPIO_ALIGN = 4


def join(parts: list[Path], out: Path) -> None:
    """Write initrd segments one after another, each padded to where the kernel looks for the next."""
    try:
        with out.open("wb") as joined:
            for part in parts:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, joined, 1 << 20)
                joined.write(b"\0" * (-joined.tell() % CPIO_ALIGN))
    except OSError as error:
        raise HostError(f"cannot write the initrd of a probed boot: {of_error(error)}") from error


def join_by_hand(parts: list[Path], out: Path) -> str:
    """Return the shell command that writes what `join` writes: no failed boot has to keep its copy."""
    steps = []
    for part in parts:
        steps.append(f"cat {shlex.quote(str(part))}")
        if padding := -part.stat().st_size % CPIO_ALIGN:
            steps.append(f"head -c {padding} /dev/zero")
    return f"({'; '.join(steps)}) > {shlex.quote(str(out))}"
