"""Console programs that are known: what they say once they are connected, and what closes what they leave open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.spec.models.board import BoardConsole

CONSERVER = r"\[Enter [^\n]{1,20} for help\]\r*\n"
IPMITOOL = r"\[SOL Session operational[^\n]*\n"


def completed(console: BoardConsole) -> BoardConsole:
    """Return a console by a program with the `ready` and `after` of a known one, where its YAML says neither.

    conserver's `console`, and `ipmitool … sol activate`, which leaves its session open when it is ended.
    """
    argv = console.command or ()
    program = Path(argv[0]).name if argv else ""
    changes: dict[str, object] = {}
    if program == "console" and not {"-q", "--quiet"} & set(argv) and not console.ready:
        changes["ready"] = CONSERVER
    elif program == "ipmitool" and _activates(argv):
        changes = {"ready": console.ready or IPMITOOL, "after": console.after or (*argv[: _end(argv)], "deactivate")}
    return console.model_copy(update=changes)


def _activates(argv: Sequence[str]) -> bool:
    return "sol" in argv and _end(argv) < len(argv)


def _end(argv: Sequence[str]) -> int:
    """Return where `activate` stands after `sol`; the length where it does not."""
    at = argv.index("sol") + 1
    return at if argv[at : at + 1] == ("activate",) else len(argv)
