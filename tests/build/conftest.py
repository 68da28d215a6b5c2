"""What tests of the build share: one image, built once of real packages, and a mirror of a few made-up ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_mirror import SUITE, Item, Mirror, Repository
from offline import MINIMAL, MakeOffline, Offline
from tiers import needs

from harness.arch import Arch, parse_list
from harness.build.debian import DEB, Debian
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.patience import Patience
from harness.spec import load_image
from harness.store import Store

HASTE = Patience(attempts=3, wait=0.01, longest=0.05, timeout=1)


@pytest.fixture(scope="session")
@needs("builds")
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


@pytest.fixture(scope="module")
@needs("builds")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """Two packages for arm64, signed."""
    repository = Repository(tmp_path_factory.mktemp("repository") / "mirror")
    repository.make_key()
    repository.add(
        "tool", "1:1.0+x~1", [Item("./usr/bin/tool", b"tool 1")], "arm64", Depends="lib (>= 1) | other, virt"
    )
    repository.add("lib", "1.0", [Item("./usr/lib/lib", b"lib" * 500)], "arm64", Source="libsrc (9)", Provides="virt")
    repository.publish()
    yield repository
    repository.close()


@pytest.fixture
def repository(prepared: Repository, tmp_path: Path) -> Repository:
    """A copy of `prepared` to change."""
    copy = tmp_path / "r" / "mirror"
    shutil.copytree(prepared.root, copy)
    shutil.copy(prepared.key, copy.parent)
    (copy.parent / "gnupg").symlink_to(prepared._gnupg)
    return Repository(copy, dict(prepared.packages))


@pytest.fixture
def mirror(repository: Repository) -> Iterator[Mirror]:
    """Serves `repository`."""
    server = Mirror(repository.root)
    yield server
    server.close()


@pytest.fixture
def make(repository: Repository, mirror: Mirror, tmp_path: Path):
    """Returns a Debian of that mirror, with a cache by name."""

    def make(store: str = "cache", **settings: object) -> Debian:
        settings = {"mirror": mirror.url, "keyring": repository.key, **settings}
        debian = Debian(Store(tmp_path / store), suite=SUITE, **settings)
        debian.patience = HASTE
        return debian

    return make
