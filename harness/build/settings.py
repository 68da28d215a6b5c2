"""What a person may set about building, apart from the image's YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import UserError

# lz4-fast builds in a tenth of lz4's time, boots as fast and is a tenth larger
COMPRESSIONS = ("lz4", "lz4-fast", "zstd", "gzip", "xz")

SUITE = "bookworm"
PATHS = ("cache", "keyring", "registries_conf", "lock")


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _gib(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 1024:
        return int(text[:6])
    raise UserError(f"HARNESS_OCI_LIMIT is {text[:40]!r}", hint="whole GiB, 1 to 1024: what one image may unpack to")


@dataclass(frozen=True)
class Settings:
    """Build settings; the defaults give the images whose figures docs/measurements.md shows."""

    cache: Path = field(default_factory=paths.cache_dir)
    suite: str = field(default_factory=lambda: os.environ.get("HARNESS_SUITE") or SUITE)
    # instead of the host's own apt sources
    mirror: str | None = field(default_factory=lambda: os.environ.get("HARNESS_MIRROR") or None)
    # what the mirror's indexes are signed by, instead of Debian's own keys
    keyring: Path | None = field(default_factory=lambda: _path(os.environ.get("HARNESS_KEYRING")))
    # GiB that an OCI image's layers may unpack to
    oci_limit: int = field(default_factory=lambda: _gib(os.environ.get("HARNESS_OCI_LIMIT") or "8"))
    # where OCI images are whose names say no registry: host[:port], with http:// before it where that is spoken
    registry: str | None = field(default_factory=lambda: os.environ.get("HARNESS_REGISTRY") or None)
    # a file like containers' registries.conf, instead of the host's own
    registries_conf: Path | None = field(default_factory=lambda: _path(os.environ.get("HARNESS_REGISTRIES_CONF")))
    offline: bool = False
    refresh: bool = False  # resolve packages anew, though a resolution is cached
    lock: Path | None = None
    library: bool = False  # let components stand for images of others that do the same job
    compression: str = "lz4-fast"
    format: str = "kernel+initrd"  # one of harness/build/outputs/

    def __post_init__(self) -> None:
        for name in PATHS:  # apt and other programs run in folders of their own
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, path.absolute())

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are not what this environment says by itself, by name."""
        plain = Settings()
        return {
            one.name: value for one in fields(self) if (value := getattr(self, one.name)) != getattr(plain, one.name)
        }

    def to_json(self) -> dict[str, Any]:
        """Return them as plain data, for another process; that one does not ask the mirror anew once more."""
        made = {one.name: getattr(self, one.name) for one in fields(self)} | {"refresh": False}
        return {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in made.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Return the settings that `to_json` made the data of."""
        given: dict[str, Any] = {name: _path(value) if name in PATHS else value for name, value in data.items()}
        return cls(**given)
