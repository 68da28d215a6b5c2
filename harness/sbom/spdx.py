"""An image's bill of materials as an SPDX 2.3 document: packages, OCI images, licences with their texts.

Pure: it is made of the manifest and of the copyright files beside it, so the same image gives the same bytes.
https://spdx.github.io/spdx-spec/v2.3/ says what the fields mean.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from harness import __version__
from harness.build import licences
from harness.spec import image_reference as reference
from harness.store import digest_of

UNKNOWN = licences.UNKNOWN
DOCUMENT, IMAGE, OWN = "SPDXRef-DOCUMENT", "SPDXRef-image", "SPDXRef-bootharness"
LABELLED = "named by the image's label org.opencontainers.image.licenses; its text is not in the image's config"

SpdxRow = Mapping[str, Any]
Copyright = Callable[[str], bytes]


def document(manifest: SpdxRow, copyright_of: Copyright, created: int = 0) -> dict[str, Any]:
    """Return the SPDX document of an image.

    `copyright_of` gives the content of a copyright file by the name that the manifest has for it; `created` is the
    document's time in seconds since 1970.
    """
    debs = [row for row in manifest["packages"] if row["files"]]
    images = manifest.get("images", ())
    name = f"{manifest['name']}-{manifest['arch']}"
    texts = _texts(debs, copyright_of)
    packages = [
        _image(manifest),
        *(_file(row) for row in manifest["files"] if row["shipped"]),
        _own(),
        *(_deb(row, manifest["suite"], texts) for row in debs),
        *(_oci(row, texts) for row in images),
    ]
    made = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        "creationInfo": {
            "created": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: bootharness-{__version__}"],
        },
        "packages": packages,
        "relationships": list(_relationships(packages, _users(manifest))),
        "hasExtractedLicensingInfos": [
            {"licenseId": ref, "name": ref.removeprefix("LicenseRef-"), "extractedText": text}
            for ref, text in sorted(texts.items())
        ],
    }
    # another document has another namespace: two of the same content are one document
    return {**made, "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest_of(made))}"}


def _texts(debs: Iterable[SpdxRow], copyright_of: Copyright) -> dict[str, str]:
    """Return the text of every LicenseRef that the packages' licences name; of two different ones, both."""
    texts: dict[str, str] = {}
    for row in debs:
        if "LicenseRef-" not in row.get("licence", "") or not row.get("copyright"):
            continue
        for ref, text in licences.read(copyright_of(row["copyright"]), row["source"]).texts.items():
            before = texts.get(ref, text)
            texts[ref] = before if text in before else f"{before}\n\n{text}"
    return texts


def _package(spdx_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"SPDXID": spdx_id, "name": name, "downloadLocation": UNKNOWN, "filesAnalyzed": False,
            "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN, **more}  # fmt: skip


def _image(manifest: SpdxRow) -> dict[str, Any]:
    summary = f"a {manifest['format']} image for {manifest['arch']}, made of {', '.join(manifest['spec']['files'])}"
    return _package(IMAGE, manifest["name"], summary=summary, primaryPackagePurpose="OPERATING_SYSTEM")


def _file(row: SpdxRow) -> dict[str, Any]:
    return _package(f"SPDXRef-file-{_id(row['name'])}", row["name"], packageFileName=row["name"],
                    checksums=_sha256(row["sha256"]), primaryPackagePurpose="FILE")  # fmt: skip


def _own() -> dict[str, Any]:
    return _package(OWN, "bootharness", licenseDeclared="Apache-2.0",
                    summary="what the harness itself puts into an image: its first stage, its init's scripts, its "
                            "stand-ins for libraries")  # fmt: skip


def _deb(row: SpdxRow, suite: str, texts: Mapping[str, str]) -> dict[str, Any]:
    locator = f"pkg:deb/debian/{_purl(row['name'])}@{_purl(row['version'])}?arch={row['arch']}&distro={_purl(suite)}"
    source = f"{row['source']} {row.get('source_version', '')}".rstrip()
    licence = row.get("licence") or UNKNOWN
    referred = licences.referred(texts.get(licence, ""))
    comment = {"licenseComments": f"its text refers to {', '.join(referred)}"} if referred else {}
    return _package(
        f"SPDXRef-deb-{_id(row['name'])}-{row['sha256'][:12]}",
        row["name"],
        versionInfo=row["version"],
        supplier="Organization: Debian",
        checksums=_sha256(row["sha256"]),
        sourceInfo=f"built from Debian's source package {source}",
        externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}],
        licenseDeclared=licence,
        **comment,
    )


def _oci(row: SpdxRow, texts: dict[str, str]) -> dict[str, Any]:
    named = reference.parse(row["reference"])
    name = named.repository if isinstance(named, reference.Named) else named.path
    digest, arch = row["digest"], row["platform"].split("/")[1]
    locator = f"pkg:oci/{_purl(name.rpartition('/')[2].lower())}@{quote(digest, safe='')}?arch={_purl(arch)}"
    said, licence = row.get("licences", ""), UNKNOWN
    with contextlib.suppress(InvalidLicenseExpression):
        licence = canonicalize_license_expression(said)
    for ref in re.findall(r"LicenseRef-[A-Za-z0-9.-]+", licence):
        texts.setdefault(ref, LABELLED)
    comment = {"licenseComments": f"its label says {said!r}"} if said and licence == UNKNOWN else {}
    return _package(
        f"SPDXRef-oci-{digest.partition(':')[2][:12]}",
        row["reference"],
        versionInfo=named.tag or digest,
        checksums=[{"algorithm": digest.partition(":")[0].upper(), "checksumValue": digest.partition(":")[2]}],
        externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}],
        licenseDeclared=licence,
        primaryPackagePurpose="CONTAINER",
        **comment,
    )


def _users(manifest: SpdxRow) -> dict[str, list[str]]:
    """Return who in the image uses a package or an OCI image, by its name: ``services/nginx``."""
    images = {row["reference"] for row in manifest.get("images", ())}
    users: dict[str, list[str]] = {}
    for row in manifest["components"]:
        for name in (*row["packages"], *{row["reference"]} & images):
            users.setdefault(name, []).append(f"{row['section']}/{row['name']}")
    return users


def _relationships(packages: Iterable[SpdxRow], users: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    yield {"spdxElementId": DOCUMENT, "relationshipType": "DESCRIBES", "relatedSpdxElement": IMAGE}
    for package in packages:
        if package["SPDXID"] != IMAGE:
            row = {"spdxElementId": IMAGE, "relationshipType": "CONTAINS", "relatedSpdxElement": package["SPDXID"]}
            by = users.get(package["name"]) if "versionInfo" in package else None
            yield {**row, "comment": f"in {', '.join(by)}"} if by else row


def _sha256(digest: str) -> list[dict[str, str]]:
    return [{"algorithm": "SHA256", "checksumValue": digest}]


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _purl(text: str) -> str:
    return quote(text, safe=":~")
