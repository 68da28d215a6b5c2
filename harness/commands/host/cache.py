"""`harness cache`: what was downloaded kept elsewhere, for the day on which nobody has it any more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import exports, paths
from harness.errors import UserError
from harness.store import Store

ACTIONS = {"export": (exports.export, "into"), "import": (exports.take, "from")}


def cache(action: str, folder: Path, *, as_json: bool = False) -> int:
    """Export every package and blob of the cache into `folder`, or import what such a folder holds."""
    if action not in ACTIONS:
        raise UserError(f"cannot {action} a cache", hint="harness cache export FOLDER, or import FOLDER")
    act, where = ACTIONS[action]
    counts = act(Store(paths.cache_dir()), folder)
    if as_json:
        print(json.dumps({"action": action, **counts, "folder": str(folder)}))
    else:
        what = f"{counts['packages']} packages and {counts['blobs']} blobs of OCI images"
        print(f"{what} {where} {folder}", file=sys.stderr)
    return 0
