"""The bill of materials in an archive: how it is spelled, and whether it is of an image that was built again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.build.copyrights import FOLDER
from harness.certify import contents
from harness.certify.contents import EvidenceFiles
from harness.errors import EvidenceError, UserError
from harness.image import Image
from harness.sbom import spdx

# What follows from the texts of licences, and from when it was made.
OF_TEXTS = ("creationInfo", "documentNamespace", "hasExtractedLicensingInfos")
OF_LICENCES = ("license", "copyright")  # how a package's keys of that begin
CREATED = "%Y-%m-%dT%H:%M:%SZ"


def spelled(document: Mapping[str, Any]) -> bytes:
    """Return a bill of materials as an archive has it."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def agree(image: Image, files: EvidenceFiles) -> None:
    """Compare what an archive's bill of materials names with the image's manifest; EvidenceError: not the same things.

    Licences and their texts follow from files that no archive holds: they are the vendor's word, unless it is rebuilt.
    """
    content = files.content(contents.SBOM)
    said = contents.loads(content, contents.SBOM)
    try:
        found = spdx.document(image.manifest, lambda name: b"")
        same = _plain(said) == _plain(found)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, UserError) as error:
        raise EvidenceError(
            f"{contents.SBOM} or the manifest is not as this harness writes it", details=repr(error)[:300]
        ) from None
    if not same:
        raise EvidenceError(f"{contents.SBOM} names other things than the manifest")


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bill without what follows from files that no archive holds."""
    packages = [{key: value for key, value in row.items() if not key.startswith(OF_LICENCES)}
                for row in document["packages"]]  # fmt: skip
    return {**{key: value for key, value in document.items() if key not in OF_TEXTS}, "packages": packages}


def check(again: Image, files: EvidenceFiles) -> None:
    """Compare an archive's bill of materials with that of its image, built `again`; EvidenceError: it is another one.

    Its date is what it says: time is no part of an image.
    """
    content = files.content(contents.SBOM)
    try:
        said = contents.loads(content, contents.SBOM)
        created = datetime.strptime(said["creationInfo"]["created"], CREATED).replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        raise EvidenceError(f"{contents.SBOM} does not say when it was made") from None

    def copyright_of(name: str) -> bytes:
        return (again.folder / FOLDER / Path(name).name).read_bytes()

    if spelled(spdx.document(again.manifest, copyright_of, int(created.timestamp()))) != content:
        raise EvidenceError(f"the image was built again, and {contents.SBOM} is of another one")
