"""The same bill of materials as a CycloneDX 1.6 document, made of the SPDX one. Pure.

https://cyclonedx.org/docs/1.6/json/ says what the fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.sbom.spdx import ATTESTATION, IMAGE, UNKNOWN

TYPES = {"OPERATING_SYSTEM": "operating-system", "FILE": "file", "CONTAINER": "container"}  # by SPDX's purpose
ALGORITHMS = {"SHA256": "SHA-256", "SHA512": "SHA-512"}
FILENAME = "bsi:component:filename"  # of the BSI's taxonomy of properties
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")

CycloneRow = Mapping[str, Any]


def document(spdx: CycloneRow) -> dict[str, Any]:
    """Return the CycloneDX document of an SPDX one that `spdx.document` made."""
    texts = {row["licenseId"]: row["extractedText"] for row in spdx["hasExtractedLicensingInfos"]}
    comments = {row["relatedSpdxElement"]: row.get("comment", "") for row in spdx["relationships"]}
    components = {row["SPDXID"]: _component(row, texts, comments.get(row["SPDXID"], "")) for row in spdx["packages"]}
    image = components.pop(IMAGE)
    maker = {"manufacturer": image["supplier"]} if "supplier" in image else {}
    tool, _, version = spdx["creationInfo"]["creators"][0].removeprefix("Tool: ").partition("-")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": spdx["documentNamespace"],
        "version": 1,
        "metadata": {
            "timestamp": spdx["creationInfo"]["created"],
            "tools": {"components": [{"type": "application", "name": tool, "version": version}]},
            "component": image,
            **maker,
        },
        "components": list(components.values()),
        "dependencies": [{"ref": holder, "dependsOn": held} for holder, held in _graph(spdx).items()],
        # whether a package asks for another one is not said here
        "compositions": [{"aggregate": "unknown", "dependencies": [IMAGE, *components]}],
    }


def _graph(spdx: CycloneRow) -> dict[str, list[str]]:
    """Return who contains what."""
    found: dict[str, list[str]] = {}
    for row in spdx["relationships"]:
        if row["relationshipType"] == "CONTAINS":
            found.setdefault(row["spdxElementId"], []).append(row["relatedSpdxElement"])
    return found


def _component(row: CycloneRow, texts: Mapping[str, str], comment: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": TYPES.get(row.get("primaryPackagePurpose", ""), "library"),
        "bom-ref": row["SPDXID"],
        "name": row["name"],
    }
    if "supplier" in row:
        name, _, address = row["supplier"].removeprefix("Organization: ").rstrip(")").partition(" (")
        # a stranger's address may be none: the name is what counts
        contact = {"contact": [{"email": address}]} if _EMAIL.fullmatch(address) else {}
        made["supplier"] = {"name": name, **contact}
    for ours, theirs in (("versionInfo", "version"), ("summary", "description")):
        if ours in row:
            made[theirs] = row[ours]
    made |= _licences(row["licenseDeclared"], texts)
    if "checksums" in row:
        hashes = ((ALGORITHMS[one["algorithm"]], one["checksumValue"]) for one in row["checksums"])
        made["hashes"] = [{"alg": algorithm, "content": value} for algorithm, value in hashes]
    attached = []
    for reference in row.get("externalRefs", ()):
        if reference["referenceType"] == ATTESTATION:
            attached.append(_attestation(reference))
        else:
            made["purl"] = reference["referenceLocator"]
    if attached:
        made["externalReferences"] = attached
    facts = {"source": row.get("sourceInfo", ""), "carried": comment, "licence": row.get("licenseComments", ""),
             "note": row.get("comment", "")}  # fmt: skip
    properties = [{"name": f"bootharness:{name}", "value": value} for name, value in facts.items() if value]
    if "packageFileName" in row:
        properties.append({"name": FILENAME, "value": row["packageFileName"].rpartition("/")[2]})
    return made | ({"properties": properties} if properties else {})


def _attestation(reference: CycloneRow) -> dict[str, Any]:
    """Return the file beside the bill that a reference names, with its digest."""
    what, _, digest = reference["comment"].rpartition(", ")
    algorithm, _, digits = digest.partition(":")
    return {"type": "attestation", "url": reference["referenceLocator"], "comment": what,
            "hashes": [{"alg": ALGORITHMS[algorithm.upper()], "content": digits}]}  # fmt: skip


def _licences(declared: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what is declared; an expression has no place for texts, so those stand in the evidence beside it."""
    if declared == UNKNOWN:
        return {}
    refs = list(dict.fromkeys(_REF.findall(declared)))
    own = [{"license": {"name": ref, "text": {"contentType": "text/plain", "content": texts[ref]}}} for ref in refs]
    if declared in refs:
        return {"licenses": own}
    return {"licenses": [{"expression": declared}], **({"evidence": {"licenses": own}} if own else {})}
