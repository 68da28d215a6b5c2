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
from harness.errors import EvidenceError
from harness.image import Image
from harness.sbom import spdx

CREATED = "%Y-%m-%dT%H:%M:%SZ"


def spelled(document: Mapping[str, Any]) -> bytes:
    """Return a bill of materials as an archive has it."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


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
