"""Images of others, made by their own tools: each package that those tools list is in a bill that the checkers take."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judges import library
from test_sbom import image as image  # noqa: PLC0414  a fixture
from test_sbom import judge, refusal

from harness import tools
from harness.arch import by_name
from harness.build.debian import Debian
from harness.build.images import make_part, record
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.build.sources import text_of
from harness.image import Image
from harness.oci.fetch import Images
from harness.oci.layers import Limits
from harness.sbom import cyclonedx, spdx
from harness.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "oci"))
from handmade import layout_of

pytestmark = [pytest.mark.builds, pytest.mark.long]
Listed = set[tuple[str, str]]  # names and versions, as the image's own tool has them
AMD64 = by_name("x86_64")


def run(*argv: str, **more: Any) -> str:
    done = subprocess.run([*argv], capture_output=True, text=True, timeout=1200, check=False, **more)
    assert done.returncode == 0, (argv, done.stdout[-500:], done.stderr[-2000:])
    return done.stdout


def packed(folder: Path) -> bytes:
    """Return a folder as a layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, str(path.relative_to(folder)), recursive=False)
    return out.getvalue()


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of Debian's smallest system with Python, by mmdebstrap."""
    if not tools.find("mmdebstrap"):
        pytest.skip("no mmdebstrap")
    folder = tmp_path_factory.mktemp("debian")
    (folder / "mirror.sources").write_text(text_of(Debian(Builder(Settings()).store, suite="bookworm").sources))
    mode = "root" if os.geteuid() == 0 else "unshare"
    run("mmdebstrap", "--quiet", f"--mode={mode}", "--variant=minbase", "--include=python3-yaml", "bookworm",
        str(folder / "root.tar"), str(folder / "mirror.sources"))  # fmt: skip
    return folder / "root.tar"


def of_dpkg(admin: Path) -> Listed:
    rows = run("dpkg-query", f"--admindir={admin}", "-W", "-f=${db:Status-Status} ${Package} ${Version}\n").splitlines()
    return {(name, version) for state, name, version in map(str.split, rows) if state == "installed"}


def unpacked(tar: Path, folder: Path, *members: str) -> Path:
    run("tar", "-C", str(folder), "-xf", str(tar), *members)
    return folder


def make_debian(folder: Path, debian: Path) -> tuple[bytes, Listed]:
    return debian.read_bytes(), of_dpkg(unpacked(debian, folder, "./var/lib/dpkg") / "var/lib/dpkg")


def make_distroless(folder: Path, debian: Path) -> tuple[bytes, Listed]:
    """As distroless images are: a file for each package, without dpkg itself."""
    old = unpacked(debian, folder, "./var/lib/dpkg", "./etc/os-release", "./usr/lib/os-release")
    found = of_dpkg(old / "var/lib/dpkg")
    new = folder / "new"
    (new / "var/lib/dpkg/status.d").mkdir(parents=True)
    for stanza in (old / "var/lib/dpkg/status").read_text().strip().split("\n\n"):
        name = re.search(r"^Package: (\S+)", stanza, re.M)
        assert name
        (new / "var/lib/dpkg/status.d" / name[1]).write_text(f"{stanza}\n")
    (new / "usr/lib").mkdir(parents=True)
    shutil.copyfile(old / "usr/lib/os-release", new / "usr/lib/os-release")
    return packed(new), found


def make_rpm(folder: Path, debian: Path) -> tuple[bytes, Listed]:
    if not tools.find("rpmbuild"):
        pytest.skip("no rpm")
    root = folder / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID="acme"\nVERSION_ID="7"\n')
    database = root / "var/lib/rpm"
    for number, more in enumerate(("Vendor: Acme", "Epoch: 3\nPackager: P <p@x.example>", "Summary(de): n\n")):
        spec = folder / f"p{number}.spec"
        spec.write_text(f"Name: p{number}\nVersion: 1.{number}\nRelease: 2\nSummary: s\nLicense: MIT\n"
                        f"BuildArch: noarch\n{more}\n%description\nd\n%files\n")  # fmt: skip
        run("rpmbuild", "-bb", "--define", f"_topdir {folder}/top", str(spec))
    rpm = ["rpm", "--define", "_db_backend sqlite", f"--dbpath={database}"]
    for package in sorted(folder.glob("top/RPMS/noarch/*.rpm")):
        run(*rpm, "-i", "--justdb", "--nodeps", "--nosignature", str(package))
    rows = run(*rpm, "-qa", "--qf=%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n")
    found = {(name, version) for name, version in map(str.split, rows.splitlines())}
    assert len(found) == 3
    return packed(root), found


def make_npm(folder: Path, debian: Path) -> tuple[bytes, Listed]:
    if not shutil.which("npm"):
        pytest.skip("no npm")
    env = {**os.environ, "HOME": str(folder), "npm_config_offline": "true", "npm_config_audit": "false"}
    app = folder / "root/app"
    app.mkdir(parents=True)
    for name in ("@acme/one", "two"):
        source = folder / name
        source.mkdir(parents=True)
        said = {"name": name, "version": "1.0.0", "license": "ISC"}
        (source / "package.json").write_text(json.dumps(said))
        run("npm", "pack", "--pack-destination", str(folder), cwd=source, env=env)
    tars = {"@acme/one": folder / "acme-one-1.0.0.tgz", "two": folder / "two-1.0.0.tgz"}
    (app / "package.json").write_text(json.dumps({"name": "app", "version": "0.1.0"}))
    run("npm", "install", *map(str, tars.values()), cwd=app, env=env)
    listed = json.loads(run("npm", "ls", "--all", "--json", cwd=app, env=env))["dependencies"]
    digests = {name: hashlib.sha512(path.read_bytes()).digest() for name, path in tars.items()}
    lock = json.loads((app / "node_modules/.package-lock.json").read_text())["packages"]
    for name, digest in digests.items():
        assert lock[f"node_modules/{name}"]["integrity"] == f"sha512-{base64.b64encode(digest).decode()}"
    return packed(folder / "root"), {(name, row["version"]) for name, row in listed.items()}


def make_pip(folder: Path, debian: Path) -> tuple[bytes, Listed]:
    wheel = folder / "mine_own-2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        at = "mine_own-2.0.dist-info"
        archive.writestr("mine_own.py", "")
        archive.writestr(f"{at}/METADATA", "Metadata-Version: 2.1\nName: mine.own\nVersion: 2.0\nLicense: MIT\n")
        archive.writestr(f"{at}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{at}/RECORD", "")
    root = folder / "root"
    run(sys.executable, "-m", "venv", "--copies", str(root / "opt/app"))
    pip = [str(root / "opt/app/bin/python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run(*pip, "install", "--no-index", "--no-deps", str(wheel))
    rows = json.loads(run(*pip, "list", "--format=json"))
    return packed(root), {(re.sub(r"[-_.]+", "-", row["name"]).lower(), row["version"]) for row in rows}


def make_go(folder: Path, debian: Path) -> tuple[bytes, Listed]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry")
    (folder / "root/bin").mkdir(parents=True)
    shutil.copy(program, folder / "root/bin/registry")
    data = Path(program).read_bytes()
    found = {(name.decode(), version.decode()) for name, version in re.findall(rb"\ndep\t(\S+)\t(\S+)", data)}
    compiler = re.search(rb"\xff Go buildinf:.{19}go([0-9.]+)", data, re.S)
    assert compiler
    return packed(folder / "root"), {*found, ("stdlib", compiler[1].decode())}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("maker", [make_debian, make_distroless, make_rpm, make_npm, make_pip, make_go])
def test_each_package_that_an_images_own_tool_lists_is_in_its_bill(
    maker: Callable[[Path, Path], tuple[bytes, Listed]], image: Image, debian: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    layer, listed = maker(tmp_path / "work", debian)
    layout = layout_of(tmp_path / "img", {"x86_64": [layer]}, Cmd=["/x"])
    store = Store(tmp_path / "cache")
    made = Images(store).fetch(f"oci:{layout}:1", AMD64, Path())
    row = record(made, make_part(made, Limits(), store))
    assert row["contents"]["unread"] == []
    manifest = {**image.manifest, "images": [row]}
    texts = image.folder / "licences"
    bill = spdx.document(manifest, lambda name: (texts / name).read_bytes(), supplier="Robin Ltd <s@robin.example>")
    holder = next(one["SPDXID"] for one in bill["packages"] if one["SPDXID"].startswith("SPDXRef-oci-"))
    held = {one["relatedSpdxElement"] for one in bill["relationships"] if one["spdxElementId"] == holder}
    inside = {(one["name"], one["versionInfo"]): one for one in bill["packages"] if one["SPDXID"] in held}
    assert listed and listed <= inside.keys(), sorted(listed - inside.keys())
    extra = {one for one in inside.keys() - listed if "pkg:pypi" not in json.dumps(inside[one])}
    assert extra == set(), "and nothing that its tool does not list, but what Debian's Python has brought of its own"
    judge(bill)
    assert refusal(cyclonedx.document(bill)) is None
    (tmp_path / "bill.spdx.json").write_text(json.dumps(bill))
    checked = library("ntia_conformance_checker").NTIAChecker(str(tmp_path / "bill.spdx.json"))
    assert checked.compliant, checked.output_json()
    if maker is make_npm:
        assert all(len(one["checksums"][-1]["checksumValue"]) == 128 for one in inside.values())
    if maker is make_pip:
        (own,) = [one for (name, _), one in inside.items() if name == "mine-own"]
        assert own["checksums"][0]["algorithm"] == "SHA256"
