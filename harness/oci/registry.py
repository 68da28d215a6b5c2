"""Images from a registry and its mirrors (OCI distribution-spec 1.1, pull)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from harness.errors import HostError, ImageError, UserError
from harness.oci.attached import tags
from harness.oci.auth import Auth
from harness.oci.blobs import ContentError, Receiver, matches
from harness.oci.document import INDEXES, LARGEST, MANIFEST, MANIFESTS, Descriptor, Index, parse
from harness.oci.registries import RegistryPlace
from harness.oci.transport import RegistryTransport
from harness.oci.trouble import RegistryError, denied, failed, words
from harness.patience import Patience, retrying
from harness.spec.image_reference import Named

if TYPE_CHECKING:
    from httpx2 import URL, Response

ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
LARGEST_ANSWER = 1 << 20  # bytes of a token server's answer
MOST_PAGES = 4  # of a list of what is attached to an image
TRIES = 3  # to be let in: without a login, with one, with a token in the place of one that has expired
_PAGES = (b"<html", b"<!doctype html", b"<?xml")
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

Got = TypeVar("Got")


class RegistrySource:
    """One image's repository at each of its `places`, asked in their order until one has what is wanted."""

    def __init__(
        self, name: Named, places: Sequence[RegistryPlace], patience: Patience, progress: Callable[[str], None]
    ) -> None:
        self.name, self._patience, self._progress = name, patience, progress
        self._repositories = [Repository(place, patience) for place in places]

    def close(self) -> None:
        """End all connections."""
        for one in self._repositories:
            one.close()

    def top(self) -> bytes:
        """Return the manifest or index that the reference names. Raises as `manifest` does."""
        return self._each(lambda one: one.manifest(self.name.wanted, self.name.digest))

    def manifest(self, wanted: Descriptor) -> bytes:
        """Return a manifest by its digest.

        Raises UserError when nobody has it, RegistryError when nobody gives it, ContentError when it is another.
        """
        return self._each(lambda one: one.manifest(wanted.digest, wanted.digest))

    def blob(self, wanted: Descriptor, receiver: Receiver) -> None:
        """Send a blob, from where an earlier attempt has ended. Raises as `manifest` does."""
        self._each(lambda one: _whole(one, wanted, receiver))

    def attached(self, subject: str) -> list[Descriptor]:
        """Return what the first place that has anything attached to a digest has.

        Nobody is asked twice: an image is whole without. Raises RegistryError when a place does not answer.
        """
        found: list[Descriptor] = []
        for one in self._repositories:
            found = found or one.attached(subject)
        return found

    def _each(self, action: Callable[[Repository], Got]) -> Got:
        troubles: list[HostError] = []
        for one in list(self._repositories):
            try:
                got = self._patiently(one, action)
            except (RegistryError, ContentError) as error:
                troubles.append(error)
                if one is not self._repositories[-1]:
                    self._progress(f"{error.message}; going on without {one.place.host}")
                continue
            return got
        raise self._judged(troubles)

    def _patiently(self, one: Repository, action: Callable[[Repository], Got]) -> Got:
        got: list[Got] = []
        retrying(self._patience, lambda: got.append(action(one)), self._progress)
        return got[0]

    def _judged(self, troubles: Sequence[HostError]) -> Exception:
        if all(isinstance(error, RegistryError) and error.kind == "absent" for error in troubles):
            where = ", ".join(one.place.host for one in self._repositories)
            return UserError(
                f"there is no {self.name} on {where}",
                details=troubles[-1].details,
                hint="check the image's name and tag",
            )
        # the place itself is the last one: what it says counts, and the mirrors' troubles were told
        return troubles[-1]


class Repository:
    """A repository at one place; safe to use from several threads."""

    def __init__(self, place: RegistryPlace, patience: Patience) -> None:
        self.place = place
        self._transport = RegistryTransport(place, patience)
        self._auth = Auth(place, partial(self._transport.ask, limit=LARGEST_ANSWER))

    def close(self) -> None:
        """End all connections."""
        self._transport.close()

    def manifest(self, wanted: str, digest: str) -> bytes:
        """Return what is under the tag or digest `wanted`; its digest is checked where there is one."""
        with self._get(f"manifests/{wanted}", {"Accept": ACCEPT}) as response:
            data = self._transport.read(response, LARGEST)
        if _is_page(response, data):
            raise failed(self.place, "odd", details=f"it sends a page: {words(data.lstrip())[:100]}")
        if digest and not matches(data, digest):
            raise ContentError(f"{self.place.host} gives another manifest than {digest}: {self.place}")
        return data

    def attached(self, subject: str) -> list[Descriptor]:
        """Return what is attached to a digest: by the API of referrers, or the tag in its place, and cosign's tags."""
        first, *others = tags(subject)
        found: list[Descriptor] = []
        path = f"referrers/{subject}"
        for page in range(MOST_PAGES):
            listed, following = self._listed(path)
            if listed is None and not page:
                listed, _ = self._listed(f"manifests/{first}")
            found += listed or ()
            if not following:
                break
            path = following
        for tag in others:
            data, _ = self._given(f"manifests/{tag}")
            if data is not None:
                digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
                found.append(Descriptor(media_type=MANIFEST, digest=digest, size=len(data)))
        return found

    def _listed(self, path: str) -> tuple[tuple[Descriptor, ...] | None, str]:
        """Return an index's entries, None where there is none, and the path of its next page, "" for none."""
        data, following = self._given(path)
        try:
            index = parse(data, path) if data is not None else None
        except ImageError:
            index = None
        return (index.manifests, following) if isinstance(index, Index) else (None, "")

    def _given(self, path: str) -> tuple[bytes | None, str]:
        """Return what is at a path, None where the registry gives nothing, and the path of what follows."""
        above = f"/v2/{self.place.repository}/"
        try:
            with self._get(path, {"Accept": ACCEPT}) as response:
                link = str(response.links.get("next", {}).get("url", ""))  # RFC 8288, as the distribution-spec has it
                # a link to elsewhere is none of the list's
                following = link.removeprefix(above) if link.startswith(f"{above}referrers/") else ""
                return self._transport.read(response, LARGEST), following
        except RegistryError as error:
            if error.kind in ("absent", "denied", "odd"):
                return None, ""
            raise

    def blob(self, wanted: Descriptor, receiver: Receiver) -> None:
        """Send the bytes of a blob that are not there yet."""
        headers = {"Range": f"bytes={receiver.have}-"} if receiver.have else {}
        with self._get(f"blobs/{wanted.digest}", headers) as response:
            if receiver.have and _start(response) != receiver.have:
                receiver.restart()
                if response.status_code == 206:
                    raise failed(self.place, "odd", details="it sends another part of a blob than was asked for")
            for chunk in self._transport.chunks(response):
                if not receiver.have and _is_page(response, chunk):
                    raise failed(self.place, "odd", details=f"it sends a page: {words(chunk.lstrip())[:100]}")
                receiver.write(chunk)
        if not receiver.whole:
            raise failed(self.place, "silent", details=f"it broke off after {receiver.have} of {wanted.size} bytes")

    @contextmanager
    def _get(self, path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        base = self._transport.base
        for _ in range(TRIES):
            sent = self._auth.header
            given = {**headers, "Authorization": sent} if sent else headers
            with self._transport.get(base.join(f"/v2/{self.place.repository}/{path}"), given) as response:
                if response.is_success:
                    yield response
                    return
                challenge = response.headers.get("WWW-Authenticate", "")
                if response.status_code != 401 or not challenge or not same_host(response.url, base):
                    raise self._transport.refused(response)
            self._auth.answer(challenge, sent, base)
        raise denied(self.place, had_login=True)


def _whole(one: Repository, wanted: Descriptor, receiver: Receiver) -> None:
    """Bring in the whole blob; once more from its beginning where the bytes of before may be to blame."""
    resumed = receiver.have > 0
    try:
        one.blob(wanted, receiver)
        receiver.check()
    except ContentError:
        receiver.restart()
        if not resumed:
            raise
        one.blob(wanted, receiver)
        receiver.check()


def _start(response: Response) -> int:
    """Return the offset of the first byte that an answer has."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(found[1]) if response.status_code == 206 and found else 0


def _is_page(response: Response, data: bytes) -> bool:
    """Say whether an answer is a page for people, such as a proxy's or a login's: no manifest or layer begins so."""
    kind = response.headers.get("Content-Type", "")
    return data.lstrip()[:1] == b"<" and (kind.startswith("text/html") or data.lstrip()[:15].lower().startswith(_PAGES))


def same_host(one: URL, other: URL) -> bool:
    """Say whether two URLs are of one host and port."""
    return one.host == other.host and one.port == other.port
