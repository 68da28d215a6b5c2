"""An image's bill of materials: valid by SPDX's own tool, complete, the same for the same image; and two compared."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from judges import library
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from harness.build.settings import Settings
from harness.cli import app
from harness.commands.images import sbom, scan
from harness.errors import HostError, UserError
from harness.image import Image
from harness.sbom import cyclonedx, diff, spdx

DIGEST = "sha256:" + "ab" * 32
OCI = {"reference": "registry.example/group/web:1.2", "digest": DIGEST, "platform": "linux/arm64/v8",
       "licences": "MIT AND LicenseRef-Theirs"}  # fmt: skip


@pytest.fixture
def image(warm: Path) -> Image:
    """The image of `minimal` for arm64."""
    (folder,) = (warm / "images").iterdir()
    return Image(folder)


@pytest.fixture(autouse=True)
def _no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sbom.EPOCH, raising=False)


def judge(document: Mapping[str, Any]) -> None:
    """Let SPDX's own tool read it, validate it, and write it again: what it does not know would be lost."""
    parsed = JsonLikeDictParser().parse(json.loads(json.dumps(document)))
    assert validate_full_spdx_document(parsed) == []
    again = json.loads(json.dumps(DocumentConverter().convert(parsed)).replace("PACKAGE_MANAGER", "PACKAGE-MANAGER"))
    assert again == document


def test_it_is_valid(image: Image) -> None:
    judge(sbom.of(image))


def refusal(document: Mapping[str, Any]) -> object:
    """Return what CycloneDX's own validator says against a bill, or None."""
    strict = library("cyclonedx.validation.json").JsonStrictValidator(SchemaVersion.V1_6)
    return strict.validate_str(json.dumps(document))


def test_as_cyclonedx_it_is_valid_by_the_official_schema(image: Image) -> None:
    first = sbom.of(image)
    document = cyclonedx.document(first)
    assert refusal(document) is None
    assert diff.changes(diff.entries(first), diff.entries(document)) == [], "it says the same"
    parts = {row["name"]: row for row in document["components"]}
    assert parts["crun"]["purl"].startswith("pkg:deb/debian/crun@") and parts["kernel"]["type"] == "file"
    assert {"name": "bootharness:carried", "value": "in init/init"} in parts["crun"]["properties"]
    texts = {row["licenseId"]: row["extractedText"] for row in first["hasExtractedLicensingInfos"]}
    (busybox,) = parts["busybox-static"]["licenses"]
    assert busybox["license"]["text"]["content"] == texts[busybox["license"]["name"]]
    own = [one["license"]["name"] for one in parts["crun"]["evidence"]["licenses"]]
    assert own and all(name in parts["crun"]["licenses"][0]["expression"] for name in own)


def test_it_has_the_minimum_elements_of_the_ntia(image: Image, tmp_path: Path) -> None:
    from ntia_conformance_checker import NTIAChecker

    row = {**OCI, "contents": {**CONTENTS, "packages": CONTENTS["packages"][:1]}}
    local = {**OCI, "reference": "oci:/x:1", "digest": "sha256:" + "cd" * 32, "labels": {spdx.VENDOR: "Acme"}}
    whole = {**image.manifest, "images": [row, local], "own_files": [["etc/mine", 5, "cd" * 32]]}

    def checked(supplier: str) -> NTIAChecker:
        path = tmp_path / "bill.spdx.json"
        document = spdx.document(whole, lambda name: (image.folder / "licences" / name).read_bytes(), supplier=supplier)
        path.write_text(json.dumps(document))
        return NTIAChecker(str(path))

    good = checked("Robin Ltd <sbom@robin.example>")
    assert good.compliant, good.output_json()
    unsaid = {name for name, _ in checked("").components_without_suppliers}
    assert unsaid == {"minimal", "kernel", "initrd", "/etc/mine"}, "nobody but their maker can say"
    with pytest.raises(UserError, match="NAME <ADDRESS>"):
        sbom.of(image, "a <b")


def test_other_peoples_cyclonedx_is_read_too() -> None:
    licences: list[tuple[object, str]] = [
        ([{"license": {"id": "MIT"}}, {"license": {"name": "Mine"}}], "MIT AND Mine"),
        ([{"expression": "MIT OR ISC"}], "MIT OR ISC"),
        ([], ""),
        ("MIT", ""),
        ([1, {"license": 2}], ""),
    ]
    for said, expected in licences:
        rows = [{"name": "a", "version": "1", "licenses": said}, {"name": "b"}, {"name": "c", "version": 3}]
        found = diff.entries({"bomFormat": "CycloneDX", "components": rows})
        assert found == {"a": diff.ListedPackage(("1",), (expected,))}


def test_it_lists_what_is_in_the_image_and_nothing_else(image: Image) -> None:
    document = sbom.of(image)
    shipped = {row["name"]: row for row in image.manifest["packages"] if row["files"]}
    found = {row["name"]: row for row in document["packages"] if row["SPDXID"].startswith("SPDXRef-deb-")}
    assert found.keys() == shipped.keys() and "crun" in shipped and len(shipped) < len(image.manifest["packages"])
    for name, row in found.items():
        assert row["versionInfo"] == shipped[name]["version"]
        assert row["checksums"] == sums(shipped[name])
        assert row["licenseDeclared"] == shipped[name]["licence"] != ""
    (crun,) = found["crun"]["externalRefs"]
    assert crun["referenceLocator"].startswith("pkg:deb/debian/crun@") and "+" not in crun["referenceLocator"]
    assert crun["referenceLocator"].endswith("?arch=arm64&distro=debian-12")
    (libc,) = found["libc6"]["externalRefs"]
    assert libc["referenceLocator"].endswith("?arch=arm64&distro=debian-12&upstream=glibc")
    assert found["crun"]["supplier"] == "Organization: Debian"
    named = {row["relatedSpdxElement"]: row.get("comment") for row in document["relationships"]}
    assert named[found["crun"]["SPDXID"]] == "in init/init"
    kernel = next(row for name, row in found.items() if name.startswith("linux-image"))
    assert named[kernel["SPDXID"]] == "in kernel/kernel"
    files = {row["name"]: row["checksums"] for row in document["packages"]
             if row["SPDXID"].startswith("SPDXRef-file-")}  # fmt: skip
    assert files == {row["name"]: sums(row) for row in image.manifest["files"] if row["shipped"]}
    for name in files:
        with (image.folder / name).open("rb") as stream:
            assert hashlib.file_digest(stream, "sha512").hexdigest() == files[name][1]["checksumValue"]


def sums(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the checksums that a bill has of what a row of a manifest is about."""
    return [{"algorithm": name.upper(), "checksumValue": row[name]} for name in ("sha256", "sha512")]


def test_a_debs_sha512_is_that_of_its_bytes(image: Image, warm: Path) -> None:
    shipped = [row for row in image.manifest["packages"] if row["files"]]
    for row in shipped:
        with (warm / "debs" / row["sha256"] / "package.deb").open("rb") as stream:
            assert row["sha512"] == hashlib.file_digest(stream, "sha512").hexdigest()
    others = [row["sha512"] for row in image.manifest["packages"] if row not in shipped]
    assert shipped and set(others) == {""}


# TR-03183-2, 5.2: fields that a bill shall have, as CycloneDX has them, of all that a mirror or the YAML has brought
BSI = {
    "component name": lambda row: row["name"],
    "component version": lambda row: row["version"],
    "filename": lambda row: [one["value"] for one in row["properties"] if one["name"] == cyclonedx.FILENAME],
    "SHA-512": lambda row: [one["content"] for one in row["hashes"] if one["alg"] == "SHA-512"],
    "component creator": lambda row: row["supplier"]["name"],
}


def test_it_has_what_it_can_of_the_bsis_fields(image: Image) -> None:
    manifest = {**image.manifest, "own_files": [["etc/mine", 5, "ab" * 32, "cd" * 64]]}
    licences = image.folder / "licences"
    by = "Robin Ltd <sbom@robin.example>"
    first = spdx.document(manifest, lambda name: (licences / name).read_bytes(), supplier=by)
    document = cyclonedx.document(first)
    assert refusal(document) is None
    assert document["metadata"]["manufacturer"]["contact"] == [{"email": "sbom@robin.example"}]
    assert document["metadata"]["timestamp"] and document["serialNumber"].startswith("urn:uuid:")
    assert "vulnerabilities" not in document
    refs = {row["bom-ref"] for row in document["components"]}
    (said,) = document["compositions"]
    assert {*said["dependencies"]} == {*refs, spdx.IMAGE}
    rows = {row["name"]: row for row in document["components"] if row["name"] != "bootharness"}
    missing = [(name, field) for name, row in rows.items() for field, of in BSI.items() if not of(row)]
    assert missing == [] and len(rows) == len(refs) - 1
    assert rows["/etc/mine"]["properties"][-1]["value"] == "mine"
    libc = next(row for row in manifest["packages"] if row["name"] == "libc6")
    assert rows["libc6"]["properties"][-1]["value"] == f"libc6_{libc['version']}_arm64.deb"


@pytest.mark.parametrize(
    ("version", "file"), [("1:2.36-9", "x_2.36-9_all.deb"), ("2.36~rc1+b2", "x_2.36~rc1+b2_all.deb")]
)
def test_a_files_name_has_no_epoch(version: str, file: str) -> None:
    assert spdx._deb_file({"name": "x", "version": version, "arch": "all"}) == file


def test_each_licence_of_its_own_comes_with_its_text(image: Image) -> None:
    texts = {row["licenseId"]: row["extractedText"] for row in sbom.of(image)["hasExtractedLicensingInfos"]}
    busybox = next(row for row in image.manifest["packages"] if row["name"] == "busybox-static")
    assert busybox["licence"] == "LicenseRef-busybox"
    assert texts["LicenseRef-busybox"] == (image.folder / "licences" / busybox["copyright"]).read_text().strip()


def test_oci_images_are_packages_too(image: Image) -> None:
    row = {"section": "services", "name": "web", "reference": OCI["reference"], "packages": []}
    manifest = {**image.manifest, "images": [OCI], "components": [*image.manifest["components"], row]}
    document = spdx.document(manifest, lambda name: (image.folder / "licences" / name).read_bytes())
    judge(document)
    (web,) = [one for one in document["packages"] if one["name"] == OCI["reference"]]
    assert (web["versionInfo"], web["licenseDeclared"]) == ("1.2", "MIT AND LicenseRef-Theirs")
    assert web["externalRefs"][0]["referenceLocator"] == f"pkg:oci/web@sha256%3A{'ab' * 32}?arch=arm64"
    (contains,) = [one for one in document["relationships"] if one["relatedSpdxElement"] == web["SPDXID"]]
    assert contains["comment"] == "in services/web"
    odd = spdx.document({**manifest, "images": [{**OCI, "licences": "as is"}]}, lambda name: b"")
    (web,) = [one for one in odd["packages"] if one["name"] == OCI["reference"]]
    assert (web["licenseDeclared"], web["licenseComments"]) == ("NOASSERTION", "its label says 'as is'")


CONTENTS: dict[str, Any] = {
    "distro": {"id": "debian", "version": "12"},
    "packages": [
        {"kind": "deb", "name": "libc6", "version": "2.36-9", "arch": "arm64", "source": "glibc",
         "source_version": "2.36-9", "supplier": "GNU Libc Maintainers <libc@lists.example>", "licence": ""},
        {"kind": "apk", "name": "musl", "version": "1-r0", "arch": "", "source": "musl", "source_version": "1-r0",
         "supplier": "", "licence": "MIT"},
        *({"kind": kind, "name": name, "version": "1.0+b", "arch": "", "source": "", "source_version": "",
           "supplier": "", "licence": ""} for kind, name in (("npm", "@a/b"), ("golang", "x.example/c"))),
    ],
    "unread": ["/var/lib/rpm/Packages: rpm's database in a form that is not read here"],
}  # fmt: skip


def test_one_image_under_two_names_is_one_package_with_what_is_in_it(image: Image) -> None:
    rows = [{"section": "services", "name": name, "reference": reference, "packages": []}
            for name, reference in (("one", OCI["reference"]), ("two", "other.example/web:2"))]  # fmt: skip
    images = [{**OCI, "contents": CONTENTS}, {**OCI, "reference": "other.example/web:2", "contents": CONTENTS}]
    manifest = {**image.manifest, "images": images, "components": [*image.manifest["components"], *rows]}
    document = spdx.document(manifest, lambda name: (image.folder / "licences" / name).read_bytes())
    judge(document)
    assert refusal(cyclonedx.document(document)) is None
    (web,) = [row for row in document["packages"] if row["SPDXID"].startswith("SPDXRef-oci-")]
    assert "also named other.example/web:2" in web["comment"] and "not read: /var/lib/rpm/Packages" in web["comment"]
    held = {row["relatedSpdxElement"] for row in document["relationships"] if row["spdxElementId"] == web["SPDXID"]}
    inside = {row["name"]: row for row in document["packages"] if row["SPDXID"] in held}
    assert inside.keys() == {"libc6", "musl", "@a/b", "x.example/c"}
    purls = [inside[name]["externalRefs"][0]["referenceLocator"] for name in ("@a/b", "x.example/c")]
    assert purls == ["pkg:npm/%40a/b@1.0%2Bb", "pkg:golang/x.example/c@1.0%2Bb"]
    libc = inside["libc6"]["externalRefs"][0]["referenceLocator"]
    assert libc == "pkg:deb/debian/libc6@2.36-9?arch=arm64&distro=debian-12&upstream=glibc"
    assert inside["libc6"]["supplier"] == "Organization: GNU Libc Maintainers (libc@lists.example)"
    assert inside["musl"]["licenseDeclared"] == "MIT"
    (contains,) = [one for one in document["relationships"] if one["relatedSpdxElement"] == web["SPDXID"]]
    assert contains["comment"] == "in services/one, services/two"


def test_a_package_of_ones_own_repository_is_not_debians(image: Image) -> None:
    rows = [{**row, "origin": "Acme Ltd"} if row["name"] == "crun" else row for row in image.manifest["packages"]]
    manifest = {**image.manifest, "packages": rows, "own_files": [["etc/mine", 5, "ab" * 32]]}
    document = spdx.document(manifest, lambda name: (image.folder / "licences" / name).read_bytes())
    judge(document)
    parts = {row["name"]: row for row in document["packages"]}
    assert parts["crun"]["supplier"] == "Organization: Acme Ltd"
    assert parts["crun"]["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/acme-ltd/crun@")
    assert parts["/etc/mine"]["checksums"] == [{"algorithm": "SHA256", "checksumValue": "ab" * 32}]
    unsaid = {**manifest, "packages": [{**row, "origin": ""} for row in rows]}
    parts = {row["name"]: row for row in spdx.document(unsaid, lambda name: b"")["packages"]}
    assert "supplier" not in parts["crun"]
    assert parts["crun"]["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/crun@")


def test_the_same_image_gives_the_same_bytes(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sbom.of(image)
    assert first == sbom.of(image) and first["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    monkeypatch.setenv(sbom.EPOCH, "1767225600")
    dated = sbom.of(image)
    assert dated["creationInfo"]["created"] == "2026-01-01T00:00:00Z"
    assert dated["documentNamespace"] != first["documentNamespace"]
    monkeypatch.setenv(sbom.EPOCH, "yesterday")
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        sbom.of(image)


def test_an_image_that_lost_a_file_is_said(image: Image, tmp_path: Path) -> None:
    copy = Image(tmp_path / "copy")
    shutil.copytree(image.folder, copy.folder)
    shutil.rmtree(copy.folder / "licences")
    with pytest.raises(UserError, match="is not a whole image"):
        sbom.of(copy)


def command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sbom", *words])
    return done.exit_code, done.output


def test_the_command_writes_and_compares(image: Image, tmp_path: Path) -> None:
    code, text = command(str(image.folder))
    assert code == 0 and json.loads(text) == sbom.of(image)
    code, text = command(str(image.folder), "--format", "cyclonedx")
    assert code == 0 and json.loads(text)["bomFormat"] == "CycloneDX"
    assert command(str(image.folder), "--format", "csv")[0] == 2
    first, second = tmp_path / "a.spdx.json", tmp_path / "new" / "b.json"
    assert command(str(image.folder), "-o", str(first))[0] == 0
    changed = json.loads(first.read_text())
    rows = {row["name"]: row for row in changed["packages"]}
    rows["crun"]["versionInfo"] = "9\x1b[31m"
    rows["libc6"]["licenseDeclared"] = "MIT"
    rows["libcap2"]["name"] = "libcap3"
    second.parent.mkdir()
    second.write_text(json.dumps(changed))
    assert command("diff", str(first), str(image.folder)) == (0, f"the same {len(rows) - 3} packages\n")
    code, text = command("diff", str(first), str(second))
    assert code == 1
    old = {row["name"]: row["versionInfo"] for row in json.loads(first.read_text())["packages"]
           if "primaryPackagePurpose" not in row}  # fmt: skip
    libcap = f"{old['libcap2']}  ({rows['libcap2']['licenseDeclared']})"
    assert text.splitlines() == [
        f"version crun  {old['crun']} → 9\\x1b[31m",
        "licence libc6  licence: LicenseRef-glibc → MIT",
        f"removed libcap2  {libcap}",
        f"added   libcap3  {libcap}",
        f"4 of {len(old) + 1} packages differ",
    ]
    code, text = command("diff", str(first), str(second), "--json")
    assert code == 1
    assert [(one["kind"], one["name"]) for one in json.loads(text)] == [
        ("version", "crun"), ("licence", "libc6"), ("removed", "libcap2"), ("added", "libcap3")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "is not an SBOM"),
        ('{"spdxVersion": "SPDX-3.0", "packages": []}', "is not an SBOM"),
        ('{"spdxVersion": "SPDX-2.3", "packages": [1]}', "is not an SBOM"),
        ('{"spdxVersion": "SPDX-2.3", "packages": {"name": "x"}}', "is not an SBOM"),
        ('{"bomFormat": "CycloneDX", "components": [{"name": 1}]}', "is not an SBOM"),
        ('{"bomFormat": "Other", "components": []}', "is not an SBOM"),
    ],
)
def test_what_is_no_document_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        sbom.read(tmp_path / "x.json")


@pytest.mark.parametrize("words", [(), ("diff", "a.json"), ("diff", "a.json", "b.json", "c.json")])
def test_what_is_not_asked_right_is_refused(words: tuple[str, ...]) -> None:
    assert command(*words)[0] == 2


READER = """#!{python}
import json, sys
bill = json.load(open(sys.argv[-1]))
print(bill["bomFormat"], sorted({{row["name"] for row in bill["components"]}} & {{"crun", "libc6"}}))
sys.exit({code})
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_scanner_gets_the_bill(image: Image, tmp_path: Path, capfd: pytest.CaptureFixture[str], code: int) -> None:
    scanner = tmp_path / "my scanner"
    scanner.write_text(READER.format(python=sys.executable, code=code))
    scanner.chmod(0o755)
    request = sbom.SbomRequest(scanner=f"'{scanner}' --read {{}}")
    assert sbom.sbom(["scan", str(image.folder)], Settings(), request) == (1 if code else 0)
    said = capfd.readouterr()
    assert said.out == "CycloneDX ['crun', 'libc6']\n"
    assert ("ended with exit code 3" in said.err) == bool(code)


def test_which_scanner_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bill = tmp_path / "b.cdx.json"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="none of grype, trivy, cve-bin-tool is installed"):
        scan.command("", bill)
    for name in ("cve-bin-tool", "trivy"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert scan.command("", bill) == ["trivy", "sbom", str(bill)]
    assert scan.command("x 'a b' f:{}", bill) == ["x", "a b", f"f:{bill}"]
    for wrong in ("{}", "x y", "x '{}"):
        with pytest.raises(UserError, match="--scanner"):
            scan.command(wrong, bill)


def test_statements_on_vulnerabilities_go_in_and_come_out(image: Image, tmp_path: Path) -> None:
    said, other = tmp_path / "v.json", tmp_path / "w.json"
    rows = [{"vulnerability": {"name": f"CVE-2099-{name}"}, "status": "fixed", "products": [f"pkg:deb/debian/{name}"]}
            for name in ("crun", "absent")]  # fmt: skip
    said.write_text(json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "statements": rows}))
    other.write_text(json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "statements": rows[1:]}))
    words = (str(image.folder), "--vex", str(said), "-o", str(tmp_path / "out.json"), "--format")
    code, text = command(*words, "cyclonedx")
    assert code == 0 and "CVE-2099-absent: the image has no package that its statement is about" in text
    (row,) = json.loads((tmp_path / "out.json").read_text())["vulnerabilities"]
    assert row["id"] == "CVE-2099-crun" and len(row["affects"]) == 1
    assert command(*words, "openvex")[0] == 0
    assert json.loads((tmp_path / "out.json").read_text())["statements"][0]["status"] == "fixed"
    assert command(*words, "spdx")[0] == 2
    assert command(str(image.folder), "--format", "openvex", "--vex", str(other))[0] == 2
