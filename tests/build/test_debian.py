from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_mirror import SUITE, Item, Mirror, Repository

from harness.arch import ARCHES
from harness.build.debian import DEB, Debian
from harness.build.lock import Lock
from harness.build.mirror import MirrorError, Patience
from harness.errors import HostError, UserError
from harness.store import Store

ARM = ARCHES["arm64"]
HASTE = Patience(attempts=3, wait=0.01, longest=0.05, timeout=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
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
    copy = tmp_path / "r" / "mirror"
    shutil.copytree(prepared.root, copy)
    shutil.copy(prepared.key, copy.parent)
    (copy.parent / "gnupg").symlink_to(prepared._gnupg)
    return Repository(copy, dict(prepared.packages))


@pytest.fixture
def mirror(repository: Repository) -> Iterator[Mirror]:
    server = Mirror(repository.root)
    yield server
    server.close()


@pytest.fixture
def make(repository: Repository, mirror: Mirror, tmp_path: Path):
    def make(store: str = "cache", **settings: object) -> Debian:
        settings = {"mirror": mirror.url, "keyring": repository.key, **settings}
        debian = Debian(Store(tmp_path / store), suite=SUITE, **settings)
        debian.patience = HASTE
        return debian

    return make


def test_resolves_the_closure_and_fetches_what_the_index_promised(make, mirror) -> None:
    debian = make()
    resolution = debian.resolve(["tool"], ARM)
    assert [(one.name, one.version, one.source) for one in resolution.packages] == [
        ("lib", "1.0", "libsrc"),
        ("tool", "1:1.0+x~1", "tool"),
    ]
    tool = resolution.by_name["tool"]
    assert tool.depends == ("lib", "other", "virt")
    assert resolution.by_name["virt"].name == "lib"
    path = debian.fetch(tool)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == tool.sha256
    assert path.stat().st_size == tool.size
    assert mirror.count(r"\.deb$") == 1


def test_a_second_run_needs_no_mirror(make, mirror) -> None:
    first = make()
    resolution = first.resolve(["tool"], ARM)
    first.fetch_all(resolution.packages)
    mirror.close()
    again = make(offline=True)
    assert again.resolve(["tool"], ARM) == resolution
    again.fetch_all(again.resolve(["tool"], ARM).packages)


def test_several_packages_come_in_one_go_and_only_once(make, mirror) -> None:
    debian = make()
    packages = debian.resolve(["tool"], ARM).packages
    debian.fetch_all([*packages, *packages])
    make().fetch_all(packages)
    assert mirror.count(r"\.deb$") == len(packages)


def test_two_at_once_download_once(make, mirror) -> None:
    package = make().resolve(["tool"], ARM).by_name["tool"]
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(make().fetch(package))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert len(set(paths)) == 1
    assert mirror.count("tool.*deb$") == 1


@pytest.mark.parametrize("fault", ["truncate", "corrupt", "500", "503", "reset", "hang"])
def test_a_passing_fault_is_survived(make, mirror, fault: str) -> None:
    debian = make()
    package = debian.resolve(["tool"], ARM).by_name["tool"]
    mirror.faults["tool.*deb$"] = [fault]
    assert debian.fetch(package).stat().st_size == package.size
    assert mirror.count("tool.*deb$") >= 2


@pytest.mark.parametrize(
    ("fault", "kind", "words", "times"),
    [
        ("truncate", "silent", "does not answer", 3),
        ("corrupt", "mismatch", "does not match its signed index", 3),
        ("404", "gone", "does not have tool", 1),
        ("403", "denied", "refuses", 1),
        ("500", "silent", "does not answer", 3),
        ("hang", "silent", "does not answer", 3),
    ],
)
def test_a_lasting_fault_is_named(make, mirror, fault: str, kind: str, words: str, times: int) -> None:
    debian = make()
    packages = debian.resolve(["tool"], ARM).by_name
    mirror.faults["tool.*deb$"] = [fault, "…"]
    with pytest.raises(MirrorError) as caught:
        debian.fetch_all([packages["tool"], packages["lib"]])
    assert caught.value.kind == kind
    said = str(caught.value)
    assert SUITE in said
    assert "arm64" in said
    assert "tool_1.0" in said
    assert words in said
    assert "what to do: " in said
    assert mirror.count("tool.*deb$") >= times
    assert fault != "404" or mirror.count("tool.*deb$") == 1
    # what did arrive is kept, what did not leaves nothing behind
    store = debian.store
    assert store.has("debs", packages["lib"].sha256)
    assert not store.has("debs", packages["tool"].sha256)
    assert list((store.root / "tmp").iterdir()) == []


def test_nobody_at_the_mirror(make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(MirrorError) as caught:
        make(mirror=url).resolve(["tool"], ARM)
    assert caught.value.kind == "silent"
    assert "bookworm, arm64" in str(caught.value)


def test_an_index_that_does_not_match_its_release(make, repository, mirror) -> None:
    index = repository.root / "dists" / SUITE / "main/binary-arm64/Packages"
    index.write_text(index.read_text().replace("lib", "bil"))
    with pytest.raises(MirrorError) as caught:
        make().resolve(["tool"], ARM)
    assert caught.value.kind == "mismatch"
    assert "bookworm, arm64" in str(caught.value)
    assert "binary-arm64/Packages" in str(caught.value)


def test_an_index_cut_short_once_is_fetched_again(make, mirror) -> None:
    mirror.faults["Packages$"] = ["truncate"]
    assert make().resolve(["tool"], ARM).packages


def test_an_index_of_another_key_or_none_is_refused(make, repository, tmp_path) -> None:
    other = Repository(tmp_path / "o" / "mirror")
    other.make_key()
    other.close()
    with pytest.raises(MirrorError, match="not signed by a trusted key"):
        make(keyring=other.key).resolve(["tool"], ARM)
    repository.publish(signed=False)
    with pytest.raises(MirrorError, match="not signed by a trusted key"):
        make("second").resolve(["tool"], ARM)


def test_a_name_that_does_not_exist(make) -> None:
    with pytest.raises(UserError, match="suite bookworm, arm64 has no package no-such-thing"):
        make().resolve(["tool", "no-such-thing"], ARM)
    # the package exists, but not for this one
    with pytest.raises(UserError, match="s390x has no package tool"):
        make().resolve(["tool"], ARCHES["s390x"])


def test_packages_that_cannot_be_installed_together(make, repository) -> None:
    repository.add("broken", "1", [], Depends="not-there")
    repository.publish()
    with pytest.raises(UserError, match="cannot be installed together") as caught:
        make().resolve(["broken"], ARM)
    assert "not-there" in str(caught.value)


def test_refresh_sees_what_is_new_and_nothing_else_does(make, repository) -> None:
    assert make().resolve(["lib"], ARM).by_name["lib"].version == "1.0"
    repository.add("lib", "2.0", [Item("./usr/lib/lib", b"new")], "arm64")
    repository.publish()
    assert make().resolve(["lib"], ARM).by_name["lib"].version == "1.0"
    fresh = make(refresh=True)
    assert fresh.resolve(["lib"], ARM).by_name["lib"].version == "2.0"
    assert make().resolve(["lib"], ARM).by_name["lib"].version == "2.0"


def test_refresh_asks_once_per_architecture(make, mirror) -> None:
    debian = make(refresh=True)
    for name in ("lib", "tool", "lib"):
        debian.resolve([name], ARM)
    assert mirror.count("InRelease") == 1


def test_what_was_damaged_in_the_cache_is_fetched_again(make, mirror) -> None:
    package = make().resolve(["tool"], ARM).by_name["tool"]
    path = make().fetch(package)
    path.write_bytes(b"x" * package.size)
    assert hashlib.sha256(make().fetch(package).read_bytes()).hexdigest() == package.sha256


def test_an_answer_cut_short_by_a_crash_is_asked_again(make, tmp_path) -> None:
    resolution = make().resolve(["tool"], ARM)
    (record,) = (tmp_path / "cache" / "resolved").iterdir()
    record.write_text(record.read_text()[:50])
    assert make().resolve(["tool"], ARM) == resolution


def test_offline_says_what_is_missing(make) -> None:
    with pytest.raises(HostError, match="tool is not resolved yet, and this build is offline"):
        make(offline=True).resolve(["tool"], ARM)
    packages = make().resolve(["tool"], ARM).packages
    with pytest.raises(HostError, match=r"lacks packages\nlib 1.0"):
        make(offline=True).fetch_all(packages)


def test_a_lock_holds_versions_after_the_mirror_has_moved_on(make, repository, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = Lock(path)
    assert not lock.honoured
    old = make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    repository.add("lib", "2.0", [Item("./usr/lib/lib", b"new")], "arm64", Provides="virt")
    repository.publish()
    # another host, which has never resolved anything: the mirror still has the old file in its pool
    there = make("elsewhere", lock=Lock(path))
    locked = there.resolve(["tool"], ARM)
    assert locked.packages == old.packages
    assert locked.digest == old.digest
    there.fetch_all(locked.packages)
    before = path.read_bytes()
    Lock(path).save()
    assert path.read_bytes() == before


def test_a_lock_finds_its_packages_on_the_mirror_that_has_them(make, mirror, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = Lock(path)
    make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    two = f"{mirror.url}/nothing-here {SUITE}, {mirror.url} {SUITE}"
    there = make("elsewhere", lock=Lock(path), mirror=two)
    there.fetch_all(there.resolve(["tool"], ARM).packages)


def test_a_lock_refuses_what_it_does_not_list(make, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = Lock(path)
    make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    with pytest.raises(UserError, match=r"does not list lib for arm64[^$]*what to do: to update it, remove"):
        make(lock=Lock(path)).resolve(["lib"], ARM)
    with pytest.raises(UserError, match="does not list tool for s390x"):
        make(lock=Lock(path)).resolve(["tool"], ARCHES["s390x"])
    debian = make(lock=Lock(path))
    debian.suite = "trixie"
    with pytest.raises(UserError, match="is for suite bookworm, not trixie"):
        debian.resolve(["tool"], ARM)
    # updating takes the new request in
    update = Lock(path, update=True)
    make(lock=update, refresh=True).resolve(["lib"], ARM)
    update.save()
    assert make(lock=Lock(path)).resolve(["lib"], ARM).packages


def test_refreshing_some_of_a_lock_keeps_the_rest(make, repository, tmp_path) -> None:
    repository.add("both", "1", [Item("./usr/lib/both", b"1")], "all")
    repository.publish()
    path = tmp_path / "harness.lock"
    lock = Lock(path)
    for arch in ("arm64", "s390x"):
        make(lock=lock).resolve(["both"], ARCHES[arch])
    make(lock=lock).resolve(["lib"], ARM)
    lock.save()
    repository.add("both", "2", [Item("./usr/lib/both", b"2")], "all")
    repository.publish()
    update = Lock(path, update=True)
    make(lock=update, refresh=True).resolve(["both"], ARM)
    update.save()

    def versions(name: str, arch: str) -> list[str]:
        return [package.version for package in Lock(path).find(SUITE, arch, [name]).packages]

    assert (versions("both", "arm64"), versions("both", "s390x")) == (["2"], ["1"])
    assert versions("lib", "arm64") == ["1.0"], "another image's request, say"
    # what no answer holds any more is no longer listed
    update = Lock(path, update=True)
    make(lock=update, refresh=True).resolve(["both"], ARCHES["s390x"])
    update.save()
    listed = [(row["name"], row["version"]) for row in json.loads(path.read_text())["packages"]]
    assert listed == [("both", "2"), ("lib", "1.0")]


def test_a_lock_is_of_one_suite(make, tmp_path) -> None:
    path = tmp_path / "harness.lock"
    lock = Lock(path)
    old = make(lock=lock).resolve(["tool"], ARM)
    lock.save()
    update = Lock(path, update=True)
    update.add(dataclasses.replace(old, suite="trixie", names=("lib",)))
    update.save()
    assert Lock(path).find("trixie", "arm64", ["lib"]).packages == old.packages
    with pytest.raises(UserError, match="does not list tool for arm64"):
        Lock(path).find("trixie", "arm64", ["tool"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 99}', '{"format": 1, "suite": "x"}', '{"format":1,"suite":"x","packages":[{}]}']
)
def test_what_is_no_lock_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "harness.lock"
    path.write_text(text)
    for update in (False, True):  # what somebody's file holds is not overwritten for a lock
        with pytest.raises(UserError, match=r"harness\.lock") as caught:
            Lock(path, update=update)
        assert "remove it" in caught.value.hint


def test_a_lock_is_the_same_whatever_the_order(make, tmp_path) -> None:
    written = []
    for name, order in (("a", ("tool", "lib")), ("b", ("lib", "tool"))):
        lock = Lock(tmp_path / name)
        for one in order:
            make(lock=lock).resolve([one], ARM)
        lock.save()
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0])["requests"]["arm64"].keys() == {"lib", "tool"}


def test_an_exported_cache_serves_what_left_the_mirror(make, repository, mirror, tmp_path) -> None:
    path, exported = tmp_path / "harness.lock", tmp_path / "exported"
    lock = Lock(path)
    here = make(lock=lock)
    packages = here.resolve(["tool"], ARM).packages
    here.fetch_all(packages)
    lock.save()
    assert here.export_cache(exported) == len(packages)
    for package in packages:
        (repository.root / package.filename).unlink()
    there = make("elsewhere", lock=Lock(path))
    with pytest.raises(MirrorError) as caught:
        there.fetch_all(packages)
    assert caught.value.kind == "gone"
    assert "exported cache" in caught.value.hint
    mirror.close()
    there = make("elsewhere", lock=Lock(path), offline=True)
    assert there.import_cache(exported) == len(packages)
    there.fetch_all(there.resolve(["tool"], ARM).packages)


def test_an_exported_cache_that_was_tampered_with_is_refused(make, tmp_path) -> None:
    debian = make()
    debian.fetch_all(debian.resolve(["tool"], ARM).packages)
    debian.export_cache(tmp_path / "exported")
    victim = sorted((tmp_path / "exported").iterdir())[0]
    victim.write_bytes(b"evil")
    with pytest.raises(UserError, match="is damaged: its SHA-256 is not its name"):
        make("elsewhere").import_cache(tmp_path / "exported")
    with pytest.raises(HostError, match="cannot export the cache"):
        debian.export_cache(victim / "below-a-file")
    with pytest.raises(UserError, match="no exported cache"):
        make("elsewhere").import_cache(tmp_path / "nowhere")


def test_the_hosts_hooks_do_not_run(make, tmp_path, monkeypatch) -> None:
    ran = tmp_path / "ran"
    hooks = tmp_path / "hooks.conf"
    hooks.write_text(
        f'APT::Update::Pre-Invoke {{ "touch {ran}"; }};\nAPT::Update::Post-Invoke {{ "touch {ran}"; }};\n'
        f'APT::Update::Post-Invoke-Success {{ "touch {ran}"; }};\nAPT::Architectures {{ "amd64"; "i386"; }};\n'
        f'APT::Default-Release "stable";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(hooks))
    assert make().resolve(["tool"], ARM).packages
    assert not ran.exists()


def test_a_cache_that_cannot_be_written(make, tmp_path) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(HostError, match="cannot write to the cache"):
        make().resolve(["tool"], ARM)


def test_deb_lies_where_its_digest_says(make) -> None:
    debian = make()
    package = debian.resolve(["lib"], ARM).by_name["lib"]
    path = debian.fetch(package)
    assert path == debian.store.path("debs", package.sha256) / DEB
    assert path.stat().st_mode & 0o777 == 0o644
