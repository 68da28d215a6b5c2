"""`harness results merge`: the results of one plan from several hosts as one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.commands.nights import views
from harness.run import merge
from harness.run.folder import RunFolder


def merge_results(folders: Sequence[Path], out: Path, *, partial: bool, as_json: bool) -> int:
    """Write the whole run to `out` and show it; return its exit code. UserError for parts that do not fit together."""
    parts = [merge.read(RunFolder(folder)) for folder in folders]
    folder = RunFolder(out)
    found = merge.write(parts, merge.merge(parts, partial=partial), folder)
    changed = views.since(found, folder)
    views.write(found, folder, changed)
    if not as_json:
        views.show(found, changed, folder)
    views.conclude(found, changed, folder, as_json=as_json)
    return found.exit
