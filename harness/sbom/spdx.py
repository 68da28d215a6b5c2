"""An image's bill of materials as an SPDX 2.3 document: packages, OCI images, licences with their texts.

Pure: it is made of the manifest and of the copyright files beside it, so the same image gives the same bytes.
https://spdx.github.io/spdx-spec/v2.3/ says what the fields mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression

from harness import __version__
from harness.build import licences
from harness.build.attestations import FOLDER
from harness.spec import image_reference as reference
from harness.store import digest_of

UNKNOWN = licences.UNKNOWN
DOCUMENT, IMAGE, OWN = "SPDXRef-DOCUMENT", "SPDXRef-image", "SPDXRef-bootharness"
DEBIAN = "Debian"
DEBIAN_NUMBERS = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}
ATTESTATION = "attestation"  # the type of a reference to what is attached to an image
VENDOR = "org.opencontainers.image.vendor"  # image-spec, annotations.md
LANGUAGES = ("pypi", "npm", "golang")  # a package of theirs is the same whatever distribution it is in
LABELLED = "named by the image's label org.opencontainers.image.licenses; its text is not in the image's config"

SpdxRow = Mapping[str, Any]
Copyright = Callable[[str], bytes]


def document(manifest: SpdxRow, copyright_of: Copyright, created: int = 0, supplier: str = "") -> dict[str, Any]:
    """Return the SPDX document of an image.

    `copyright_of` gives the content of a copyright file by the name that the manifest has for it; `created` is the
    document's time in seconds since 1970; `supplier` of the image and its files is ``NAME`` or ``NAME <ADDRESS>``.
    """
    by = supplied(supplier)
    debs = [row for row in manifest["packages"] if row["files"]]
    images = _by_digest(manifest.get("images", ()))
    name = f"{manifest['name']}-{manifest['arch']}"
    texts = _texts(debs, copyright_of)
    packages = [
        {**_image(manifest), **by},
        *({**_file(row), **by} for row in manifest["files"] if row["shipped"]),
        _own(),
        *(_deb(row, manifest["suite"], texts) for row in debs),
        *(_oci(row, texts, by) for row in images),
        *({**_own_file(*row), **by} for row in manifest.get("own_files", ())),
    ]
    inside = {_oci_id(row): [_installed(one, row, by) for one in _contents(row)["packages"]] for row in images}
    made = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        "creationInfo": {
            "created": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: bootharness-{__version__}"],
        },
        "packages": [*packages, *(one for found in inside.values() for one in found)],
        "relationships": [
            *_relationships(packages, _users(manifest, images)),
            *(
                {"spdxElementId": holder, "relationshipType": "CONTAINS", "relatedSpdxElement": one["SPDXID"]}
                for holder, found in inside.items()
                for one in found
            ),
        ],
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
    shipped = digest_of([row["sha256"] for row in manifest["files"] if row["shipped"]])
    return _package(IMAGE, manifest["name"], versionInfo=_version(shipped), summary=summary,
                    primaryPackagePurpose="OPERATING_SYSTEM")  # fmt: skip


def _version(digest: str) -> str:
    """Return the version of what has none but its bytes."""
    return f"sha256:{digest[:12]}"


def _file(row: SpdxRow) -> dict[str, Any]:
    said = _bytes(row["name"], row["sha256"], row.get("sha512", ""))
    return _package(f"SPDXRef-file-{_id(row['name'])}", row["name"], **said)


def _bytes(path: str, sha256: str, sha512: str) -> dict[str, Any]:
    return {"versionInfo": _version(sha256), "packageFileName": path, "checksums": _checksums(sha256, sha512),
            "primaryPackagePurpose": "FILE"}  # fmt: skip


def _own() -> dict[str, Any]:
    return _package(OWN, "bootharness", versionInfo=__version__, licenseDeclared="Apache-2.0",
                    **supplied("bootharness"),
                    summary="what the harness itself puts into an image: its first stage, its init's scripts, its "
                            "stand-ins for libraries")  # fmt: skip


def _deb(row: SpdxRow, suite: str, texts: Mapping[str, str]) -> dict[str, Any]:
    # manifests that say nothing of an origin are of a time when all was Debian's
    origin = row.get("origin", DEBIAN)
    distro = f"debian-{DEBIAN_NUMBERS.get(suite, suite)}" if origin == DEBIAN else suite
    locator = _locator("deb", origin, row["name"], row["version"], row["arch"], distro,
                       (row["source"], row.get("source_version", "")))  # fmt: skip
    supplier = {"supplier": f"Organization: {origin}"} if origin else {}
    source = f"{row['source']} {row.get('source_version', '')}".rstrip()
    licence = row.get("licence") or UNKNOWN
    referred = licences.referred(texts.get(licence, ""))
    comment = {"licenseComments": f"its text refers to {', '.join(referred)}"} if referred else {}
    return _package(
        f"SPDXRef-deb-{_id(row['name'])}-{row['sha256'][:12]}",
        row["name"],
        versionInfo=row["version"],
        **supplier,
        packageFileName=_deb_file(row),
        checksums=_checksums(row["sha256"], row.get("sha512", "")),
        sourceInfo=f"built from {f'the source package of {origin}' if origin else 'the source package'}: {source}",
        externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}],
        licenseDeclared=licence,
        **comment,
    )


def _oci(row: SpdxRow, texts: dict[str, str], by: dict[str, str]) -> dict[str, Any]:
    named = reference.parse(row["reference"])
    name = named.repository if isinstance(named, reference.Named) else named.path
    digest, arch = row["digest"], row["platform"].split("/")[1]
    locator = f"pkg:oci/{_purl(name.rpartition('/')[2].lower())}@{quote(digest, safe='')}?arch={_purl(arch)}"
    said, licence = row.get("licences", ""), UNKNOWN
    with contextlib.suppress(InvalidLicenseExpression):
        licence = licences.canonical(said)
    for ref in re.findall(r"LicenseRef-[A-Za-z0-9.-]+", licence):
        texts.setdefault(ref, LABELLED)
    comment = {"licenseComments": f"its label says {said!r}"} if said and licence == UNKNOWN else {}
    notes = [f"also named {', '.join(row['others'])}"] if row.get("others") else []
    notes += [f"not read: {one}" for one in _contents(row)["unread"]]
    notes += [f"{one['file']}, {_kind(one)}, is about another image" for one in _parts(row) if one["other"]]
    if notes:
        comment["comment"] = "; ".join(notes)
    return _package(
        _oci_id(row),
        row["reference"],
        versionInfo=named.tag or digest,
        **_supplier(row, by),
        checksums=[{"algorithm": digest.partition(":")[0].upper(), "checksumValue": digest.partition(":")[2]}],
        externalRefs=[
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator},
            *_attestations(row),
        ],
        licenseDeclared=licence,
        primaryPackagePurpose="CONTAINER",
        **comment,
    )


def _parts(row: SpdxRow) -> list[SpdxRow]:
    """Return all parts of what is attached to an image; one that has none is its own."""
    return [part for one in row.get("attached", ()) for part in one["parts"] or ({**one, "other": False},)]


def _kind(part: SpdxRow) -> str:
    return str(part.get("predicate") or part.get("media_type") or part.get("kind") or "an attachment")


def _attestations(row: SpdxRow) -> Iterator[dict[str, str]]:
    """Yield a reference to each file beside the bill that holds what is attached to an image."""
    for file, part in sorted({part["file"]: part for part in _parts(row)}.items()):
        yield {"referenceCategory": "OTHER", "referenceType": ATTESTATION,
               "referenceLocator": f"{FOLDER}/{file}", "comment": f"{_kind(part)}, {part['digest']}"}  # fmt: skip


def _supplier(row: SpdxRow, by: dict[str, str]) -> dict[str, str]:
    """Return who supplies an OCI image: what lies in a file of the maker's own is the maker's, `by`, to answer for."""
    named = reference.parse(row["reference"])
    return supplied(row.get("labels", {}).get(VENDOR, "") or _publisher(named)) or by


def _publisher(named: reference.Named | reference.Local) -> str:
    """Return where an image is published, up to the account there: whoever says no more is known by that."""
    if not isinstance(named, reference.Named):
        return ""
    return "/".join(filter(None, [named.registry, *named.repository.split("/")[:-1]]))


def _by_digest(images: Iterable[SpdxRow]) -> list[dict[str, Any]]:
    """Return one row for each image; `others` are further references to the same one."""
    found: dict[str, dict[str, Any]] = {}
    for row in images:
        known = found.setdefault(row["digest"], {**row, "others": []})
        if row["reference"] not in (known["reference"], *known["others"]):
            known["others"].append(row["reference"])
        if not _contents(known)["packages"]:
            known["contents"] = _contents(row)
    return list(found.values())


def _contents(row: SpdxRow) -> SpdxRow:
    return row.get("contents") or {"distro": {}, "packages": [], "unread": []}


def _oci_id(row: SpdxRow) -> str:
    return f"SPDXRef-oci-{row['digest'].partition(':')[2][:12]}"


def _own_file(path: str, size: int, digest: str, sha512: str = "") -> dict[str, Any]:
    shown = path if path.isprintable() else repr(path)
    name = hashlib.sha256(path.encode()).hexdigest()[:12]
    summary = f"a file of the image's own YAML, {size} bytes"
    return _package(f"SPDXRef-own-{name}", f"/{shown}", **_bytes(f"/{shown}", digest, sha512), summary=summary)


def _installed(row: SpdxRow, image: SpdxRow, by: dict[str, str]) -> dict[str, Any]:
    """Return a package that an OCI image itself names.

    Where its metadata names no supplier, that is its distribution, the account under which a Go module is published,
    or else whoever supplies the image that it came in.
    """
    distro = _contents(image)["distro"]
    vendor = distro.get("id", "")
    release = "-".join(filter(None, (vendor, distro.get("version") or distro.get("codename"))))
    if row["kind"] in LANGUAGES:
        locator = f"pkg:{row['kind']}/{'/'.join(map(_purl, row['name'].split('/')))}@{_purl(row['version'])}"
    else:
        locator = _locator(row["kind"], vendor, row["name"], row["version"], row["arch"], release,
                           (row["source"], row["source_version"]))  # fmt: skip
    others = _account(row["name"]) if row["kind"] == "golang" else "" if row["kind"] in LANGUAGES else vendor
    supplier = supplied(row["supplier"]) or supplied(others) or _supplier(image, by)
    licence, comment = UNKNOWN, {}
    if row["licence"]:
        try:
            licence = licences.canonical(row["licence"])
        except InvalidLicenseExpression:
            comment = {"licenseComments": f"its package says {row['licence']!r}"}
    if "LicenseRef-" in licence:
        licence, comment = UNKNOWN, {"licenseComments": f"its package says {row['licence']!r}"}
    name = hashlib.sha256(repr((image["digest"], *sorted(row.items()))).encode()).hexdigest()[:16]
    source = " ".join(filter(None, (row["source"], row["source_version"])))
    sums = _checksums(row.get("sha256", ""), row.get("sha512", ""))
    return _package(
        f"SPDXRef-{row['kind']}-{_id(row['name'])}-{name}",
        row["name"],
        versionInfo=row["version"],
        **supplier,
        **({"checksums": sums} if sums else {}),
        **({"sourceInfo": f"built from the source package: {source}"} if source else {}),
        externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}],
        licenseDeclared=licence,
        **comment,
    )


def _account(module: str) -> str:
    """Return where a Go module is published, up to the account there: ``github.com/somebody``."""
    parts = module.split("/")
    return "/".join(parts[:2] if len(parts) > 2 else parts[:1])


def supplied(said: str) -> dict[str, str]:
    """Return who supplies a package, as SPDX spells an organisation and its address; nothing where nobody says it."""
    match = re.fullmatch(r"([^<>()]{1,200}?) *(?:<([^<>() ]{1,200})>)?", said.strip()) if said.isprintable() else None
    if match is None:
        return {}
    return {"supplier": f"Organization: {match[1]}" + (f" ({match[2]})" if match[2] else "")}


def _locator(kind: str, vendor: str, name: str, version: str, arch: str, distro: str, source: tuple[str, str]) -> str:
    """Return a package URL, with the source package as scanners of vulnerabilities look for it."""
    place = f"{_purl(re.sub('[^a-z0-9.]+', '-', vendor.lower()).strip('-'))}/" if vendor else ""
    upstream = source[0] if source[1] in ("", version) else f"{source[0]}@{source[1]}"
    said = {"arch": arch, "distro": distro, "upstream": upstream if source[0] and upstream != name else ""}
    # the qualifiers of a purl are sorted by name (purl-spec)
    return f"pkg:{kind}/{place}{_purl(name)}@{_purl(version)}" + "".join(
        f"{'&' if number else '?'}{key}={_purl(value)}"
        for number, (key, value) in enumerate((key, value) for key, value in said.items() if value)
    )


def _users(manifest: SpdxRow, images: Iterable[SpdxRow]) -> dict[str, list[str]]:
    """Return who in the image uses a package or an OCI image, by its name: ``services/nginx``."""
    first = {one: row["reference"] for row in images for one in (row["reference"], *row["others"])}
    users: dict[str, list[str]] = {}
    for row in manifest["components"]:
        for name in (*row["packages"], *filter(None, [first.get(row["reference"])])):
            users.setdefault(name, []).append(f"{row['section']}/{row['name']}")
    return users


def _relationships(packages: Iterable[SpdxRow], users: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    yield {"spdxElementId": DOCUMENT, "relationshipType": "DESCRIBES", "relatedSpdxElement": IMAGE}
    for package in packages:
        if package["SPDXID"] != IMAGE:
            row = {"spdxElementId": IMAGE, "relationshipType": "CONTAINS", "relatedSpdxElement": package["SPDXID"]}
            by = users.get(package["name"]) if "externalRefs" in package else None
            yield {**row, "comment": f"in {', '.join(by)}"} if by else row


def _checksums(sha256: str, sha512: str) -> list[dict[str, str]]:
    """Return both; a manifest of an older harness has the first only."""
    both = (("SHA256", sha256), ("SHA512", sha512))
    return [{"algorithm": algorithm, "checksumValue": value} for algorithm, value in both if value]


def _deb_file(row: SpdxRow) -> str:
    """Return the name of a package's file, in which a version has no epoch (Debian Policy, 5.6.12)."""
    return f"{row['name']}_{row['version'].rpartition(':')[2]}_{row['arch']}.deb"


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _purl(text: str) -> str:
    return quote(text, safe=":~")
