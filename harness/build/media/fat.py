"""An EFI system partition: a FAT file system, by dosfstools and mtools, that is the same each time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from harness import proc
from harness.build.media import EPOCH, MIB

# with SOURCE_DATE_EPOCH mtools and mkfs.fat write no time of their own; FAT knows local time only
_ENVIRONMENT = {"SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "UTC", "LC_ALL": "C", "MTOOLS_SKIP_CHECK": "1"}
_SERIAL = "b007b007"
_OVERHEAD = 600 << 10  # tables, the root's folder, and a cluster for each folder


def write_fat(path: Path, files: Mapping[str, Path]) -> None:
    """Write a file system of whole MiB that holds `files`, by their paths in it, whose times are set to EPOCH.

    HostError without the two tools.
    """
    size = sum(file.stat().st_size for file in files.values())
    with path.open("wb") as out:
        out.truncate(-(-(size + size // 100 + _OVERHEAD) // MIB) * MIB)
    environment = {**os.environ, **_ENVIRONMENT}
    # FAT16 boots on every UEFI that was tried, and FAT32 would begin at 33 MiB
    proc.run(["mkfs.fat", "--invariant", "-i", _SERIAL, "-n", "ESP", "-F", "16", "-s", "4", str(path)], env=environment)
    folders = dict.fromkeys(str(one) for name in files for one in reversed(PurePosixPath(name).parents[:-1]))
    if folders:
        proc.run(["mmd", "-i", str(path), *(f"::{one}" for one in folders)], env=environment)
    for name, file in files.items():
        os.utime(file, (EPOCH, EPOCH))
        proc.run(["mcopy", "-m", "-i", str(path), str(file), f"::{name}"], env=environment)
