"""`harness cache`: the downloaded packages kept elsewhere, for the day on which the mirror has them no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.build.debian import Debian
from harness.build.settings import Settings
from harness.errors import UserError
from harness.store import Store


def cache(action: str, folder: Path, *, as_json: bool = False) -> int:
    """Export every package of the cache into `folder`, or import what such a folder holds."""
    settings = Settings()
    debian = Debian(Store(settings.cache), suite=settings.suite, mirror=settings.mirror)
    actions = {"export": (debian.export_cache, "into"), "import": (debian.import_cache, "from")}
    if action not in actions:
        raise UserError(f"cannot {action} a cache", hint="harness cache export FOLDER, or import FOLDER")
    act, where = actions[action]
    count = act(folder)
    if as_json:
        print(json.dumps({"action": action, "packages": count, "folder": str(folder)}))
    else:
        print(f"{count} packages {where} {folder}", file=sys.stderr)
    return 0
