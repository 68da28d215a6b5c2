"""`harness cache`: its downloads kept elsewhere, for the day on which nobody has them, and all of it verified."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import exports, paths
from harness.errors import EXIT_DAMAGED, EXIT_OK, UserError
from harness.store import Store

ACTIONS = {"export": (exports.export, "into"), "import": (exports.take, "from")}


def cache(action: str, folder: Path | None = None, *, as_json: bool = False) -> int:
    """Export every package and blob of the cache into `folder`, or import what such a folder holds.

    `verify` takes no folder: it compares all that the cache holds with its digests, throws away what is damaged, and
    returns 1 where there was something.
    """
    if action == "verify" and folder is None:
        return _verify(as_json=as_json)
    if action not in ACTIONS or folder is None:
        what = "takes no folder" if folder else "takes a folder"
        raise UserError(f"harness cache {action} {what}", hint="harness cache export FOLDER, import FOLDER, or verify")
    act, where = ACTIONS[action]
    counts = act(Store(paths.cache_dir()), folder)
    if as_json:
        print(json.dumps({"action": action, **counts, "folder": str(folder)}))
    else:
        what = f"{counts['packages']} packages and {counts['blobs']} blobs of OCI images"
        print(f"{what} {where} {folder}", file=sys.stderr)
    return 0


def _verify(*, as_json: bool) -> int:
    store = Store(paths.cache_dir())
    store.hold()
    entries, damaged = 0, []
    with store.telling("the cache"):
        for path, wrong in store.verify():
            entries += 1
            if wrong:
                damaged.append({"entry": str(path.relative_to(store.root)), "damaged": wrong})
                store.discard(path)
    if as_json:
        print(json.dumps({"action": "verify", "folder": str(store.root), "entries": entries, "thrown_away": damaged}))
    else:
        for row in damaged:
            print(f"{row['entry']}: {row['damaged']} is damaged: thrown away")
        count = "none is damaged" if not damaged else f"{len(damaged)} of them damaged: the next build has them again"
        print(f"{entries} entries of {store.root}, {count}")
    return EXIT_DAMAGED if damaged else EXIT_OK
