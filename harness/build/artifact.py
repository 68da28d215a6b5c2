"""A built image as an OCI artifact: its files as layers with names, its other folders as archives, and back.

With the annotations that ORAS documents for files and folders. The digest of an artifact follows from the image's bytes
alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import ImageError
from harness.image import Image
from harness.oci.attached import AttachedManifest
from harness.oci.document import MANIFEST, Descriptor, explained, load_object
from harness.oci.image import Blob
from harness.oci.packing import ERRORS, unpacked
from harness.oci.push import Outgoing, spelled
from harness.oci.tarstream import BadTarError, Tar
from harness.store import damage_of, file_digest
from harness.text import of_error

IMAGE = "application/vnd.bootharness.image.v1"
FILE, FOLDER = "application/octet-stream", "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE, UNPACK = "org.opencontainers.image.title", "io.deis.oras.content.unpack"
ARCH, FORMAT, NAME = (f"org.bootharness.{key}" for key in ("arch", "format", "name"))
CONFIG = Outgoing(Descriptor(media_type=EMPTY, digest=f"sha256:{hashlib.sha256(b'{}').hexdigest()}", size=2), b"{}")
LARGEST = 64 << 30  # bytes of an image's files
LARGEST_FOLDER = 256 << 20  # bytes of a folder's files
MOST_FILES = 20_000  # in a folder
_NAME = re.compile(r"[A-Za-z0-9_+~:@=,%][A-Za-z0-9._+~:@=,%-]{0,200}")


@dataclass(frozen=True)
class Artifact:
    """What is to be sent of one image: its blobs, and the manifest that names them."""

    blobs: tuple[Outgoing, ...]
    manifest: bytes

    @property
    def descriptor(self) -> Descriptor:
        """Its manifest."""
        return described(self.manifest, MANIFEST)


def described(data: bytes, media_type: str) -> Descriptor:
    """Return the descriptor of some bytes."""
    return Descriptor(media_type=media_type, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))


def of_image(image: Image) -> Artifact:
    """Return a built image as an artifact. ImageError when its folder is not what its build left there."""
    if wrong := damage_of(image.folder):
        raise ImageError(f"{image.folder} is damaged: {wrong}", hint="build it again")
    blobs = [_folder(path) if path.is_dir() else _file(path) for path in sorted(image.folder.iterdir())]
    said = {ARCH: image.arch.name, FORMAT: str(image.manifest["format"]), NAME: image.name}
    return made(IMAGE, blobs, said)


def made(
    kind: str, blobs: Sequence[Outgoing], annotations: Mapping[str, str], subject: Descriptor | None = None
) -> Artifact:
    """Return an artifact of the type `kind`; `subject` is what it is about."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": _row(CONFIG.descriptor),
        "layers": [_row(blob.descriptor) for blob in blobs] or [_row(CONFIG.descriptor)],
        "annotations": dict(annotations),
    }
    if subject is not None:
        document["subject"] = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    return Artifact((CONFIG, *blobs), spelled(document))


def titled(content: bytes, name: str, media_type: str = FILE) -> Outgoing:
    """Return some bytes as a blob with a file's name."""
    found = described(content, media_type)
    return Outgoing(found.model_copy(update={"annotations": {TITLE: name}}), content)


def read(data: bytes, what: str) -> AttachedManifest:
    """Return the manifest of an image's artifact; ImageError when it is none."""
    try:
        return AttachedManifest.model_validate(load_object(data, what))
    except ValidationError as error:
        raise explained(error, what) from None


def restore(manifest: AttachedManifest, blobs: Sequence[Blob], folder: Path) -> Image:
    """Write an image's files into `folder`, which is there and empty, and return it.

    ImageError unless they are what their build has left: each by its name, none more, all as SHA256SUMS says.
    """
    if manifest.artifact_type != IMAGE:
        raise ImageError(f"it is no image of the harness: its type is {manifest.artifact_type[:80] or 'not said'!r}")
    if sum(layer.size for layer in manifest.layers) > LARGEST:
        raise ImageError(f"it has more than {LARGEST >> 30} GiB")
    for layer, blob in zip(manifest.layers, blobs, strict=True):
        said = layer.annotations or {}
        place = folder / _safe(said.get(TITLE, "").removesuffix("/"))
        if place.exists():
            raise ImageError(f"it has two files called {place.name}")
        if said.get(UNPACK) == "true":
            _unpack(blob.path, place)
        else:
            shutil.copyfile(blob.path, place)
    if wrong := damage_of(folder):
        raise ImageError(f"what was pulled is not what its build has left: {wrong}", hint="ask who has pushed it")
    return Image(folder)


def _row(descriptor: Descriptor) -> dict[str, Any]:
    return descriptor.model_dump(by_alias=True, exclude_none=True)


def _file(path: Path) -> Outgoing:
    digest = f"sha256:{file_digest(path)}"
    found = Descriptor(media_type=FILE, digest=digest, size=path.stat().st_size, annotations={TITLE: path.name})
    return Outgoing(found, path)


def _folder(path: Path) -> Outgoing:
    """Return a folder as an archive whose bytes follow from its files' names and contents."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for file in sorted(one for one in path.rglob("*") if one.is_file()):
                member = tarfile.TarInfo(f"{path.name}/{file.relative_to(path)}")
                member.size, member.mode = file.stat().st_size, 0o644
                with file.open("rb") as content:
                    archive.addfile(member, content)
    found = described(packed.getvalue(), FOLDER)
    said = {TITLE: path.name, UNPACK: "true"}
    return Outgoing(found.model_copy(update={"annotations": said}), packed.getvalue())


def _unpack(source: Path, place: Path) -> None:
    """Unpack a stranger's archive of one folder: plain files with plain names, no more than fit."""
    place.mkdir()
    left = LARGEST_FOLDER
    try:
        with source.open("rb") as packed:
            archive = Tar(unpacked(packed))
            for number, member in enumerate(archive.members()):
                left -= member.size
                if number >= MOST_FILES or left < 0:
                    raise ImageError(f"its folder {place.name} holds more than any image's")
                if member.type == tarfile.DIRTYPE:
                    continue
                parts = [_safe(one) for one in member.name.split("/")]
                if member.type != tarfile.REGTYPE or parts[0] != place.name or len(parts) < 2:
                    raise ImageError(
                        f"its folder {place.name} holds {member.name[:80]!r}, which is no plain file of it"
                    )
                target = place.parent.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as stream:
                    stream.writelines(archive.content())
    except (BadTarError, OSError, *ERRORS) as error:
        raise ImageError(f"its folder {place.name} cannot be unpacked: {of_error(error)}") from error


def _safe(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ImageError(f"it has a file called {name[:80]!r}: no image of the harness has")
    return name
