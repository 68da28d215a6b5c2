"""Images from what `docker save` writes: a tar of configs and layers, with a manifest.json (moby image-spec 1.2)."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from harness.errors import ImageError, UserError
from harness.oci.blobs import Receiver
from harness.oci.document import CONFIG, LARGEST, LAYER, MANIFEST, MOST_LAYERS, Descriptor, diff_ids, load
from harness.oci.hostfiles import GZIP, HostFiles, opened, read_all, send
from harness.spec.image_reference import Local

ZSTD = b"\x28\xb5\x2f\xfd"
PACKED = {GZIP: "+gzip", ZSTD: "+zstd"}


class _Image(BaseModel):
    """An image in manifest.json: names of the archive's members."""

    config: str = Field(alias="Config")
    tags: list[str] | None = Field(None, alias="RepoTags")
    layers: list[str] = Field(alias="Layers", max_length=MOST_LAYERS)


_IMAGES = TypeAdapter(list[_Image])


class DockerArchive:
    """The image that `local` names in an archive. Of itself it has no manifest: one is made, always the same."""

    def __init__(self, local: Local, files: HostFiles) -> None:
        self._local, self._files, self._what = local, files, str(local)
        self._members: dict[str, str] = {}  # by digest

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def top(self) -> bytes:
        """Return the made manifest.

        Raises UserError when the reference names no image, or not one alone; ImageError when this is no such archive.
        """
        return self._manifest

    @cached_property
    def _manifest(self) -> bytes:
        image = self._named()
        config = read_all(self._files, image.config, LARGEST, self._what)
        promised = diff_ids(config, self._what)
        if len(promised) != len(image.layers):
            raise ImageError(f"{self._what} has {len(image.layers)} layers, its config speaks of {len(promised)}")
        layers = [self._layer(name, digest) for name, digest in zip(image.layers, promised, strict=True)]
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        self._members[digest] = image.config
        made = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest, "size": len(config)},
            "layers": layers,
        }
        return json.dumps(made, sort_keys=True).encode()

    def _named(self) -> _Image:
        data = read_all(self._files, "manifest.json", LARGEST, self._what)
        try:
            images = _IMAGES.validate_python(load(data, f"{self._what}: manifest.json"))
        except ValidationError:
            raise ImageError(f"{self._what}: manifest.json is none of `docker save`") from None
        tag = self._local.tag
        found = [one for one in images if not tag or any(f"/{name}".endswith(f"/{tag}") for name in one.tags or ())]
        names = ", ".join(repr(name[:80]) for one in images for name in (one.tags or ())[:1])
        if not found:
            raise UserError(f"{self._what} is not there", details=f"there are: {names or 'images without a name'}")
        if len(found) > 1:
            raise UserError(f"{self._what} holds several images: {names}", hint="docker-archive:PATH:NAME:TAG")
        return found[0]

    def _layer(self, name: str, promised: str) -> dict[str, Any]:
        """Return a layer's descriptor. The config promises a plain tar's digest; that of a packed one is nowhere."""
        with opened(self._files, name, self._what) as part:
            size, first = part.size, part.read(len(ZSTD))
            packed = next((suffix for magic, suffix in PACKED.items() if first.startswith(magic)), "")
            digest = promised
            if packed:
                hasher = hashlib.sha256(first)
                for data in part.chunks():
                    hasher.update(data)
                digest = f"sha256:{hasher.hexdigest()}"
        self._members[digest] = name
        return {"mediaType": LAYER + packed, "digest": digest, "size": size}

    def manifest(self, wanted: Descriptor) -> bytes:
        """Never called: the made manifest is the only one."""
        raise ImageError(f"{self._what} has no {wanted.digest}")

    def blob(self, wanted: Descriptor, receiver: Receiver) -> None:
        """Send a blob. Raises ImageError when it is absent, ContentError when it is another."""
        self.top()
        send(self._files, self._members.get(wanted.digest, wanted.digest), receiver, self._what)

    def attached(self, subject: str) -> list[Descriptor]:
        """Return nothing: `docker save` writes no more than images."""
        return []
