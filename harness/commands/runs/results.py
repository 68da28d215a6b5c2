"""`harness results merge`: the results of one plan from several hosts as one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.commands.nights import gate, settle
from harness.run import merge
from harness.run.folder import RunFolder


def merge_results(folders: Sequence[Path], out: Path, *, partial: bool, as_json: bool, after: gate.After) -> int:
    """Write the whole run to `out`, judge it, show it, and put it into the history; return its exit code.

    UserError for parts that do not fit together, or when there is nothing to compare with.
    """
    baseline = gate.prepare(after)
    parts = [merge.read(RunFolder(folder)) for folder in folders]
    folder = RunFolder(out)
    found = merge.write(parts, merge.merge(parts, partial=partial), folder)
    found, _ = settle.settle(after, baseline, folder, found, ended=False, as_json=as_json)
    return found.exit
