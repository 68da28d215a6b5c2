"""The lock: honoured, updated in part, and never written over what is not a lock."""

from __future__ import annotations

import dataclasses
import json

import pytest
from debian_mirror import SUITE, Item

from harness.arch import ARCHES
from harness.build.lock import PackageLock
from harness.build.mirror import MirrorError
from harness.errors import UserError

ARM = ARCHES["arm64"]


def test_a_lock_holds_versions_after_the_mirror_has_moved_on(make, repository, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = PackageLock(path)
    assert not lock.honoured
    old = make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    repository.add("lib", "2.0", [Item("./usr/lib/lib", b"new")], "arm64", Provides="virt")
    repository.publish()
    # another host, which has never resolved anything: the mirror still has the old file in its pool
    there = make("elsewhere", lock=PackageLock(path))
    locked = there.resolve(["tool"], ARM)
    assert locked.packages == old.packages
    assert locked.digest == old.digest
    there.fetch_all(locked.packages)
    before = path.read_bytes()
    PackageLock(path).save()
    assert path.read_bytes() == before


def test_a_lock_finds_its_packages_on_the_mirror_that_has_them(make, mirror, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = PackageLock(path)
    make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    two = f"{mirror.url}/nothing-here {SUITE}, {mirror.url} {SUITE}"
    there = make("elsewhere", lock=PackageLock(path), mirror=two)
    there.fetch_all(there.resolve(["tool"], ARM).packages)


@pytest.mark.parametrize("locked", [True, False])
def test_other_bytes_under_the_same_version_are_said(make, repository, tmp_path, locked: bool) -> None:
    path = tmp_path / "harness.lock"
    lock = PackageLock(path)
    make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    repository.add("lib", "1.0", [Item("./usr/lib/lib", b"bil" * 500)], "arm64", Provides="virt")
    repository.publish()
    there = make(lock=PackageLock(path) if locked else None)
    with pytest.raises(MirrorError) as caught:
        there.fetch_all(there.resolve(["tool"], ARM).packages)
    whose = f"the lock {path} names" if locked else "its index had when they were resolved"
    assert f"arm64: the mirror gives other bytes than {whose} for lib 1.0 (arm64)\n" in str(caught.value)
    assert "wait" not in str(caught.value) and not caught.value.passing


def test_a_lock_refuses_what_it_does_not_list(make, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = PackageLock(path)
    make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    with pytest.raises(UserError, match=r"does not list lib for arm64[^$]*what to do: to update it, remove"):
        make(lock=PackageLock(path)).resolve(["lib"], ARM)
    with pytest.raises(UserError, match="does not list tool for s390x"):
        make(lock=PackageLock(path)).resolve(["tool"], ARCHES["s390x"])
    debian = make(lock=PackageLock(path))
    debian.suite = "trixie"
    with pytest.raises(UserError, match="is for suite bookworm, not trixie"):
        debian.resolve(["tool"], ARM)
    # updating takes the new request in
    update = PackageLock(path, update=True)
    make(lock=update, refresh=True).resolve(["lib"], ARM)
    update.save()
    assert make(lock=PackageLock(path)).resolve(["lib"], ARM).packages


def test_refreshing_some_of_a_lock_keeps_the_rest(make, repository, tmp_path) -> None:
    repository.add("both", "1", [Item("./usr/lib/both", b"1")], "all")
    repository.publish()
    path = tmp_path / "harness.lock"
    lock = PackageLock(path)
    for arch in ("arm64", "s390x"):
        make(lock=lock).resolve(["both"], ARCHES[arch])
    make(lock=lock).resolve(["lib"], ARM)
    lock.save()
    repository.add("both", "2", [Item("./usr/lib/both", b"2")], "all")
    repository.publish()
    update = PackageLock(path, update=True)
    make(lock=update, refresh=True).resolve(["both"], ARM)
    update.save()

    def versions(name: str, arch: str) -> list[str]:
        return [package.version for package in PackageLock(path).find(SUITE, arch, [name]).packages]

    assert (versions("both", "arm64"), versions("both", "s390x")) == (["2"], ["1"])
    assert versions("lib", "arm64") == ["1.0"], "another image's request, say"
    # what no answer holds any more is no longer listed
    update = PackageLock(path, update=True)
    make(lock=update, refresh=True).resolve(["both"], ARCHES["s390x"])
    update.save()
    listed = [(row["name"], row["version"]) for row in json.loads(path.read_text())["packages"]]
    assert listed == [("both", "2"), ("lib", "1.0")]


def test_a_lock_is_of_one_suite(make, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = PackageLock(path)
    old = make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    update = PackageLock(path, update=True)
    update.add(dataclasses.replace(old, suite="trixie", names=("lib",)))
    update.save()
    assert PackageLock(path).find("trixie", "arm64", ["lib"]).packages == old.packages
    with pytest.raises(UserError, match="does not list tool for arm64"):
        PackageLock(path).find("trixie", "arm64", ["tool"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 99}', '{"format": 1, "suite": "x"}', '{"format":1,"suite":"x","packages":[{}]}']
)
def test_what_is_no_lock_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "harness.lock"
    path.write_text(text)
    for update in (False, True):  # what somebody's file holds is not overwritten for a lock
        with pytest.raises(UserError, match=r"harness\.lock") as caught:
            PackageLock(path, update=update)
        assert "remove it" in caught.value.hint


def test_a_lock_is_the_same_whatever_the_order(make, tmp_path) -> None:
    written = []
    for name, order in (("a", ("tool", "lib")), ("b", ("lib", "tool"))):
        lock = PackageLock(tmp_path / name)
        for one in order:
            make(lock=lock).resolve([one], ARM)
        lock.save()
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0])["requests"]["arm64"].keys() == {"lib", "tool"}
