"""Blobs in the store: each comes in once, whole and checked, from wherever; what was cut short is gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from harness.errors import HostError
from harness.oci.document import Descriptor
from harness.oci.image import Blob
from harness.store import DOWNLOADS, Store

FILE = DOWNLOADS["blobs"]
CHUNK = 1 << 20


class ContentError(HostError):
    """What arrived is not what its digest and size say."""


def hexadecimal(digest: str) -> str:
    """Return the digest's digits: its key in the store."""
    return digest.partition(":")[2]


def matches(data: bytes, digest: str) -> bool:
    """Say whether `digest` is that of `data`."""
    algorithm, _, wanted = digest.partition(":")
    return hashlib.new(algorithm, data).hexdigest() == wanted


class Receiver:
    """A blob on its way in. ``have`` bytes are there, perhaps of an earlier attempt: sending may go on from there."""

    def __init__(self, wanted: Descriptor, path: Path, alive: Callable[[], None]) -> None:
        self.wanted, self._alive = wanted, alive
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stream = path.open("a+b")
        self.have = 0
        self._hash = hashlib.new(wanted.algorithm)
        self._stream.seek(0)
        while block := self._stream.read(CHUNK):
            self._hash.update(block)
            self.have += len(block)
        if self.have > wanted.size or (self.whole and not self._good):
            self.restart()

    def restart(self) -> None:
        """Forget what is there."""
        self._stream.truncate(0)
        self._hash = hashlib.new(self.wanted.algorithm)
        self.have = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. ContentError when there are more than were promised."""
        self._alive()
        if self.have + len(data) > self.wanted.size:
            raise self._wrong(f"more than its {self.wanted.size} bytes came")
        self._stream.write(data)
        self._stream.flush()  # what is here when this is killed need not come again
        self._hash.update(data)
        self.have += len(data)

    @property
    def whole(self) -> bool:
        """Whether all bytes are there."""
        return self.have == self.wanted.size

    @property
    def _good(self) -> bool:
        return self._hash.hexdigest() == hexadecimal(self.wanted.digest)

    def check(self) -> None:
        """Raise ContentError unless it is what was wanted."""
        self._stream.flush()
        if not self.whole:
            raise self._wrong(f"{self.have} of its {self.wanted.size} bytes came")
        if not self._good:
            raise self._wrong("what came has another digest")

    def close(self) -> None:
        """Keep what is there for another attempt."""
        self._stream.close()

    def _wrong(self, what: str) -> ContentError:
        return ContentError(
            f"{self.wanted.digest}: {what}", hint="what is offered there is damaged or false: ask whoever runs it"
        )


Sender = Callable[[Receiver], None]


class Blobs:
    """The blobs of one store; safe to use from several threads and processes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, wanted: Descriptor) -> Blob | None:
        """Return the blob if the store has it; its digest is checked once by each process."""
        folder = self.store.find("blobs", hexadecimal(wanted.digest))
        if folder is None:
            return None
        if _size(folder / FILE) != wanted.size:  # what names it lies: let it come once more, and be refused
            self.store.discard(folder)
            return None
        return _blob(folder / FILE, wanted)

    def unread(self, wanted: Descriptor) -> Blob | None:
        """Return the blob if the store has one of its size, for whoever will not read it: its digest is not checked."""
        path = self.store.path("blobs", hexadecimal(wanted.digest)) / FILE
        return _blob(path, wanted) if _size(path) == wanted.size else None

    def size(self, digest: str) -> int | None:
        """Return how large the blob in the store is, None when it is not there."""
        return _size(self.store.path("blobs", hexadecimal(digest)) / FILE)

    def arrived(self, wanted: Descriptor) -> int:
        """Return how many bytes of a blob are here, also of one that is on its way."""
        return self.size(wanted.digest) or _size(self._partial(wanted)) or 0

    def _partial(self, wanted: Descriptor) -> Path:
        return self.store.root / "partial" / hexadecimal(wanted.digest)

    def keep(self, wanted: Descriptor, send: Sender, alive: Callable[[], None] = lambda: None) -> Blob:
        """Return the blob, brought in by `send` when the store lacks it.

        `alive` is called as bytes arrive: what it raises ends that, and what is there is kept for the next time.
        Raises ContentError when it is not what was wanted, HostError when the disk is full, and what `send` raises.
        """
        found = self.find(wanted)
        if found:
            return found
        key = hexadecimal(wanted.digest)
        folder = self.store.make("blobs", key, lambda work: self._receive(wanted, send, alive, work))
        return _blob(folder / FILE, wanted)

    def _receive(self, wanted: Descriptor, send: Sender, alive: Callable[[], None], work: Path) -> None:
        # the lock of its key is held: nobody else writes to this file
        partial = self._partial(wanted)
        receiver = Receiver(wanted, partial, alive)
        try:
            if not receiver.whole:
                send(receiver)
            receiver.check()
        except ContentError:
            partial.unlink(missing_ok=True)
            raise
        finally:
            receiver.close()
        partial.chmod(0o644)
        partial.replace(work / FILE)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _blob(path: Path, wanted: Descriptor) -> Blob:
    return Blob(path, wanted.media_type, wanted.digest, wanted.size)
