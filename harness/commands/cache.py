"""`harness cache`: the downloaded packages kept elsewhere, for the day on which the mirror has them no more."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.build.debian import Debian
from harness.build.settings import Settings
from harness.errors import UserError
from harness.store import Store


def cache(action: str, folder: Path) -> int:
    """Export every package of the cache into `folder`, or import what such a folder holds."""
    settings = Settings()
    debian = Debian(Store(settings.cache), suite=settings.suite, mirror=settings.mirror)
    actions = {"export": (debian.export_cache, "into"), "import": (debian.import_cache, "from")}
    if action not in actions:
        raise UserError(f"cannot {action} a cache", hint="harness cache export FOLDER, or import FOLDER")
    act, where = actions[action]
    print(f"{act(folder)} packages {where} {folder}", file=sys.stderr)
    return 0
