"""The lock and OCI images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from asking import ARM64, HERE, Make
from servers import (
    docker_registry,
    push,
)

from harness.arch import by_name
from harness.build.lock import PackageLock
from harness.errors import HostError, UserError
from harness.exports import export, take


def test_a_lock_holds_what_a_tag_once_meant(images: Make, stock: Path, newer: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.lock"
    shutil.copytree(stock, tmp_path / "stock")
    with docker_registry(tmp_path / "moving", tmp_path / "stock") as host:
        name = f"{host}/app:1"
        lock = PackageLock(path)
        old = images(lock=lock).resolve(name, ARM64, HERE)
        lock.save()
        push(newer, host, "app:1")
        # another host, which has never seen the image
        assert images("elsewhere", lock=PackageLock(path)).fetch(name, ARM64, HERE).digest == old
        for reference, arch in ((f"{host}/app:2", ARM64), (name, by_name("s390x"))):
            with pytest.raises(UserError, match=f"does not list {reference} for {arch.name}"):
                images("elsewhere", lock=PackageLock(path)).resolve(reference, arch, HERE)
        update = PackageLock(path, update=True)
        new = images("elsewhere", lock=update, refresh=True).resolve(name, ARM64, HERE)
        update.save()
        assert images("other", lock=PackageLock(path)).resolve(name, ARM64, HERE) == new != old


def test_a_lock_knows_a_layout_that_has_changed(images: Make, layout: Path, newer: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.lock"
    (tmp_path / "img").symlink_to(layout)
    lock = PackageLock(path)
    images(lock=lock).resolve("oci:img", ARM64, tmp_path)
    lock.save()
    assert images(lock=PackageLock(path)).fetch("oci:img", ARM64, tmp_path).layers
    (tmp_path / "img").unlink()
    (tmp_path / "img").symlink_to(newer)
    with pytest.raises(UserError, match="oci:img, linux/arm64 is not what the lock says"):
        images(lock=PackageLock(path)).resolve("oci:img", ARM64, tmp_path)


def test_a_lock_of_before_there_were_images(tmp_path: Path) -> None:
    path = tmp_path / "image.lock"
    PackageLock(path).save()
    data = json.loads(path.read_text())
    del data["images"]
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="does not list app:1 for arm64"):
        PackageLock(path).find_image("arm64", "app:1")


def test_a_lock_and_an_exported_cache_need_no_registry(images: Make, stock: Path, tmp_path: Path) -> None:
    lock = PackageLock(tmp_path / "image.lock")
    with docker_registry(tmp_path / "short", stock) as host:
        name = f"{host}/app:1"
        here = images(lock=lock)
        image = here.fetch(name, ARM64, HERE)
        lock.save()
    assert export(here.store, tmp_path / "exported")["blobs"] == 5  # the manifest, the config, three layers
    there = images("elsewhere", lock=PackageLock(tmp_path / "image.lock"), offline=True)
    with pytest.raises(HostError, match="is not in the cache, and this build is offline"):
        there.fetch(name, ARM64, HERE)
    take(there.store, tmp_path / "exported")
    assert there.fetch(name, ARM64, HERE).digest == image.digest
