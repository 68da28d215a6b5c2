"""From a spec to an image: what is refused, what is cached, and bad days."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from offline import MINIMAL, Offline

from harness.arch import ARCHES
from harness.build.manifest import package_rows
from harness.build.pipeline import Builder, _ucode
from harness.build.settings import Settings
from harness.errors import EXIT_HOST, UserError
from harness.image import Image
from harness.spec import load_image
from harness.store import file_digest, usage

ARM = ARCHES["arm64"]
MB = 1 << 20
BUILD = "import sys; from harness.cli import main; sys.exit(main())"


@pytest.fixture
def cache(warm: Path, tmp_path: Path) -> Path:
    """A cache that has all but the image."""
    copy = tmp_path / "cache"
    shutil.copytree(warm, copy, copy_function=os.link, ignore=shutil.ignore_patterns("images", "roots", "locks", "tmp"))
    return copy


def command(offline: Offline, *words: str) -> list[str]:
    options = ["--arch", "arm64", "--offline", "--lock", str(offline.lock)]
    return [sys.executable, "-c", BUILD, "build", str(offline.spec), *options, *words]


def environment(cache: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "HARNESS_CACHE": str(cache), **more}


def built_in(cache: Path) -> Image:
    (folder,) = (cache / "images").iterdir()
    return Image(folder)


def test_the_image_is_what_its_manifest_says(warm: Path) -> None:
    image = built_in(warm)
    for row in image.manifest["files"]:
        path = image.folder / row["name"]
        assert (path.stat().st_size, file_digest(path)) == (row["size"], row["sha256"])
    listing = subprocess.run(["bsdtar", "-tf", str(image.initrd)], check=True, capture_output=True, text=True).stdout
    names = listing.split()
    assert names[:4] == ["dev", "modules", "newroot", "init"] and names[-1] == "root.squashfs"
    assert "probe" not in listing and "agent" not in listing, "no back door in what is shipped"
    assert image.name == "minimal" and image.arch is ARM
    (service,) = image.manifest["expect"]["services"].values()
    assert service == {
        "capabilities": [], "reach": [], "ours": False, "follows": [], "readonly": service["readonly"], "binds": [],
        "restart": "on-failure", "ready": 60, "ports": [], "udp": [], "raw": [], "mounts": [],
    }  # fmt: skip
    assert str(warm) not in (image.folder / "manifest.json").read_text()


def test_nothing_changed_loads_nothing_heavy_and_starts_nothing(warm: Path, offline: Offline) -> None:
    code = """
import sys
sys.addaudithook(lambda event, _: event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec")
                 and sys.exit(f"started a program: {event}"))
from pathlib import Path
from harness.arch import parse_list
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.spec import load_image

builder = Builder(Settings(cache=Path(sys.argv[1]), lock=Path(sys.argv[2]), offline=True), lambda text: sys.exit(text))
builder.build_all(load_image([Path(sys.argv[3])]), parse_list("arm64"))
heavy = {"elftools", "debian", "tarfile", "paramiko", "rich", "tenacity", "filelock", "subprocess", "logging",
         "concurrent", "asyncio"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    argv = [sys.executable, "-c", code, str(warm), str(offline.lock), str(offline.spec)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_two_builds_at_once_make_one_result(cache: Path, offline: Offline, warm: Path) -> None:
    # both are held at the door until both are there
    gate = "import sys; print('ready', flush=True); sys.stdin.readline(); " + BUILD
    argv = command(offline, "--json")
    argv[argv.index(BUILD)] = gate
    both = [
        subprocess.Popen(
            argv, env=environment(cache), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for one in both:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    told = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert sum("root filesystem" in errors for _, errors in told) == 1, "one made it, the other took it"
    assert digests(built_in(cache)) == digests(built_in(warm))
    assert list((cache / "tmp").iterdir()) == []


def digests(image: Image) -> dict[str, str]:
    files = (path for path in image.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(image.folder)): file_digest(path) for path in files}


def test_a_build_killed_midway_leaves_nothing_that_counts(
    cache: Path, offline: Offline, warm: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "bin/tar2sqfs"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor out; do :; done\necho half >"$out"\nkill -9 $PPID\n')
    fake.chmod(0o755)
    path = f"{fake.parent}:{os.environ['PATH']}"
    killed = subprocess.run(command(offline), env=environment(cache, PATH=path), capture_output=True, check=False)
    assert killed.returncode == -9
    (left,) = (cache / "tmp").glob("*-roots-*")
    assert (left / "root.squashfs").read_text() == "half\n"
    assert list((cache / "roots").iterdir()) == []
    assert list((cache / "images").iterdir()) == []
    subprocess.run(command(offline), env=environment(cache), check=True, capture_output=True)
    assert digests(built_in(cache)) == digests(built_in(warm))
    assert list((cache / "tmp").iterdir()) == [], "swept"


@pytest.mark.parametrize("room", [1, 12, 17], ids=["the root's tar", "the squashfs", "the initrd"])
def test_a_full_disk_is_said_in_words(cache: Path, offline: Offline, tmp_path: Path, room: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    for folder in ("debs", "apt"):
        shutil.rmtree(cache / folder, ignore_errors=True)
    script = 'mount -t tmpfs -o "size=$1" disk "$2" || exit 99; cp -a "$3/." "$2"; shift 3; "$@"; code=$?; ' \
             'ls "$HARNESS_CACHE/tmp" "$HARNESS_CACHE/images"; exit $code'  # fmt: skip
    size = usage(cache) + room * MB
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", str(size), str(disk), str(cache), *command(offline)]
    done = subprocess.run(argv, env=environment(disk), capture_output=True, text=True, check=False)
    if done.returncode in (1, 99) and "harness:" not in done.stderr:
        pytest.skip(f"no small disk without privilege here: {done.stderr.strip()}")
    assert done.returncode == EXIT_HOST, done.stderr
    assert re.search(f"harness: the disk is full: could not write (roots|images) into {disk}", done.stderr)
    assert "what to do: free space" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.split() == [f"{disk}/images:", f"{disk}/tmp:"], "nothing half-written"


def test_a_cache_that_cannot_be_written_is_still_read(warm: Path, offline: Offline, tmp_path: Path) -> None:
    # bound read-only, for root may write to a folder of any mode
    script = 'mount --bind -o ro "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99; shift; exec "$@"'
    copy = tmp_path / "cache"
    shutil.copytree(warm, copy, copy_function=os.link)
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", str(copy), *command(offline)]
    done = subprocess.run(argv, env=environment(copy), capture_output=True, text=True, check=False)
    if done.returncode in (1, 99) and "harness:" not in done.stderr:
        pytest.skip(f"no read-only bind without privilege here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert built_in(copy).folder.name in done.stdout


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown compression"):
        Builder(Settings(cache=tmp_path, compression="rar"))


def test_a_source_that_changed_is_another_image(tmp_path: Path, offline: Offline, warm: Path) -> None:
    spec, source = tmp_path / "image.yml", tmp_path / "source"
    spec.write_text(MINIMAL.read_text() + "files:\n  - {path: etc/x, source: source}\n")
    builder = Builder(Settings(cache=warm, lock=offline.lock, offline=True))

    def key() -> str:
        return builder.key(builder.inputs(load_image([spec]), ARM))

    source.write_text("one")
    one = key()
    os.utime(source, (1, 1))
    assert key() == one
    source.write_text("two")
    assert key() != one


def test_a_local_component_is_built_in_and_counts(tmp_path: Path, warm: Path, offline: Offline) -> None:
    spec, mine = tmp_path / "image.yml", tmp_path / "os" / "mine"
    mine.mkdir(parents=True)
    (mine / "component.yml").write_text(
        "description: x\nfiles: [{path: usr/bin/mine, source: mine}, {path: usr/lib/helper, source: helper}]\n"
        "config: {readonly: true, command: [/usr/bin/mine]}\n"
    )
    (mine / "mine").write_text("one")
    (mine / "mine").chmod(0o755)
    (mine / "helper").write_text("x")
    spec.write_text(f"{MINIMAL.read_text()}  - {{name: mine, image: '@pkg:os/mine'}}\n")
    cache = tmp_path / "cache"
    shutil.copytree(warm, cache, copy_function=os.link, ignore=shutil.ignore_patterns("locks", "tmp"))
    builder = Builder(Settings(cache=cache, lock=offline.lock, offline=True))

    def built() -> Image:
        (image,) = builder.build_all(load_image([spec]), [ARM])
        return image

    one = built()
    (row,) = [row for row in one.manifest["components"] if row["name"] == "mine"]
    assert (row["reference"], row["packages"]) == ("@pkg:os/mine", [])
    assert ["containers/services/mine/rootfs/usr/bin/mine", 3] in [file[:2] for file in row["files"]]
    assert built().folder == one.folder
    (mine / "mine").write_text("two")
    two = built()
    assert two.folder != one.folder, "its files are in the image's key"
    (mine / "helper").chmod(0o755)
    assert built().folder != two.folder, "and whether they are programs"


def test_microcode_is_for_the_architecture_that_has_it(tmp_path: Path) -> None:
    kernel = tmp_path / "k" / "component.yml"
    kernel.parent.mkdir()
    (kernel.parent / "intel").write_bytes(b"070701")
    kernel.write_text("description: x\nkernel: {modules: []}\nfiles: [{path: intel.cpio, source: intel}]\n")
    (tmp_path / "image.yml").write_text("kernel: {image: '@pkg:k', ucode: /intel.cpio}\n")
    builder, spec = Builder(Settings(cache=tmp_path / "cache")), load_image([tmp_path / "image.yml"])
    found = {arch.name: _ucode(builder.inputs(spec, arch)) for arch in ARCHES.values()}
    assert found == {"x86_64": kernel.parent / "intel", "arm64": None, "s390x": None}


def test_a_lock_is_written_then_honoured(tmp_path: Path, warm: Path, offline: Offline) -> None:
    locked = json.loads(offline.lock.read_text())
    assert "busybox-static" in locked["requests"]["arm64"]
    before = offline.lock.read_bytes()
    builder = Builder(Settings(cache=warm, lock=offline.lock, offline=True))
    builder.build_all(load_image([MINIMAL]), [ARM])
    assert offline.lock.read_bytes() == before, "an honoured lock is not rewritten"
    packages = built_in(warm).manifest["packages"]
    told = {(row["name"], row["version"], row["sha256"]) for row in packages}
    assert told == {(row["name"], row["version"], row["sha256"]) for row in locked["packages"]}
    brought = {row["name"]: row["files"] for row in packages}
    assert brought["busybox-static"] > 0 and brought["kmod"] == 0


def test_a_package_is_listed_once_with_all_of_its_files_that_are_shipped() -> None:
    def row(name: str, files: int) -> dict[str, object]:
        same = dict.fromkeys(("name", "sha256", "source"), name)
        kept = {"licence": "MIT", "copyright": f"{name}_1", "sha512": "ab"} if files else {}
        return {**same, "version": "1", "source_version": "", "arch": "all", "files": files, "size": 9, **kept}

    one, two, probe = [row("a", 2), row("b", 0)], [row("a", 1), row("c", 0)], [row("a", 5), row("d", 1)]
    found = package_rows([(one, True), (two, True), (probe, False)])
    assert {package["name"]: package["files"] for package in found} == {"a": 3, "b": 0, "c": 0, "d": 0}
    assert {package["name"]: package["licence"] for package in found} == {"a": "MIT", "b": "", "c": "", "d": ""}
    assert found[0]["copyright"] == "a_1" and found[0]["source_version"] == "1"


def test_what_the_lock_lacks_is_refused_with_a_hint(tmp_path: Path, warm: Path, offline: Offline) -> None:
    spec = tmp_path / "image.yml"
    spec.write_text(MINIMAL.read_text().replace("image: busybox", "image: rngd"))
    builder = Builder(Settings(cache=warm, lock=offline.lock, offline=True))
    with pytest.raises(UserError, match="does not list") as caught:
        builder.build_all(load_image([spec]), [ARM])
    assert "remove" in caught.value.hint and str(offline.lock) in caught.value.hint


def test_a_package_that_is_not_what_the_lock_says_is_refused(warm: Path, tmp_path: Path, offline: Offline) -> None:
    locked = json.loads(offline.lock.read_text())
    row = next(row for row in locked["packages"] if row["name"] == "busybox-static")
    changed = row["sha256"][::-1]
    lock = tmp_path / "lock.json"
    lock.write_text(offline.lock.read_text().replace(row["sha256"], changed))
    builder = Builder(Settings(cache=warm, lock=lock, offline=True))
    with pytest.raises(Exception, match="offline and lacks packages") as caught:
        builder.build_all(load_image([MINIMAL]), [ARM])
    assert "busybox-static" in str(caught.value)


def test_the_mirror_setting_reaches_the_packages(tmp_path: Path) -> None:
    mirror = "https://mirror.invalid/debian"
    builder = Builder(Settings(cache=tmp_path, mirror=mirror, suite="trixie"))
    assert [(source.uris, source.suites) for source in builder.debian.sources] == [((mirror,), ("trixie",))]
