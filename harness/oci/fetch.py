"""OCI images by reference: resolved for an architecture, fetched, checked, and kept in the store by digest."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

from harness.arch import Arch
from harness.errors import HarnessError, HostError, ImageError, UserError
from harness.oci import attached
from harness.oci.attached import AttachedRow, Subject
from harness.oci.blobs import Blobs, Receiver
from harness.oci.document import LARGEST, MANIFEST, Descriptor, Index, OciManifest, choose, parse, read_config
from harness.oci.image import Attachment, Blob, OciImage
from harness.oci.registries import Registries, find
from harness.oci.resolution import ImageResolution, ReferenceLock, read_rows
from harness.patience import Patience
from harness.spec.image_reference import Local, Named
from harness.spec.image_reference import parse as parse_reference
from harness.store import Store, digest_of

RESOLUTION_VERSION = 3
DEEPEST = 3  # indexes within indexes
WORKERS = 4  # layers at a time
PERIOD = 10.0  # seconds between two words of how far a fetch has come


def silent(_: str) -> None:
    """Report nothing."""


class ImageSource(Protocol):
    """Where one image comes from."""

    def top(self) -> bytes:
        """Return the manifest or index that the reference names."""
        ...

    def manifest(self, wanted: Descriptor) -> bytes:
        """Return a manifest by its digest."""
        ...

    def blob(self, wanted: Descriptor, receiver: Receiver) -> None:
        """Send a blob to the store."""
        ...

    def attached(self, subject: str) -> list[Descriptor]:
        """Return the manifests of what is attached to a digest."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class StoppedError(HostError):
    """A layer was given up because another one had failed."""


@dataclass(frozen=True)
class _Order:
    """An image that is asked for: ``name`` in full, ``key`` of its record, empty where it is quicker to look.

    ``locked`` is the digest that the lock says, empty without one.
    """

    text: str
    name: Named | Local
    where: Path
    arch: Arch
    key: str
    locked: str

    def __str__(self) -> str:
        return f"{self.text[:200]}, linux/{self.arch.oci}"


class Images:
    """OCI images, with `store` as their memory; safe to use from several threads.

    `offline` asks no registry; `refresh` asks anew what a tag means, once for each image; a `lock` that is honoured
    says it instead. `registries` tells what is set about them, when it is needed. `alive` is called as bytes arrive;
    what it raises ends the fetching.
    """

    def __init__(
        self,
        store: Store,
        *,
        registries: Callable[[], Registries] = find,
        offline: bool = False,
        refresh: bool = False,
        lock: ReferenceLock | None = None,
        progress: Callable[[str], None] = silent,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        if offline and refresh:
            raise UserError("offline and refresh exclude each other", hint="give one of them")
        self.store, self.offline, self.refresh, self.progress = store, offline, refresh, progress
        self.lock = lock
        self.patience = Patience()  # may be set
        self._find, self._alive = registries, alive
        self._blobs = Blobs(store)
        self._known: dict[tuple[str, str, Path], ImageResolution] = {}
        self._locks: dict[tuple[str, str, Path], threading.Lock] = {}
        self._lock = threading.Lock()

    @cached_property
    def registries(self) -> Registries:
        """What is set about registries."""
        return self._find()

    def resolve(self, reference: str, arch: Arch, base: Path) -> str:
        """Return the digest of the manifest that `reference` means for `arch`; `base` is the folder of relative paths.

        Raises UserError when there is no such image or none for `arch`, ImageError when what is there is no image,
        HostError when it cannot be had.
        """
        return self._resolved(self._order(reference, arch, base)).digest

    def digests(self, reference: str, arch: Arch, base: Path) -> list[str]:
        """Return the digest of the manifest, and those of what is attached to the image. Raises as `resolve` does."""
        found = self._resolved(self._order(reference, arch, base))
        return [found.digest, *(row.digest for row in found.attached or ())]

    def fetch(self, reference: str, arch: Arch, base: Path, *, files_only: bool = False) -> OciImage:
        """Return the image, every blob of it in the store and checked. Raises as `resolve` does.

        `files_only` is for who wants the layers' files alone: of a layer that has been unpacked, the blob is not read.
        """
        order = self._order(reference, arch, base)
        with self.store.telling("an OCI image"):
            resolved = self._resolved(order)
            manifest = self._manifest(resolved.manifest, order)
            assert manifest is not None  # _resolved has seen to it
            platform, config = read_config(self._blob(manifest.config).path.read_bytes(), manifest, arch, order.text)
            layers = self._layers(order, manifest, config["rootfs"]["diff_ids"] if files_only else ())
            held = tuple(self._attachment(order, row) for row in resolved.attached or ())
        return OciImage(reference, resolved.digest, platform, config, layers, held)

    def _order(self, reference: str, arch: Arch, base: Path) -> _Order:
        name, locked = parse_reference(reference), ""
        if self.lock and self.lock.honoured and not self.refresh:
            locked = self.lock.find_image(arch.name, reference)
        if isinstance(name, Named):
            name = self.registries.qualify(name)
            name = replace(name, digest=locked or name.digest)
            asked = [str(place) for place in self.registries.places(name)[-1:]]
            key = digest_of([RESOLUTION_VERSION, str(name), asked, arch.oci])
            return _Order(reference, name, base, arch, key, locked)
        where = name.where(base)
        try:
            status = where.stat()
        except OSError as error:
            raise UserError(f"{name}: {error.strerror}: {where}", hint=f"a path from {base}, or a full one") from None
        # an archive is read from end to end before it is known what it holds; a folder has an index
        seen = [str(where.absolute()), status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]
        key = "" if name.transport == "oci" else digest_of([RESOLUTION_VERSION, str(name), seen, arch.oci])
        return _Order(reference, name, where, arch, key, locked)

    def _resolved(self, order: _Order) -> ImageResolution:
        memo = (str(order.name), order.arch.name, order.where)
        with self._lock:
            lock = self._locks.setdefault(memo, threading.Lock())
        with lock:
            found = self._known.get(memo)
            if found is None:
                found = self._known[memo] = self._whole(order, self._recorded(order))
        if order.locked and found.digest != order.locked:
            raise UserError(
                f"{order} is not what the lock says",
                details=f"it is    {found.digest}\nlocked:  {order.locked}",
                hint="to take it as it is now, resolve anew (refresh), and review what changed",
            )
        if self.lock and not self.lock.honoured:
            self.lock.add_image(order.arch.name, order.text, found.digest)
            if found.attached is not None:
                self.lock.add_attached(found.digest, [row.model_dump() for row in found.attached])
        return found

    def _whole(self, order: _Order, found: ImageResolution | None) -> ImageResolution:
        """Return what is remembered with what is attached to it, as the lock says or whoever has the image."""
        if order.locked and self.lock:
            rows = read_rows(self.lock.find_attached(order.locked))
            found = replace(found or self._asked(order), attached=rows)
        elif found is None or (found.attached is None and not self.offline):
            try:
                return self._asked(order)
            except HarnessError:
                if found is None:
                    raise
        if found.attached is None:
            self.progress(f"{order}: what is attached to it is not known: resolve anew (refresh) to have it")
        return found

    def _asked(self, order: _Order) -> ImageResolution:
        found = self._ask(order)
        self._record(order, found)
        return found

    def _recorded(self, order: _Order) -> ImageResolution | None:
        """Return the remembered answer, or None: what a digest means does not change, what a tag means may."""
        if not order.key or (self.refresh and not (isinstance(order.name, Named) and order.name.digest)):
            return None
        try:
            found = ImageResolution.from_json(self.store.recall(order.key))
            return found if self._manifest(found.manifest, order) else None
        except (ValueError, KeyError, TypeError, ImageError):
            return self._imported(order)

    def _imported(self, order: _Order) -> ImageResolution | None:
        """Return what a digest means that came with an imported cache, or None: ask again."""
        digest = order.name.digest if isinstance(order.name, Named) else ""
        size = self._blobs.size(digest) if digest else None
        if size is None or size > LARGEST:
            return None
        found = Descriptor(media_type=MANIFEST, digest=digest, size=size)
        try:
            return ImageResolution(found, None) if self._manifest(found, order) else None
        except ImageError:
            return None

    def _record(self, order: _Order, found: ImageResolution) -> None:
        if not order.key:
            return
        with self.store.telling("a resolution"):
            self.store.remember(order.key, found.to_json())

    def _manifest(self, described: Descriptor, order: _Order) -> OciManifest | None:
        """Return a manifest of the store, or None when it or its config is not there."""
        blob = self._blobs.find(described)
        if blob is None:
            return None
        manifest = parse(blob.path.read_bytes(), str(order))
        return manifest if isinstance(manifest, OciManifest) and self._blobs.find(manifest.config) else None

    def _blob(self, wanted: Descriptor) -> Blob:
        found = self._blobs.find(wanted)
        assert found is not None  # the caller has put it there
        return found

    def _ask(self, order: _Order) -> ImageResolution:
        """Find out what the order means; its manifest and config are in the store then, and what is attached to it."""
        if isinstance(order.name, Named):
            self.progress(f"{order}: asking {order.name.registry}")
        with self._source(order) as source:
            data, subject, manifest = _descend(source, order)
            found = Descriptor(media_type=MANIFEST, digest=subject.digest, size=len(data))
            self._blobs.keep(found, partial(_give, data))
            config = self._blobs.keep(manifest.config, partial(source.blob, manifest.config), self._alive)
            read_config(config.path.read_bytes(), manifest, order.arch, order.text)
            if order.locked:  # the lock says what is attached
                return ImageResolution(found, None)
            collector = attached.Collector(
                source, partial(self._bring, source), lambda said: self.progress(f"{order}: {said}")
            )
            return ImageResolution(found, collector.collect(subject))

    def _bring(self, source: ImageSource, row: AttachedRow) -> Attachment:
        """Keep an attachment. Raises UserError or ImageError where it is none, HostError where it cannot be had."""
        manifest = self._blobs.keep(row.descriptor, lambda receiver: _give(source.manifest(row.descriptor), receiver))
        parts = attached.parse(manifest.path.read_bytes(), f"the attestation {row.digest}").layers
        held = tuple(self._blobs.keep(part, partial(source.blob, part), self._alive) for part in parts)
        return Attachment(manifest, held, row.subject)

    def _attachment(self, order: _Order, row: AttachedRow) -> Attachment:
        """Return an attachment of the store, brought in again where it lacks some of it."""
        manifest = self._blobs.find(row.descriptor)
        if manifest is not None:
            parts = attached.parse(manifest.path.read_bytes(), f"the attestation {row.digest}").layers
            held = tuple(blob for part in parts if (blob := self._blobs.find(part)) is not None)
            if len(held) == len(parts):
                return Attachment(manifest, held, row.subject)
        with self._source(order) as source:
            try:
                return self._bring(source, row)
            except UserError as error:
                raise attached.gone(str(order), row, error) from None

    def _layers(self, order: _Order, manifest: OciManifest, diff_ids: Sequence[str]) -> tuple[Blob, ...]:
        unpacked = self._unpacked(manifest, diff_ids)

        def find(layer: Descriptor) -> Blob | None:
            return self._blobs.unread(layer) if layer.digest in unpacked else self._blobs.find(layer)

        wanted = {layer.digest: layer for layer in manifest.layers}
        missing = [layer for layer in wanted.values() if find(layer) is None]
        if missing:
            count = "1 layer" if len(missing) == 1 else f"{len(missing)} layers"
            self.progress(f"{order}: fetching {count}, {sum(layer.size for layer in missing) / 1e6:.1f} MB")
            with self._source(order) as source:
                self._fetch(order, source, missing)
        found = [find(layer) for layer in manifest.layers]
        return tuple(one for one in found if one is not None)  # all: what was missing has been fetched

    def _unpacked(self, manifest: OciManifest, diff_ids: Sequence[str]) -> set[str]:
        """Return the digests of the layers whose files the store has: they were checked as they were unpacked."""
        if not diff_ids:
            return set()
        from harness.oci.layers import is_unpacked  # a build of nothing needs none

        both = zip(manifest.layers, diff_ids, strict=True)
        return {layer.digest for layer, diff_id in both if is_unpacked(diff_id, self.store)}

    def _fetch(self, order: _Order, source: ImageSource, missing: list[Descriptor]) -> None:
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # a build of nothing needs none

        stop = threading.Event()

        def alive() -> None:
            self._alive()
            if stop.is_set():
                raise StoppedError("another layer has failed")

        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            futures = [pool.submit(self._blobs.keep, one, partial(source.blob, one), alive) for one in missing]
            try:
                while True:
                    done, left = wait(futures, timeout=PERIOD, return_when=FIRST_EXCEPTION)
                    failed = any(future.exception() for future in done)
                    if failed or not left:
                        break
                    arrived, whole = sum(map(self._blobs.arrived, missing)), sum(one.size for one in missing)
                    self.progress(f"{order}: {arrived / 1e6:.0f} of {whole / 1e6:.0f} MB")
            except BaseException:
                failed = True
                raise
            finally:
                if failed:
                    stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
        troubles = [future.exception() for future in futures if not future.cancelled()]
        for trouble in sorted(filter(None, troubles), key=lambda error: isinstance(error, StoppedError)):
            raise trouble

    @contextmanager
    def _source(self, order: _Order) -> Iterator[ImageSource]:
        source = self._open(order)
        try:
            yield source
        finally:
            source.close()

    def _open(self, order: _Order) -> ImageSource:
        if isinstance(order.name, Named):
            if self.offline:
                raise HostError(
                    f"{order} is not in the cache, and this build is offline", hint="build once with the network"
                )
            from harness.oci.registry import (
                RegistrySource,  # only where one is asked: a build of nothing must start quickly
            )

            return RegistrySource(order.name, self.registries.places(order.name), self.patience, self.progress)
        from harness.oci.dockerarchive import DockerArchive
        from harness.oci.hostfiles import Archive, Folder
        from harness.oci.layout import Layout

        if order.name.transport == "oci":
            return Layout(order.name, Folder(order.where))
        archive = Archive(order.where, self.store.root / "tmp")
        return (Layout if order.name.transport == "oci-archive" else DockerArchive)(order.name, archive)


def _descend(source: ImageSource, order: _Order) -> tuple[bytes, Subject, OciManifest]:
    """Return a manifest, what leads to it, and what it says.

    The digests are those by which it, and the indexes above it, can be asked for where they are.
    """
    data, digest = source.top(), order.name.digest if isinstance(order.name, Named) else ""
    above: list[tuple[str, Index]] = []
    for _ in range(DEEPEST + 1):
        document = parse(data, str(order))
        digest = digest or _sha256(data)
        if isinstance(document, OciManifest):
            return data, Subject(digest, tuple(above)), document
        chosen = choose(document, order.arch, order.text)
        if chosen.size > LARGEST:
            raise ImageError(f"{order}: its manifest is larger than {LARGEST} bytes")
        above.append((digest, document))
        data, digest = source.manifest(chosen), chosen.digest
    raise ImageError(f"{order}: more than {DEEPEST} indexes within one another")


def _give(data: bytes, receiver: Receiver) -> None:
    receiver.restart()
    receiver.write(data)


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
