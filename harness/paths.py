"""Where things live: the cache, what is to be kept, and the files that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_SHIPPED = PACKAGE / "_shipped"  # of an installed package alone: setup.py puts cases/ and machines/ there
TOP = _SHIPPED if _SHIPPED.is_dir() else PACKAGE.parent  # where cases/ and machines/ lie; else a checkout's top folder
COMPONENTS = PACKAGE / "components"
GUEST = PACKAGE / "guest"
SCHEMAS = PACKAGE / "spec" / "schemas"
FORMATS = PACKAGE / "build" / "outputs"  # a module each
PROFILES = PACKAGE / "profiles"
MACHINES = TOP / "machines"
CASES = TOP / "cases"
RESULTS = "results.json"  # in a folder of results, by which one is told from other folders


def cache_dir() -> Path:
    """Return the cache folder: HARNESS_CACHE, else harness/ in XDG_CACHE_HOME, else in ~/.cache."""
    own = os.environ.get("HARNESS_CACHE")
    return Path(own or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness").absolute()


def data_dir() -> Path:
    """Return the folder of what cannot be made again: harness/ in XDG_DATA_HOME, else in ~/.local/share."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share").absolute() / "harness"
