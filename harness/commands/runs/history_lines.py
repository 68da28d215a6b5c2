"""`harness history import` and `export`: runs and exports taken in, and the history as JSON Lines."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.files import replacing
from harness.history import History, keeping, lines
from harness.run import results
from harness.run.folder import RESULTS, results_files


def export(opened: History, files: Sequence[str]) -> int:
    """Write the history as JSON Lines to a file, by one rename, or to standard output."""
    if not files or files[0] == "-":
        lines.export(opened, sys.stdout)
        return 0
    path = Path(files[0])
    try:
        with replacing(path) as stream:
            written = io.TextIOWrapper(stream, encoding="utf-8")
            count = lines.export(opened, written)
            written.detach()
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    print(f"{count} lines in {path}", file=sys.stderr)
    return 0


def import_(files: Sequence[str], where: str | None) -> int:
    """Take in exports (- is standard input), results.json files, folders of a run, and folders of those."""
    if not files:
        raise UserError("nothing to import", hint="harness history import FILE…")
    with History.open(where) as opened:
        for file in (one for name in files for one in _files(Path(name))):
            if str(file) == "-":
                taken = lines.import_(opened, sys.stdin.buffer, "standard input")
            elif _is_results(file):
                found = results.read(file)
                new = keeping.keep(opened, found)
                taken = lines.Taken(int(new), int(not new), 0)
            else:
                with file.open("rb") as stream:
                    taken = lines.import_(opened, stream, str(file))
            floors = f", {taken.floors} floors" if taken.floors else ""
            print(f"{file}: {taken.runs} new, {taken.known} known or empty{floors}", file=sys.stderr)
    return 0


def _files(path: Path) -> list[Path]:
    """Return the files that a word stands for; UserError when it stands for none."""
    if str(path) == "-":
        return [path]
    if path.is_dir():
        found = results_files(path)
        if not found:
            raise UserError(f"{path} has no {RESULTS}, nor has a folder in it")
        return found
    try:
        with path.open("rb"):
            return [path]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _is_results(file: Path) -> bool:
    """A line of an export is whole and says its kind; a results.json spreads over many."""
    with file.open("rb") as stream:
        return b'"kind"' not in stream.readline(results.LARGEST) and file.suffix != ".jsonl"
