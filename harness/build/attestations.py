"""What is attached to OCI images, as an image keeps it: beside its bill as files, and as rows of its manifest.

What an attestation says of itself is read, never judged: whether it is signed well is for whoever has the key.
"""

from __future__ import annotations

import base64
import binascii
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import parse_json
from harness.oci.image import Attachment, Blob, OciImage
from harness.text import one_line

FOLDER = "attestations"  # beside an image's other files
LONGEST = 255  # letters of a media type or of a predicate's
MAX_STATEMENT = 8 << 20  # bytes of a part that is read for what it says; of a larger one its annotations tell
PREDICATES = ("in-toto.io/predicate-type", "predicateType")  # annotations of buildkit's parts, and of cosign's
DSSE = ("dsseEnvelope", "payload", "payloadType")  # a sigstore bundle's envelope; the fields of an envelope


def gather(images: Iterable[OciImage], folder: Path) -> None:
    """Put what is attached to images into an image's folder, each file under its digest."""
    held = {blob.digest: blob for image in images for one in image.attached for blob in (one.manifest, *one.parts)}
    if held:
        (folder / FOLDER).mkdir()
    for blob in held.values():
        shutil.copyfile(blob.path, folder / FOLDER / file_of(blob.digest, blob.media_type))


def file_of(digest: str, media_type: str) -> str:
    """Return the name of the file that holds a blob."""
    is_json = media_type.endswith(("json", ".simplesigning.v1+json"))
    return f"{digest.partition(':')[2]}{'.json' if is_json else ''}"


def rows(image: OciImage) -> list[dict[str, Any]]:
    """Return what the manifest says of all that is attached to an image."""
    return [_row(one) for one in image.attached]


def _row(one: Attachment) -> dict[str, Any]:
    said = _object(one.manifest)
    layers = said.get("layers") or []
    config = said.get("config")
    kind = said.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "")
    parts = [_part(blob, row, one.subject) for blob, row in zip(one.parts, layers, strict=True)]
    return {"digest": one.manifest.digest, "subject": one.subject, "kind": _plain(kind),
            "file": file_of(one.manifest.digest, one.manifest.media_type), "parts": parts}  # fmt: skip


def _part(blob: Blob, descriptor: Mapping[str, Any], subject: str) -> dict[str, Any]:
    statement = next(_statements(_object(blob)), {})
    annotations = descriptor.get("annotations") or {}
    predicate = statement.get("predicateType") or next(filter(None, map(annotations.get, PREDICATES)), "")
    about = _subjects(statement)
    return {"digest": blob.digest, "size": blob.size, "media_type": _plain(blob.media_type),
            "predicate": _plain(predicate), "other": bool(about) and subject not in about,
            "file": file_of(blob.digest, blob.media_type)}  # fmt: skip


def _plain(text: object) -> str:
    return one_line(text, LONGEST) if isinstance(text, str) else ""


def _object(blob: Blob) -> dict[str, Any]:
    """Return a blob's JSON object, an empty one where it is none."""
    if blob.size > MAX_STATEMENT or not blob.media_type.endswith("json"):
        return {}
    try:
        found = parse_json(blob.path.read_bytes(), "an attestation")
    except (UserError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _statements(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the in-toto statement that a document is, or has in its envelope (DSSE, also a sigstore bundle's)."""
    bundle, payload, _ = DSSE
    envelope = said.get(bundle) if isinstance(said.get(bundle), dict) else said
    packed = envelope.get(payload) if isinstance(envelope, dict) else None
    if isinstance(packed, str):
        try:
            found = parse_json(base64.b64decode(packed, validate=True), "a statement")
        except (UserError, RecursionError, binascii.Error, ValueError):
            return
        if isinstance(found, dict):
            yield found
    elif "predicateType" in said:
        yield dict(said)


def _subjects(statement: Mapping[str, Any]) -> set[str]:
    """Return the digests that a statement says it is about, as an image's are spelled."""
    found = set()
    said = statement.get("subject")
    for one in said if isinstance(said, list) else ():
        digests = one.get("digest") if isinstance(one, dict) else None
        for algorithm, digits in digests.items() if isinstance(digests, dict) else ():
            found.add(f"{algorithm}:{digits}")
    return found
