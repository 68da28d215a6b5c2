"""Images from a real registry: Debian's docker-registry, filled by skopeo."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from asking import ARM64, HERE, Make, conf, index_of
from servers import (
    Liar,
    docker_registry,
    push,
)

from harness.arch import ARCHES, by_name
from harness.errors import HostError, UserError
from harness.oci.registries import find
from harness.oci.trouble import RegistryError
from harness.store import file_digest


@pytest.mark.parametrize("arch", ARCHES)
def test_each_architecture_gets_its_own(images: Make, registry: str, layout: Path, arch: str) -> None:
    row = by_name(arch)
    image = images().fetch(f"{registry}/app:1", row, HERE)
    assert image.digest == index_of(layout)[row.oci]
    assert str(image.platform) == f"linux/{row.oci}"
    assert image.config["config"]["Labels"] == {"a": "b"}
    manifest = json.loads((layout / "blobs" / image.digest.replace(":", "/")).read_text())
    assert [layer.digest for layer in image.layers] == [one["digest"] for one in manifest["layers"]]
    for layer in image.layers:
        assert layer.digest == f"sha256:{file_digest(layer.path)}"
        assert layer.size == layer.path.stat().st_size
    assert image.layers[0].media_type.endswith("+gzip")


def test_what_was_fetched_needs_no_registry(images: Make, stock: Path, tmp_path: Path) -> None:
    with docker_registry(tmp_path / "short", stock) as host:
        first = images().fetch(f"{host}/app:1", ARM64, HERE)
    assert images().fetch(f"{host}/app:1", ARM64, HERE) == first
    assert images(offline=True).fetch(f"{host}/app:1", ARM64, HERE) == first
    with pytest.raises(HostError, match=r"s390x is not in the cache, and this build is offline"):
        images(offline=True).fetch(f"{host}/app:1", by_name("s390x"), HERE)


def test_resolving_fetches_no_layer(images: Make, liar: Liar, layout: Path) -> None:
    assert images().resolve(f"{liar.host}/app:1", ARM64, HERE) == index_of(layout)["arm64"]
    assert len(liar.asked("/blobs/")) == 1  # the config


def test_a_tag_is_asked_about_again_only_when_told(
    images: Make, stock: Path, layout: Path, newer: Path, tmp_path: Path
) -> None:
    shutil.copytree(stock, tmp_path / "stock")
    with docker_registry(tmp_path / "moving", tmp_path / "stock") as host:
        name = f"{host}/app:1"
        pinned = f"{name}@{index_of(layout)['arm64']}"
        old, by_digest = images().resolve(name, ARM64, HERE), images().resolve(pinned, ARM64, HERE)
        push(newer, host, "app:1")
        assert images().resolve(name, ARM64, HERE) == old == by_digest
        fresh = images(refresh=True)
        assert fresh.resolve(name, ARM64, HERE) == index_of(newer)["arm64"] != old
        assert fresh.resolve(pinned, ARM64, HERE) == old
        assert images().resolve(name, ARM64, HERE) == index_of(newer)["arm64"]


def test_an_index_by_its_digest(images: Make, registry: str, layout: Path) -> None:
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    assert images().resolve(f"{registry}/app@{digest}", ARM64, HERE) == index_of(layout)["arm64"]


def test_platforms_there_are(images: Make, registry: str, newer: Path) -> None:
    with pytest.raises(UserError, match="app:2 is not there for linux/s390x") as caught:
        images().fetch(f"{registry}/app:2", by_name("s390x"), HERE)
    assert "it is there for: linux/arm64" in str(caught.value)
    # the manifest itself says it by its config
    name = f"{registry}/app@{index_of(newer)['arm64']}"
    with pytest.raises(UserError, match="is not there for linux/amd64") as caught:
        images().fetch(name, by_name("x86_64"), HERE)
    assert "it is there for: linux/arm64" in str(caught.value)


@pytest.mark.parametrize("name", ["app:none", "nothing:1", "app@sha256:" + "0" * 64])
def test_what_is_not_there(images: Make, registry: str, name: str) -> None:
    with pytest.raises(UserError, match=f"there is no {registry}/{name} on {registry}"):
        images().fetch(f"{registry}/{name}", ARM64, HERE)


def test_nobody_is_there(images: Make) -> None:
    with pytest.raises(RegistryError, match=r"127.0.0.1:1 does not answer"):
        images().fetch("127.0.0.1:1/app:1", ARM64, HERE)


def test_unqualified_names(images: Make, registry: str) -> None:
    with pytest.raises(UserError, match="no default registry is set") as caught:
        images().fetch("app:1", ARM64, HERE)
    assert "HARNESS_REGISTRY" in caught.value.hint
    for default in (registry, f"http://{registry}"):
        made = images(registries=partial(find, default))
        # a bare name stands for library/NAME, and app:2 is not there
        assert made.resolve("app:1", ARM64, HERE) == made.resolve("team/deep/app:1", ARM64, HERE)
        with pytest.raises(UserError, match=f"there is no {registry}/library/app:2"):
            made.resolve("app:2", ARM64, HERE)


def test_a_digest_is_never_asked_about_again(images: Make, liar: Liar, layout: Path) -> None:
    name = f"{liar.host}/app@{index_of(layout)['arm64']}"
    images().fetch(name, ARM64, HERE)
    asked = len(liar.seen)
    images(refresh=True).fetch(name, ARM64, HERE)
    assert len(liar.seen) == asked


def test_a_name_that_has_moved_is_asked_about_again(images: Make, registry: str, home: Path) -> None:
    name = "registry.example/app:1"
    conf(home, f'[[registry]]\nprefix = "registry.example"\nlocation = "{registry}/team/deep"\n')
    images().resolve(name, ARM64, HERE)
    conf(home, f'[[registry]]\nprefix = "registry.example"\nlocation = "{registry}/nowhere"\n')
    with pytest.raises(UserError, match=r"there is no registry\.example/app:1"):
        images().resolve(name, ARM64, HERE)
