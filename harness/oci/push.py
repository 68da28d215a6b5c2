"""Blobs and manifests to a registry (OCI distribution-spec 1.1, push): what is there already is not sent again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ImageError
from harness.oci.attached import tags
from harness.oci.document import INDEX, Descriptor, Index, load_object, parse
from harness.oci.registry import TRIES, Repository, same_host
from harness.oci.transport import Content, join
from harness.oci.trouble import RegistryError, denied, failed
from harness.patience import Patience, retrying

if TYPE_CHECKING:
    from httpx2 import URL, Response

    from harness.oci.registries import RegistryPlace

PIECE = 1 << 20  # bytes
LISTS_SUBJECTS = "OCI-Subject"  # a registry that says this lists what is attached; else a tag does


@dataclass(frozen=True)
class Outgoing:
    """A blob that is to be sent: what it is, and where its bytes are."""

    descriptor: Descriptor
    source: Path | bytes

    def content(self) -> Content:
        """Return its bytes, from their beginning."""
        return self.source if isinstance(self.source, bytes) else _pieces(self.source)


class Destination(Repository):
    """A repository that is written to; what fails in a way that may pass is tried again."""

    def __init__(self, place: RegistryPlace, patience: Patience, progress: Callable[[str], None]) -> None:
        super().__init__(place, patience)
        self._patience, self._progress = patience, progress

    def put_blob(self, blob: Outgoing) -> bool:
        """Send a blob unless it is there; say whether it was sent. RegistryError when it is not taken."""
        sent: list[bool] = []
        retrying(self._patience, lambda: sent.append(self._put_blob(blob)), self._progress)
        return sent[-1]

    def put_manifest(self, data: bytes, media_type: str, reference: str, subject: Descriptor | None = None) -> None:
        """Put a manifest under a tag or its digest. RegistryError when it is not taken.

        What is about a `subject` is found there by its digest: the registry lists it, or an index under a tag does.
        """
        listed: list[bool] = []

        def put() -> None:
            headers = {"Content-Type": media_type}
            with self._write("PUT", f"manifests/{reference}", headers, lambda: data) as answer:
                listed.append(LISTS_SUBJECTS in answer.headers)

        retrying(self._patience, put, self._progress)
        if subject is not None and not listed[-1]:
            described = Descriptor(media_type=media_type, digest=reference, size=len(data))
            self._list(described, load_object(data, reference), subject)

    def _list(self, described: Descriptor, document: Mapping[str, Any], subject: Descriptor) -> None:
        """Put a manifest into the index of what is attached to its subject (referrers tag schema)."""
        tag = next(iter(tags(subject.digest)))
        given, _ = self._given(f"manifests/{tag}")
        rows: list[dict[str, Any]] = []
        if given is not None:
            with suppress(ImageError):  # what is no index is replaced: nobody finds anything by it
                if isinstance(parse(given, tag), Index):  # others' rows stay as they wrote them
                    rows = [one for one in load_object(given, tag)["manifests"] if one["digest"] != described.digest]
        row = described.model_dump(by_alias=True, exclude_none=True)
        rows.append({**row, "artifactType": document["artifactType"], "annotations": document.get("annotations", {})})
        made = spelled({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows})
        self.put_manifest(made, INDEX, tag)

    def _put_blob(self, blob: Outgoing) -> bool:
        wanted = blob.descriptor
        try:
            with self._write("HEAD", f"blobs/{wanted.digest}", {}, bytes):
                return False
        except RegistryError as error:
            if error.kind not in ("absent", "denied"):  # whether it may be written is said below
                raise
        with self._write("POST", "blobs/uploads/", {}, bytes) as answer:
            where = join(self.place, answer.url, answer.headers.get("Location", ""))
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(wanted.size)}
        with self._write("PUT", where.copy_merge_params({"digest": wanted.digest}), headers, blob.content):
            return True

    @contextmanager
    def _write(
        self, method: str, where: str | URL, headers: Mapping[str, str], content: Callable[[], Content]
    ) -> Iterator[Response]:
        """Give the answer to a request that has been let in; its content is made anew for each try."""
        base = self._transport.base
        url = base.join(f"/v2/{self.place.repository}/{where}") if isinstance(where, str) else where
        if base.scheme == "https" and url.scheme != "https":
            raise failed(self.place, "odd", details="it wants what is sent where nothing is encrypted")
        for _ in range(TRIES):
            sent = self._auth.header if same_host(url, base) else ""
            given = {**headers, "Authorization": sent} if sent else headers
            answer = self._transport.send(method, url, given, content())
            try:
                if answer.is_success:
                    yield answer
                    return
                challenge = answer.headers.get("WWW-Authenticate", "")
                if answer.status_code != 401 or not challenge or not same_host(url, base):
                    raise self._transport.refused(answer)
            finally:
                answer.close()
            self._auth.answer(challenge, sent, base)
        raise denied(self.place, had_login=True)


def spelled(document: Mapping[str, Any]) -> bytes:
    """Return a manifest or an index as JSON in one spelling, so that the same content has one digest."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece
