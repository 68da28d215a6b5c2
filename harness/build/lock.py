"""The lock: resolved packages with version and SHA-256, OCI images with their digests, in one JSON file."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.build.packages import DebianPackage, Resolution, package_from
from harness.errors import HostError, UserError
from harness.spec.image_reference import DIGEST
from harness.text import of_error

FORMAT = 1
MAX_BYTES = 64 << 20
REMOVE = "name another file, or remove it and build again"


class PackageLock:
    """Honoured when its file exists, else filled by what is resolved and written by `save`.

    ``update=True`` resolves anew: new answers take the place of the file's, which keeps those to what nobody asked
    about, such as another architecture. Raises UserError when the file is not a lock.
    """

    def __init__(self, path: Path, *, update: bool = False) -> None:
        self.path = path
        self.honoured = path.exists() and not update
        self._lock = threading.Lock()
        self._packages: dict[str, DebianPackage] = {}
        self._requests: dict[str, dict[str, list[str]]] = {}
        self._images: dict[str, dict[str, str]] = {}
        self._attached: dict[str, list[Any]] = {}  # by the digest of an image's manifest
        self._suite = ""
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            data = files.read_json(self.path, limit=MAX_BYTES)
            if data["format"] != FORMAT:
                raise UserError(f"the lock {self.path} has format {data['format']}, this harness writes {FORMAT}")
            self._suite = data["suite"]
            self._packages = {record["sha256"]: package_from(record) for record in data["packages"]}
            self._requests = {arch: dict(requests) for arch, requests in data["requests"].items()}
            # a lock from before there were OCI images lists none
            self._images = {arch: dict(images) for arch, images in data.get("images", {}).items()}
            self._attached = {digest: list(rows) for digest, rows in data.get("attached", {}).items()}
        except UserError as error:
            raise UserError(f"the lock {self.path} is not usable: {error.message}", hint=REMOVE) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path} is not a lock: {error!r}", hint=REMOVE) from error

    @property
    def _advice(self) -> str:
        return f"to update it, remove {self.path} or resolve anew (refresh), and review what changed"

    def find(self, suite: str, arch: str, names: Sequence[str]) -> Resolution:
        """Return the locked answer to a request; UserError when the lock does not list it."""
        if suite != self._suite:
            raise UserError(f"the lock {self.path} is for suite {self._suite}, not {suite}", hint=self._advice)
        digests = self._requests.get(arch, {}).get(request_key(names))
        if digests is None or any(digest not in self._packages for digest in digests):
            raise UserError(
                f"the lock {self.path} does not list {' '.join(names)} for {arch}",
                hint=self._advice,
            )
        packages = tuple(self._packages[digest] for digest in digests)
        return Resolution(suite=suite, arch=arch, names=tuple(names), packages=packages, uris={})

    def add(self, resolution: Resolution) -> None:
        """Remember an answer for `save`."""
        with self._lock:
            if resolution.suite != self._suite:
                # a lock is of one suite: what it said of another one is not an answer any more
                self._suite, self._requests = resolution.suite, {}
            self._packages.update((package.sha256, package) for package in resolution.packages)
            answers = self._requests.setdefault(resolution.arch, {})
            answers[request_key(resolution.names)] = [package.sha256 for package in resolution.packages]

    def find_image(self, arch: str, reference: str) -> str:
        """Return the digest of the manifest that a reference is locked to; UserError when the lock does not list it."""
        digest = self._images.get(arch, {}).get(reference)
        if digest is None or not DIGEST.fullmatch(digest):
            raise UserError(f"the lock {self.path} does not list {reference} for {arch}", hint=self._advice)
        return digest

    def add_image(self, arch: str, reference: str, digest: str) -> None:
        """Remember for `save` what a reference means."""
        with self._lock:
            self._images.setdefault(arch, {})[reference] = digest

    def find_attached(self, digest: str) -> list[Any] | None:
        """Return what is attached to an image, as `add_attached` was given it; None when the lock does not say."""
        return self._attached.get(digest)

    def add_attached(self, digest: str, rows: list[Any]) -> None:
        """Remember for `save` what is attached to the image whose manifest has that digest: JSON-like rows."""
        with self._lock:
            self._attached[digest] = rows

    def save(self) -> None:
        """Write the file, whole or not at all; nothing when it was honoured. HostError when it cannot be written."""
        if self.honoured:
            return
        used = {digest for answers in self._requests.values() for digests in answers.values() for digest in digests}
        named = {digest for images in self._images.values() for digest in images.values()}
        packages = sorted(
            (package for digest, package in self._packages.items() if digest in used),
            key=lambda package: (package.name, package.arch, package.version),
        )
        data: Mapping[str, Any] = {
            "format": FORMAT,
            "suite": self._suite,
            "requests": {arch: dict(sorted(self._requests[arch].items())) for arch in sorted(self._requests)},
            "packages": [package.record() for package in packages],
            "images": {arch: dict(sorted(self._images[arch].items())) for arch in sorted(self._images)},
            "attached": {digest: rows for digest, rows in sorted(self._attached.items()) if digest in named},
        }
        try:
            files.write_json(self.path, data)
        except OSError as error:
            raise HostError(f"cannot write the lock: {of_error(error)}") from error


def request_key(names: Sequence[str]) -> str:
    """Return a request as the lock spells it."""
    return " ".join(sorted(set(names)))
