"""Images from an OCI layout, in a folder or an archive (image-spec 1.1, image-layout.md)."""

from __future__ import annotations

import json

from harness.errors import ImageError, UserError
from harness.oci import attached
from harness.oci.attached import tags
from harness.oci.blobs import ContentError, Receiver, matches
from harness.oci.document import INDEXES, LARGEST, MANIFESTS, Descriptor, Index, parse
from harness.oci.hostfiles import HostFiles, read_all, send
from harness.spec.image_reference import Local

NAME = "org.opencontainers.image.ref.name"  # the annotation that holds a tag
FULL_NAME = "io.containerd.image.name"  # containerd and Docker add this one
SHOWN = 20  # tags in a complaint


class Layout:
    """The image that `local` names in a layout."""

    def __init__(self, local: Local, files: HostFiles) -> None:
        self._local, self._files, self._what = local, files, str(local)

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def top(self) -> bytes:
        """Return the manifest or index that the reference names.

        Raises UserError when it names none, or not one alone; ImageError when this is not a layout.
        """
        data = read_all(self._files, "index.json", LARGEST, self._what)
        index = parse(data, f"{self._what}: index.json")
        if not isinstance(index, Index):
            raise ImageError(f"{self._what}: index.json is not an index")
        found = self._named(index)
        if len(found) == 1:
            return self.manifest(found[0])
        kept = [one.model_dump(by_alias=True, exclude_none=True) for one in found]
        return json.dumps({"schemaVersion": 2, "manifests": kept}).encode()

    def _named(self, index: Index) -> list[Descriptor]:
        tags = sorted({name for one in index.manifests for name in _names(one)[:1]})
        shown = [*(repr(tag[:80]) for tag in tags[:SHOWN]), *(["…"] if len(tags) > SHOWN else [])]
        found = [one for one in index.manifests if not self._local.tag or self._local.tag in _names(one)]
        if not found:
            raise UserError(f"{self._what} is not there", details=f"its tags are: {', '.join(shown) or 'none'}")
        if not self._local.tag and len(tags) > 1:
            raise UserError(
                f"{self._what} holds several images: {', '.join(shown)}", hint=f"{self._local.transport}:PATH:TAG"
            )
        return found

    def manifest(self, wanted: Descriptor) -> bytes:
        """Return a manifest by its digest. Raises ImageError when it is absent, ContentError when it is another."""
        data = read_all(self._files, _path(wanted), LARGEST, self._what)
        if not matches(data, wanted.digest):
            raise ContentError(f"{self._what}: {_path(wanted)} is not what its name says", hint="make it again")
        return data

    def blob(self, wanted: Descriptor, receiver: Receiver) -> None:
        """Send a blob. Raises as `manifest` does."""
        send(self._files, _path(wanted), receiver, self._what)

    def attached(self, subject: str) -> list[Descriptor]:
        """Return what index.json has under the tags of what is attached, and what names `subject` as its own.

        Raises ImageError when index.json is no index.
        """
        index = parse(read_all(self._files, "index.json", LARGEST, self._what), f"{self._what}: index.json")
        wanted = set(tags(subject))
        found: list[Descriptor] = []
        for one in index.manifests if isinstance(index, Index) else ():
            named = [name for name in _names(one) if name.rpartition(":")[2] in wanted]
            if one.size > LARGEST or one.digest == subject or not (named or self._is_about(one, subject)):
                continue
            listed = parse(self.manifest(one), self._what) if one.media_type in INDEXES else None
            found += listed.manifests if isinstance(listed, Index) else [one]
        return found

    def _is_about(self, one: Descriptor, subject: str) -> bool:
        """Say whether an entry without a tag is the manifest of what is attached to `subject`."""
        if _names(one) or one.platform is not None or one.media_type not in MANIFESTS:
            return False
        try:
            about = attached.parse(self.manifest(one), self._what).subject
        except (ImageError, ContentError):
            return False  # whoever asks for it is told
        return about is not None and about.digest == subject


def _path(wanted: Descriptor) -> str:
    algorithm, _, digits = wanted.digest.partition(":")
    return f"blobs/{algorithm}/{digits}"


def _names(one: Descriptor) -> list[str]:
    annotations = one.annotations or {}
    return [annotations[key] for key in (NAME, FULL_NAME) if key in annotations]
