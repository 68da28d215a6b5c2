from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from debian_mirror import SUITE, Item, Repository

from harness import paths
from harness.arch import ARCHES
from harness.build.debian import DEB, RECORDED
from harness.build.lock import PackageLock
from harness.build.mirror import MirrorError
from harness.build.packages import TOLD
from harness.errors import EXIT_USER, HostError, UserError
from harness.exports import export, take

ARM = ARCHES["arm64"]


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


@pytest.mark.parametrize("way", ["option", "environment"])
def test_the_command_takes_a_mirrors_key(repository, mirror, tmp_path, way: str) -> None:
    def built(key: Path, *words: str, url: str = mirror.url) -> str:
        given = {"MIRROR": url, "KEYRING": str(key)}
        options = [word for name, value in given.items() for word in (f"--{name.lower()}", value) if value]
        argv = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())", "build"]
        argv += [str(paths.CASES / "images/minimal.yml"), "--arch", "arm64", *(options if way == "option" else ())]
        env = {**os.environ, "HARNESS_CACHE": str(tmp_path / "cache")}
        env |= {f"HARNESS_{name}": value for name, value in given.items()} if way == "environment" else {}
        done = subprocess.run([*argv, *words], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == EXIT_USER, done.stderr
        return done.stderr

    # its index is believed: what it lacks is the kernel
    assert "arm64 has no package linux-image-cloud-arm64" in built(repository.key)
    assert "there is no keyring /nowhere" in built(Path("/nowhere"))
    assert "a keyring means nothing without a mirror" in built(repository.key, url="")
    spaced = tmp_path / "a b.gpg"
    assert "blank" in (shutil.copy(repository.key, spaced) and built(spaced))


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


def test_an_index_that_was_damaged_in_the_cache_is_fetched_again(make, tmp_path) -> None:
    good = make().resolve(["tool"], ARM)
    (index,) = (path for path in tmp_path.rglob("lists/*_Packages*"))
    before, data = index.stat(), bytearray(index.read_bytes())
    at = data.index(b"src")  # of a source package's name: nothing that apt compares with the .deb
    data[at] ^= 1
    index.write_bytes(data)
    os.utime(index, ns=(before.st_atime_ns, before.st_mtime_ns))
    for path in tmp_path.rglob("resolved/*.json"):
        path.unlink()
    assert [path.name for path, wrong in make().store.verify() if wrong == index.name] == ["lists"]
    assert make().resolve(["tool"], ARM) == good
    assert not [wrong for _, wrong in make().store.verify() if wrong]


def test_an_answer_cut_short_by_a_crash_is_asked_again(make, tmp_path) -> None:
    resolution = make().resolve(["tool"], ARM)
    (record,) = (tmp_path / "cache" / "resolved").iterdir()
    record.write_text(record.read_text()[:50])
    assert make().resolve(["tool"], ARM) == resolution


def test_an_answer_of_an_older_harness_is_asked_again(make, mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    make().resolve(["tool"], ARM)
    mirror.close()
    assert make(offline=True).resolve(["tool"], ARM)
    monkeypatch.setattr("harness.build.debian.RECORDED", [*RECORDED, "more"])
    with pytest.raises(HostError, match="is not resolved yet, and this build is offline"):
        make(offline=True).resolve(["tool"], ARM)


def test_what_a_manifest_says_of_packages_is_in_the_key_of_what_is_made_of_them(make) -> None:
    found = make().resolve(["tool"], ARM)
    digests = {found.digest}
    for name in TOLD:
        others = tuple(replace(one, **{name: "other"}) for one in found.packages)
        digests.add(replace(found, packages=others).digest)
    assert len(digests) == 1 + len(TOLD)


def test_offline_says_what_is_missing(make) -> None:
    with pytest.raises(HostError, match="tool is not resolved yet, and this build is offline"):
        make(offline=True).resolve(["tool"], ARM)
    packages = make().resolve(["tool"], ARM).packages
    with pytest.raises(HostError, match=r"lacks packages\nlib 1.0"):
        make(offline=True).fetch_all(packages)


def test_an_exported_cache_serves_what_left_the_mirror(make, repository, mirror, tmp_path) -> None:
    path, exported = tmp_path / "harness.lock", tmp_path / "exported"
    lock = PackageLock(path)
    here = make(lock=lock)
    packages = here.resolve(["tool"], ARM).packages
    here.fetch_all(packages)
    lock.save()
    assert export(here.store, exported)["packages"] == len(packages)
    for package in packages:
        (repository.root / package.filename).unlink()
    there = make("elsewhere", lock=PackageLock(path))
    with pytest.raises(MirrorError) as caught:
        there.fetch_all(packages)
    assert caught.value.kind == "gone"
    assert "exported cache" in caught.value.hint
    mirror.close()
    there = make("elsewhere", lock=PackageLock(path), offline=True)
    assert take(there.store, exported)["packages"] == len(packages)
    there.fetch_all(there.resolve(["tool"], ARM).packages)


def test_an_exported_cache_that_was_tampered_with_is_refused(make, tmp_path) -> None:
    debian = make()
    debian.fetch_all(debian.resolve(["tool"], ARM).packages)
    export(debian.store, tmp_path / "exported")
    victim = sorted((tmp_path / "exported").iterdir())[0]
    victim.write_bytes(b"evil")
    with pytest.raises(UserError, match="is damaged: its digest is not its name"):
        take(make("elsewhere").store, tmp_path / "exported")
    with pytest.raises(HostError, match="cannot export the cache"):
        export(debian.store, victim / "below-a-file")
    with pytest.raises(UserError, match="no exported cache"):
        take(make("elsewhere").store, tmp_path / "nowhere")


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
