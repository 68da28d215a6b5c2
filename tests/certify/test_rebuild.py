"""`verify --rebuild`: the image is built again from its evidence alone; what its YAML does not give is another one."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certifying import Certified
from forging import Change, Honest, honest, rederived

from harness.arch import by_name
from harness.bench import evidence as bench
from harness.build.debian import DEB
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.certify import contents, rebuild, verify
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.derive import Derived, checked
from harness.certify.origins import strangers
from harness.certify.rebuild import SHARED
from harness.certify.sources import read_all
from harness.certify.verify import CheckResult
from harness.errors import EvidenceError
from harness.exports import take
from harness.image import Image
from harness.spec import load_image
from harness.spec.models.image import ImageSpec
from harness.store import RECORDS, file_digest, seal

pytestmark = pytest.mark.xdist_group("certified")  # which one worker makes


@pytest.fixture(scope="module")
def one(certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return honest(certified.path, certified.key, tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def settings(one: Honest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A build without network, in a cache that has the packages of the evidence's lock and nothing that was built."""
    folder, cache = tmp_path_factory.mktemp("debs"), tmp_path_factory.mktemp("cache")
    here = Builder(Settings()).store
    for package in json.loads(one.found.content(contents.LOCK))["packages"]:
        deb = here.path("debs", package["sha256"]) / DEB
        if deb.is_file():  # a build fetches only what brings files
            (folder / f"{package['sha256']}.deb").symlink_to(deb)
    made = Settings(cache=cache, offline=True)
    take(Builder(made).store, folder)
    return made


@pytest.fixture(scope="module")
def builder(one: Honest, settings: Settings) -> Builder:
    return Builder(replace(settings, lock=one.found.files.path(contents.LOCK)))


@pytest.fixture(scope="module")
def spec(one: Honest, tmp_path_factory: pytest.TempPathFactory) -> ImageSpec:
    """The image's YAML as the evidence has it."""
    path = tmp_path_factory.mktemp("spec") / "image.yml"
    path.write_bytes(one.found.content("spec/1-image.yml"))
    return load_image([path])


@pytest.fixture(scope="module")
def built(builder: Builder, spec: ImageSpec) -> Image:
    """What the evidence's YAML and lock give; it takes as long as all else here."""
    return builder.build(spec, by_name("arm64"))


def again(made: Derived, files: EvidenceFiles, folder: Path, settings: Settings) -> list[CheckResult]:
    return list(rebuild.execute(made, files, folder / "again", settings))


def of_files(files: dict[str, bytes], folder: Path) -> tuple[Derived, EvidenceFiles]:
    """What follows from files that a liar has signed."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    rows = {name: ArchiveMember(name, len(content), file_digest(folder / name)) for name, content in files.items()}
    found = EvidenceFiles(folder, rows)
    qemu = verify.validated(json.loads(files[contents.CERTIFICATE])).qemu
    return checked(found, read_all(found), qemu), found


BUILT = CheckResult(
    "rebuilt", "the image, from its YAML and lock: every byte of initrd, kernel, manifest and bill of materials"
)


def test_an_honest_image_is_built_again_and_nothing_that_was_built_before_is_taken(
    one: Honest, built: Image, settings: Settings, tmp_path: Path
) -> None:
    """In the cache lies an image that is not what its YAML gives, and that its own digests call sound."""
    kernel = (built.folder / "kernel").read_bytes()
    made = verify.check(one.found, ()).derived
    try:
        (built.folder / "kernel").write_bytes(b"another")
        seal(built.folder)
        result, packages = again(made, one.found.files, tmp_path, settings)
    finally:
        (built.folder / "kernel").write_bytes(kernel)
        seal(built.folder)
    assert result == BUILT
    assert (packages.how, packages.lacks) == ("not checked", rebuild.PACKAGES)
    assert "only the vendor's lock vouches for adduser" in packages.text


@pytest.fixture
def informed(settings: Settings, tmp_path: Path) -> Settings:
    """The same, where this host has looked up itself what its sources offer."""
    cache = tmp_path / "informed"
    cache.mkdir()
    for name in SHARED:
        (cache / name).symlink_to(settings.cache / name)
    (cache / RECORDS).unlink(missing_ok=True)
    shutil.copytree(Builder(Settings()).store.root / RECORDS, cache / RECORDS)
    return replace(settings, cache=cache)


def test_its_packages_are_those_that_this_hosts_sources_offer(
    builder: Builder, spec: ImageSpec, informed: Settings
) -> None:
    found = strangers(spec, by_name("arm64"), Builder(replace(informed, lock=builder.settings.lock)), informed)
    assert rebuild._packages(found) == CheckResult(
        "checked", "its packages: all are those that this host's own sources offer"
    )


def test_a_package_that_only_the_vendor_knows_is_named(
    one: Honest, spec: ImageSpec, informed: Settings, tmp_path: Path
) -> None:
    lock = json.loads(one.found.content(contents.LOCK))
    (row,) = (row for row in lock["packages"] if row["name"] == "busybox-static")
    text = json.dumps(lock).replace(row["sha256"], "0" * 64)
    (tmp_path / "lock.json").write_text(text)
    found = strangers(spec, by_name("arm64"), Builder(replace(informed, lock=tmp_path / "lock.json")), informed)
    assert found == (f"busybox-static {row['version']}",)


def another(name: str) -> Change:
    """The image has another file than its YAML gives, and its manifest and every record say so."""

    def lie(files: dict[str, bytes], made: dict[str, Any]) -> None:
        files[f"image/{name}"] += bytes(512)
        digest = hashlib.sha256(files[f"image/{name}"]).hexdigest()
        manifest = json.loads(files["image/manifest.json"])
        (row,) = (row for row in manifest["files"] if row["name"] == name)
        row |= {"size": len(files[f"image/{name}"]), "sha256": digest}
        files["image/manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"
        for boot in contents.EXACT:
            path = f"{contents.BOOTS}/{boot}/{contents.RECORD}"
            record = json.loads(files[path])
            record["inputs"][name] = digest
            files[path] = json.dumps(record, indent=1).encode() + b"\n"

    return lie


def another_package(files: dict[str, bytes], made: dict[str, Any]) -> None:
    manifest = json.loads(files["image/manifest.json"])
    manifest["packages"][0]["version"] += "+fixed"
    files["image/manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"


def another_bill(files: dict[str, bytes], made: dict[str, Any]) -> None:
    # what licences say follows from files that the archive does not hold
    files[contents.SBOM] = files[contents.SBOM].replace(b'"licenseDeclared": "', b'"licenseDeclared": "MIT AND ', 1)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (another("kernel"), "image/kernel is another one"),
        (another("initrd"), "image/initrd is another one"),
        (another_package, "image/manifest.json is another one"),
        (another_bill, "sbom.spdx.json is of another one"),
    ],
    ids=["kernel", "initrd", "manifest", "bill"],
)
def test_another_image_is_not_what_the_yaml_gives(
    one: Honest, built: Image, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: Change,
    said: str,
) -> None:  # fmt: skip
    # all of them have the same YAML and lock, which were built before
    monkeypatch.setattr(Builder, "build", lambda self, spec, arch: built)
    files, made = one.files(), one.certificate
    lie(files, made)
    files, certificate = rederived(files, tmp_path / "made")
    files[contents.CERTIFICATE] = verify.as_json(certificate)
    derived, found = of_files(files, tmp_path / "out")  # nothing in it contradicts anything
    with pytest.raises(EvidenceError, match=f"the image was built again, and {said}"):
        again(derived, found, tmp_path, settings)


def test_the_bench_runs_tests_that_are_there() -> None:
    assert [path for path in (*bench.FORGED, *bench.HOSTILE, *bench.LIES) if not path.is_file()] == []
