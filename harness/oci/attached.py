"""What is attached to an image: attestations, signatures and bills of its makers, found where builders put them.

It is kept as it is and never judged: whether a signature is good is for whoever has its key. A stranger's: bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import Field, ValidationError

from harness.errors import HarnessError, HostError, ImageError, UserError
from harness.oci.document import (
    ATTACHMENT,
    DIGEST,
    LARGEST,
    MANIFEST,
    MANIFESTS,
    MOST_LAYERS,
    Descriptor,
    Index,
    Reading,
    explained,
    load_object,
)
from harness.oci.image import Attachment

ABOUT = "vnd.docker.reference.digest"  # the annotation of buildkit's entries that says to what they are attached
COSIGN = ("att", "sig", "sbom")  # what ends the tags of cosign, whose beginning is the subject's digest
MOST = 32  # of one image
MOST_PARTS = 64  # of one attachment
LARGEST_PART, LARGEST_ALL = 32 << 20, 128 << 20  # bytes of one part, and of all parts of an image


class AttachedManifest(Reading):
    """The manifest of an attachment: its config may be of any type, and so may its parts."""

    media_type: str = MANIFEST
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = Field((), max_length=MOST_LAYERS)
    subject: Descriptor | None = None


class AttachedRow(Reading):
    """What is remembered of an attachment, also in a lock: its manifest, and the digest of what it was found at."""

    digest: str = Field(pattern=DIGEST)
    size: int = Field(ge=0, le=LARGEST)
    subject: str = Field(pattern=DIGEST)

    @property
    def descriptor(self) -> Descriptor:
        """Its manifest."""
        return Descriptor(media_type=MANIFEST, digest=self.digest, size=self.size)


@dataclass(frozen=True)
class Subject:
    """What attachments are looked for of: an image's manifest, and the indexes that led to it, outermost first."""

    digest: str
    indexes: tuple[tuple[str, Index], ...]


class AttachmentSource(Protocol):
    """Where attachments are looked for."""

    def attached(self, subject: str) -> list[Descriptor]:
        """Return the manifests of what is attached to a digest. HostError where nobody knows."""
        ...


def tags(subject: str) -> Iterator[str]:
    """Yield the tags under which attachments of a digest may be: that of registries without referrers, and cosign's.

    The first names an index (distribution-spec 1.1, referrers tag schema), the others manifests.
    """
    algorithm, _, digits = subject.partition(":")
    name = f"{algorithm[:32]}-{digits[:64]}"
    yield name
    yield from (f"{name}.{ending}" for ending in COSIGN)


def parse(data: bytes, what: str) -> AttachedManifest:
    """Return the manifest of an attachment; ImageError when it is none, or has more parts than anybody reads."""
    found = load_object(data, what)
    if "manifests" in found or found.get("mediaType", MANIFEST) not in MANIFESTS:
        raise ImageError(f"{what} is no manifest")
    try:
        manifest = AttachedManifest.model_validate(found)
    except ValidationError as error:
        raise explained(error, what) from None
    if len(manifest.layers) > MOST_PARTS:
        raise ImageError(f"{what} has more than {MOST_PARTS} parts")
    if any(part.size > LARGEST_PART for part in manifest.layers):
        raise ImageError(f"{what} has a part of more than {LARGEST_PART >> 20} MiB")
    return manifest


def gone(what: str, row: AttachedRow, error: UserError) -> UserError:
    """Return the error for an attachment that was there when its image was resolved, and is not to be had now."""
    return UserError(
        f"{what}: the attestation {row.digest}, which was attached to it, is not there any more",
        details=error.message,
        hint="resolve anew (refresh) to go on without it",
    )


@dataclass(frozen=True)
class Collector:
    """Finds what is attached to an image and lets it be kept.

    `bring` keeps one attachment; `tell` is told of what is left out.
    """

    source: AttachmentSource
    bring: Callable[[AttachedRow], Attachment]
    tell: Callable[[str], None]

    def collect(self, subject: Subject) -> tuple[AttachedRow, ...]:
        """Return all that was found and kept. HostError when what the image's own index promises is not to be had."""
        found: dict[str, AttachedRow] = {}
        left = LARGEST_ALL
        for row, promised in self._rows(subject):
            if row.digest in found:
                continue
            if len(found) == MOST:
                self.tell(f"more than {MOST} attestations: the others are left out")
                break
            try:
                left -= sum(part.size for part in self.bring(row).parts)
            except (UserError, ImageError) as error:
                self._left_out(row.digest, error)
                continue
            except HostError as error:
                if promised:
                    raise
                self._left_out(row.digest, error)
                continue
            if left < 0:
                self.tell(f"attestations of more than {LARGEST_ALL >> 20} MiB: the others are left out")
                break
            found[row.digest] = row
        return tuple(found[digest] for digest in sorted(found))

    def _rows(self, subject: Subject) -> Iterator[tuple[AttachedRow, bool]]:
        """Yield what there is, and whether the image's own index promises it."""
        for _, index in subject.indexes:
            for one in index.manifests:
                if {ATTACHMENT, (ABOUT, subject.digest)} <= set((one.annotations or {}).items()):
                    yield from ((row, True) for row in self._row(one, subject.digest))
        for digest in (subject.digest, *(digest for digest, _ in subject.indexes)):
            try:
                ones: Sequence[Descriptor] = self.source.attached(digest)
            except HarnessError as error:
                self.tell(f"whether anything is attached to it could not be asked: {error.message}")
                return
            for one in ones:
                yield from ((row, False) for row in self._row(one, digest))

    def _row(self, one: Descriptor, subject: str) -> Iterator[AttachedRow]:
        if one.size > LARGEST:
            self.tell(f"the attestation {one.digest} is left out: its manifest is larger than {LARGEST} bytes")
            return
        yield AttachedRow(digest=one.digest, size=one.size, subject=subject)

    def _left_out(self, digest: str, error: HarnessError) -> None:
        self.tell(f"the attestation {digest} is left out: {error.message}")
