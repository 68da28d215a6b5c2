"""What a fetched OCI image is: its platform, its config, and its layers as files of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Platform:
    """What an image runs on, in the words of an OCI image index (image-spec, image-index.md)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True)
class Blob:
    """A file of the store whose content is checked: ``digest`` is ``sha256:…`` of its bytes, ``size`` their number."""

    path: Path
    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class Attachment:
    """What is attached to an image, such as an attestation or a signature: a manifest, and its parts.

    ``subject`` is the digest that it was found at: the image's manifest's, or that of an index which has it.
    """

    manifest: Blob
    parts: tuple[Blob, ...]
    subject: str


@dataclass(frozen=True)
class OciImage:
    """An image for one platform. ``digest`` is its manifest's, ``config`` the OCI image config (image-spec, config.md).

    ``layers`` are in the order in which they are applied; they may be compressed (``media_type`` says how, and an
    archive may lie about it: look at the first bytes). There are as many as ``config["rootfs"]["diff_ids"]``.
    Of the config, types are checked: fields are as config.md says, or null.
    """

    reference: str
    digest: str
    platform: Platform
    config: Mapping[str, Any]
    layers: tuple[Blob, ...]
    attached: tuple[Attachment, ...] = ()
