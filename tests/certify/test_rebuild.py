"""`verify --rebuild`: the image is built again from its evidence alone; what its YAML does not give is another one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from certifying import Certified
from forging import Change, Honest, honest, rederived

from harness.bench import evidence as bench
from harness.build.debian import DEB
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.certify import contents, rebuild, verify
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.derive import Derived, checked
from harness.certify.sources import read_all
from harness.certify.verify import CheckResult
from harness.errors import EvidenceError
from harness.exports import take
from harness.store import file_digest


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


def again(made: Derived, files: EvidenceFiles, folder: Path, settings: Settings) -> CheckResult:
    return rebuild.execute(made, files, folder / "again", settings)


def of_files(files: dict[str, bytes], folder: Path) -> tuple[Derived, EvidenceFiles]:
    """What follows from files that a liar has signed."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    rows = {name: ArchiveMember(name, len(content), file_digest(folder / name)) for name, content in files.items()}
    found = EvidenceFiles(folder, rows)
    qemu = verify.validated(json.loads(files[contents.CERTIFICATE])).qemu
    return checked(found, read_all(found), qemu), found


def test_an_honest_image_is_built_again(one: Honest, settings: Settings, tmp_path: Path) -> None:
    made = verify.check(one.found, ()).derived
    assert again(made, one.found.files, tmp_path, settings) == CheckResult(
        "rebuilt", "the image, from its YAML and lock: every byte of initrd, kernel, manifest and bill of materials"
    )


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
    one: Honest, settings: Settings, tmp_path: Path, lie: Change, said: str
) -> None:
    files, made = one.files(), one.certificate
    lie(files, made)
    files, certificate = rederived(files, tmp_path / "made")
    files[contents.CERTIFICATE] = verify.as_json(certificate)
    derived, found = of_files(files, tmp_path / "out")  # nothing in it contradicts anything
    with pytest.raises(EvidenceError, match=f"the image was built again, and {said}"):
        again(derived, found, tmp_path, settings)


def test_the_bench_runs_tests_that_are_there() -> None:
    assert [path for path in (bench.FORGED, bench.HOSTILE) if not path.is_file()] == []
