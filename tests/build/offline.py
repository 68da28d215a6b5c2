"""Builds of one image that need no network: a lock and the packages that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.arch import parse_list
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.exports import take
from harness.image import Image
from harness.spec import load_image

MINIMAL = paths.CASES / "images/minimal.yml"


@dataclass(frozen=True)
class Offline:
    """A lock and an exported cache: builds of `spec` that need no network."""

    spec: Path
    lock: Path
    debs: Path

    def builder(self, cache: Path, **settings: object) -> Builder:
        """Return a builder with a cache of its own that holds the packages."""
        builder = Builder(Settings(cache=cache, lock=self.lock, offline=True, **settings))  # type: ignore[arg-type]
        take(builder.store, self.debs)
        return builder

    def build(self, cache: Path, arches: str = "arm64", **settings: object) -> list[Image]:
        """Build in `cache` from nothing but the packages."""
        return self.builder(cache, **settings).build_all(load_image([self.spec]), parse_list(arches))


MakeOffline = Callable[[str], Offline]
