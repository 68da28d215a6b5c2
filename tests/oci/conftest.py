"""What tests of fetching share: images in a layout, a real registry that has them, and a host without settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from handmade import M, layout_of, packed, tar
from servers import Liar, docker_registry, lacks_programs, push
from tiers import needs

from harness.arch import ARCHES
from harness.oci import registries
from harness.oci.fetch import Images
from harness.patience import Patience
from harness.store import Store

HASTE = Patience(attempts=3, wait=0.01, longest=0.05, timeout=30)
NOISE = bytes(range(256)) * 40  # so that a layer has a middle to break off in


def _layers(arch: str, version: str) -> list[bytes]:
    common = packed(tar(M("etc/issue", b"all of us\n"), M("usr/share/noise", NOISE)))
    return [common, packed(tar(M("usr/bin/app", f"{arch} {version}".encode(), mode=0o755))), tar(M("plain", b"plain"))]


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image for all architectures, tag 1, in an OCI layout."""
    images = {arch: _layers(arch, "one") for arch in ARCHES}
    return layout_of(tmp_path_factory.mktemp("layout"), images, Cmd=["/usr/bin/app"], Labels={"a": "b"})


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's next version, for arm64 alone."""
    return layout_of(tmp_path_factory.mktemp("newer"), {"arm64": _layers("arm64", "two")})


@pytest.fixture(scope="session")
@needs("servers")
def stock(tmp_path_factory: pytest.TempPathFactory, layout: Path, newer: Path) -> Path:
    """The data of a registry that has the image as app:1, team/deep/app:1 and library/app:1, the next one as app:2."""
    missing = lacks_programs()
    if missing:
        pytest.skip(f"not installed: {missing}")
    folder = tmp_path_factory.mktemp("registry")
    with docker_registry(folder / "run", folder / "data") as host:
        for name in ("app:1", "team/deep/app:1", "library/app:1"):
            push(layout, host, name)
        push(newer, host, "app:2")
    return folder / "data"


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, stock: Path) -> Iterator[str]:
    """The host:port of a registry that lets everybody in."""
    with docker_registry(tmp_path_factory.mktemp("open"), stock) as host:
        yield host


@pytest.fixture
def liar(layout: Path) -> Iterator[Liar]:
    """A registry that has app:1 and does as it is told."""
    server = Liar(layout)
    yield server
    server.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of somebody who has set nothing about registries, on a host where nothing is set."""
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
                 "CONTAINERS_REGISTRIES_CONF", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(registries, "FOLDERS", ())
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def images(home: Path, tmp_path: Path) -> Callable[..., Images]:
    """Returns Images with a cache by name, and little patience."""

    def make(store: str = "cache", **settings: Any) -> Images:
        made = Images(Store(tmp_path / store, settings.get("progress", print)), **settings)
        made.patience = HASTE
        return made

    return make
