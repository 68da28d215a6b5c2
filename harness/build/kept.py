"""Images that the cache still has, found by what they ship: of runs of before nothing else is known for sure."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError
from harness.image import MANIFEST, ForeignImage, Image
from harness.store import digest_of


def shipped_as(image: Image | ForeignImage, wanted: str, cmdline: str) -> bool:
    """Say whether an image ships what has that digest together, and the line of a boot begins with its own words."""
    return digest_of(dict(image.digests)) == wanted and f"{cmdline} ".startswith(f"{image.cmdline} ".lstrip())


def image_of(cache: Path, wanted: str, cmdline: str) -> Image | None:
    """Return the image whose shipped files have that digest together (`harness.run.cells.made_of`), None without one.

    Its kernel command line is in none of them: it is the one that `cmdline`, the line of a boot, begins with.

    It counts as used now, so that it is not the first to go where the cache is to take less.
    """
    found = []
    for manifest in sorted(cache.glob(f"images/*/{MANIFEST}")) if wanted else ():
        image = Image(manifest.parent)
        with suppress(HarnessError, KeyError, TypeError):
            if shipped_as(image, wanted, cmdline):
                found.append(image)
    if not found:
        return None
    best = max(found, key=lambda image: len(image.cmdline))
    with suppress(OSError):
        os.utime(best.folder)
    return best
