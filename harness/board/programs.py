"""Files and programs that a machine's YAML names: one rule for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def located(text: str, base: Path) -> Path:
    """Return a file that the machine's YAML names: relative to the YAML's folder `base`, or to the home folder."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else base / path


def located_argv(argv: Sequence[str], base: Path) -> list[str]:
    """Return an argv whose program, where it is a path, is relative to the YAML's folder `base`, or to the home folder.

    A name without a slash is looked for where the host's programs are.
    """
    program = argv[0]
    if "/" in program:
        program = str(base.absolute() / Path(program).expanduser())
    return [program, *argv[1:]]
