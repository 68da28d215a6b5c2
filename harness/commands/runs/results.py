"""`harness results merge`: the results of one plan from several hosts as one run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.commands.nights import outcome
from harness.run import merge


def merge_results(folders: Sequence[Path], out: Path, *, partial: bool, as_json: bool) -> int:
    """Write the whole run to `out` and show it; return its exit code. UserError for parts that do not fit together."""
    parts = [merge.read(folder) for folder in folders]
    found = merge.write(parts, merge.merge(parts, partial=partial), out)
    changed = outcome.show(found, out, as_json=as_json)
    outcome.write(found, out, changed, sys.stderr if as_json else sys.stdout)
    return int(found["exit"])
