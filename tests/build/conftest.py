"""One image, built once for all tests: its packages come from the developer's own cache, or the mirror."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import paths
from harness.arch import Arch, parse_list
from harness.build.debian import DEB
from harness.build.pipeline import Builder
from harness.build.settings import Settings
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
        builder.debian.import_cache(self.debs)
        return builder

    def build(self, cache: Path, arches: str = "arm64", **settings: object) -> list[Image]:
        """Build in `cache` from nothing but the packages."""
        return self.builder(cache, **settings).build_all(load_image([self.spec]), parse_list(arches))


MakeOffline = Callable[[str], Offline]


@pytest.fixture(scope="session")
def make_offline(tmp_path_factory: pytest.TempPathFactory) -> MakeOffline:
    made: dict[str, Offline] = {}

    def make(arches: str) -> Offline:
        if arches not in made:
            made[arches] = _make(tmp_path_factory.mktemp("offline"), parse_list(arches))
        return made[arches]

    return make


@pytest.fixture(scope="session")
def offline(make_offline: MakeOffline) -> Offline:
    """What a build of `minimal` for arm64 needs."""
    return make_offline("arm64")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory, offline: Offline) -> Path:
    """A cache with everything made, the image of `minimal` for arm64 too. Not to be written to."""
    cache = tmp_path_factory.mktemp("warm") / "cache"
    offline.build(cache)
    return cache


def _make(folder: Path, arches: list[Arch]) -> Offline:
    lock, debs = folder / "lock.json", folder / "debs"
    builder = Builder(Settings(lock=lock))
    builder.build_all(load_image([MINIMAL]), arches)
    debs.mkdir()
    # the lock lists what was resolved; a build fetches only what brings files
    for package in json.loads(lock.read_text())["packages"]:
        deb = builder.store.path("debs", package["sha256"]) / DEB
        if deb.exists():
            _link(deb, debs / f"{package['sha256']}.deb")
    return Offline(MINIMAL, lock, debs)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        target.write_bytes(source.read_bytes())
