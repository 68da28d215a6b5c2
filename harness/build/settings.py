"""What a person may set about building, apart from the image's YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness import paths

# lz4-fast builds in a tenth of lz4's time and is a tenth larger: for the edit-build-boot loop
COMPRESSIONS = ("lz4", "lz4-fast", "zstd", "gzip", "xz")


@dataclass(frozen=True)
class Settings:
    """Build settings; the defaults give the images whose figures docs/measurements.md shows."""

    cache: Path = field(default_factory=paths.cache_dir)
    suite: str = "bookworm"
    mirror: str | None = None  # instead of the host's own apt sources
    offline: bool = False
    refresh: bool = False  # resolve packages anew, though a resolution is cached
    lock: Path | None = None
    compression: str = "lz4"
