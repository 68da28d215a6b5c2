"""Debian packages for any architecture: resolved, fetched, kept by digest, locked, exported and imported."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.arch import ARCHES, Arch
from harness.build.lock import PackageLock, request_key
from harness.build.mirror import MirrorError
from harness.build.packages import DebianPackage, Resolution, package_from, package_from_index
from harness.build.sources import SECURITY, PackageSource, base_uris, from_host, from_mirror, text_of
from harness.errors import HostError, UserError
from harness.patience import Patience, retrying
from harness.store import DOWNLOADS, INDEXES, Store, digest_of, file_digest

if TYPE_CHECKING:
    from harness.build.apt import Apt

RESOLUTION_VERSION = 4
OTHER_BYTES = "other-bytes"  # the kind of a MirrorError: waiting does not help
# An answer that was remembered before a package's record had all of these is of an older harness.
RECORDED = [field.name for field in fields(DebianPackage)]
DEB = DOWNLOADS["debs"]


def silent(_: str) -> None:
    """Report nothing."""


class Debian:
    """One suite of Debian, as the host's apt sources or `mirror` offer it, with `store` as its memory.

    `mirror`: ``URL SUITE…``, several parted by commas, signed by `keyring` (Debian's own unless given).
    `offline` never touches the network; `refresh` asks the mirror anew, once per request.
    """

    def __init__(
        self,
        store: Store,
        *,
        suite: str = "bookworm",
        mirror: str | None = None,
        keyring: Path | None = None,
        offline: bool = False,
        refresh: bool = False,
        lock: PackageLock | None = None,
        progress: Callable[[str], None] = silent,
    ) -> None:
        if offline and refresh:
            raise UserError("offline and refresh exclude each other", hint="give one of them")
        if keyring and not mirror:
            raise UserError("a keyring means nothing without a mirror", hint="name the mirror whose key it holds")
        self.store, self.suite, self.mirror, self.keyring = store, suite, mirror, keyring
        self.offline, self.refresh, self.lock, self.progress = offline, refresh, lock, progress
        self.patience = Patience()  # may be set
        self._uris: dict[str, str] = {}
        self._fresh: set[str] = set()  # requests and architectures this object has already asked about anew
        self._verified: set[str] = set()
        self._offered: set[str] = set()  # packages (by digest) of which the mirror's index of now has the digest

    @cached_property
    def sources(self) -> tuple[PackageSource, ...]:
        """The repositories in use."""
        if self.mirror:
            return from_mirror(self.mirror, self.suite, self.keyring)
        return from_host(self.suite)

    @cached_property
    def _sources_text(self) -> str:
        return text_of(self.sources)

    def _apt(self, arch: Arch) -> Apt:
        from harness.build.apt import Apt  # only where a mirror is asked: a build of nothing must start quickly

        key = digest_of([self._sources_text, arch.debian])[:24]
        return Apt(self.store.root / INDEXES / key, self._sources_text, self.suite, arch, self.patience)

    def resolve(self, names: Sequence[str], arch: Arch) -> Resolution:
        """Return the closure apt would install for `names`: from the lock, the cache, or the mirror.

        Raises UserError for an unknown name or one the lock lacks, HostError when the mirror is needed and fails.
        """
        with self.store.telling("package indexes"):
            return self._answer(names, arch)

    def _answer(self, names: Sequence[str], arch: Arch) -> Resolution:
        names = tuple(sorted(set(names)))
        if not names:
            return Resolution(suite=self.suite, arch=arch.name, names=(), packages=(), uris={})
        if self.lock and self.lock.honoured and not self.refresh:
            return self.lock.find(self.suite, arch.name, names)
        resolution = self.known(names, arch)
        if resolution is None or (self.refresh and self._ask(f"{arch.name} {request_key(names)}")):
            resolution = self._resolve(names, arch)
        self._uris.update(resolution.uris)
        if self.lock:
            self.lock.add(resolution)
        return resolution

    def _ask(self, what: str) -> bool:
        new = what not in self._fresh
        self._fresh.add(what)
        return new

    def _record(self, names: Sequence[str], arch: Arch) -> str:
        asked = [self.suite, self._sources_text, list(names), arch.debian]
        return digest_of([RESOLUTION_VERSION, RECORDED, *asked])

    def known(self, names: Sequence[str], arch: Arch) -> Resolution | None:
        """Return the remembered answer to a request, or None."""
        names = tuple(sorted(set(names)))
        try:
            data = self.store.recall(self._record(names, arch))
            packages = tuple(package_from(record) for record in data["packages"]) if data else ()
        except (KeyError, TypeError, UserError):
            return None  # of another version of the harness
        if data is None:
            return None
        return Resolution(suite=self.suite, arch=arch.name, names=names, packages=packages, uris=data["uris"])

    def _resolve(self, names: tuple[str, ...], arch: Arch) -> Resolution:
        if self.offline:
            raise HostError(
                f"suite {self.suite}, {arch.name}: {' '.join(names)} is not resolved yet, and this build is offline",
                hint="build once with the network, or use a lock with an imported cache",
            )
        self.progress(f"{arch.name}: resolving {' '.join(names)}")
        refresh = self.refresh and self._ask(arch.name)
        paragraphs = self._apt(arch).resolve(names, refresh=refresh, progress=self.progress)
        packages = tuple(sorted(map(package_from_index, paragraphs), key=lambda package: package.name))
        uris = {fields["sha256"]: fields["uri"] for fields in paragraphs}
        data = {"packages": [package.record() for package in packages], "uris": uris}
        self._offered.update(uris)
        self.store.remember(self._record(names, arch), data)
        return Resolution(suite=self.suite, arch=arch.name, names=names, packages=packages, uris=uris)

    def is_security(self, digest: str) -> bool:
        """Say whether a package that was resolved here was offered by a repository of security updates alone."""
        uri = self._uris.get(digest, "")
        serving = [one for one in self.sources if any(uri.startswith(f"{base.rstrip('/')}/") for base in one.uris)]
        suites = [suite.endswith(SECURITY) for one in serving for suite in one.suites]
        # Debian's own security repository names its pool so, also where a mirror has all under one address
        return any(suites) and (all(suites) or "/pool/updates/" in uri)

    def fetch(self, package: DebianPackage) -> Path:
        """Return the package's .deb, downloaded when missing, its digest checked. Raises HostError."""
        self.fetch_all((package,))
        return self.store.path("debs", package.sha256) / DEB

    def fetch_all(self, packages: Sequence[DebianPackage]) -> None:
        """Bring all `packages` into the store, the missing ones in one download. Raises HostError."""
        with self.store.telling("packages"):
            self._fetch(packages)

    def _fetch(self, packages: Sequence[DebianPackage]) -> None:
        missing = self._missing(packages)
        if not missing:
            return
        if self.offline:
            raise HostError(
                "this build is offline and lacks packages",
                details="\n".join(f"{package.name} {package.version} ({package.arch})" for package in missing),
                hint="build once with the network, or import an exported cache",
            )
        arch = next((row for row in ARCHES.values() if any(row.debian == each.arch for each in missing)), None)
        arch = arch or next(iter(ARCHES.values()))
        locks = self.store.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        from filelock import FileLock

        with FileLock(locks / f"download-{arch.name}.lock"):
            missing = self._missing(missing)
            if missing:
                self._download(missing, arch)

    def _missing(self, packages: Sequence[DebianPackage]) -> list[DebianPackage]:
        unique = {package.sha256: package for package in packages}
        return [package for package in unique.values() if not self._has(package)]

    def _has(self, package: DebianPackage) -> bool:
        if package.sha256 in self._verified:
            return True
        good = self.store.find("debs", package.sha256) is not None
        if good:
            self._verified.add(package.sha256)
        return good

    def _download(self, missing: Sequence[DebianPackage], arch: Arch) -> None:
        total = sum(package.size for package in missing)
        count = "1 package" if len(missing) == 1 else f"{len(missing)} packages"
        self.progress(f"{arch.name}: downloading {count}, {total / 1e6:.1f} MB")
        apt = self._apt(arch)
        scratch = self.store.root / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-download-", dir=scratch))
        left = list(missing)
        trouble: MirrorError | None = None

        def attempt(base: str) -> None:
            wanted = [(self._uri(package, base), package.sha256, work / package.sha256) for package in left]
            try:
                apt.download(wanted)
            finally:
                left[:] = [package for package in left if not self._keep(package, work / package.sha256)]

        try:
            # a lock names no mirror: each base may be the one that has the package
            for base in self._bases(missing):
                try:
                    retrying(self.patience, partial(attempt, base), self.progress)
                except MirrorError as error:
                    if error.kind == "mismatch" and any(package.sha256 not in self._offered for package in left):
                        raise self._other(left, arch, error) from error
                    if error.kind != "gone":
                        raise
                    trouble = error
                if not left:
                    return
        finally:
            shutil.rmtree(work, ignore_errors=True)
        names = ", ".join(f"{package.name} {package.version} ({package.arch})" for package in left)
        message = f"suite {self.suite}, {arch.name}: the mirror does not have {names} (any more)"
        if trouble is None:  # apt was content, yet a file is missing
            raise MirrorError(message, kind="gone")
        raise MirrorError(message, kind=trouble.kind, details=trouble.details, hint=trouble.hint) from trouble

    def _other(self, left: Sequence[DebianPackage], arch: Arch, error: MirrorError) -> MirrorError:
        """Return the error for packages that came and are not what was resolved, or locked, under their versions."""
        odd = [one for one in left if quote(Path(one.filename).name) in error.details] or left
        names = ", ".join(f"{package.name} {package.version} ({package.arch})" for package in odd)
        if self.lock is not None and self.lock.honoured:
            whose, hint = f"the lock {self.lock.path} names", "harness outdated --lock FILE compares the two"
        else:
            whose, hint = "its index had when they were resolved", "resolve anew (refresh), and review what changed"
        return MirrorError(
            f"suite {self.suite}, {arch.name}: the mirror gives other bytes than {whose} for {names}",
            kind=OTHER_BYTES,
            hint=f"they were published anew under the same version, or spoilt on the way: {hint}",
            details=error.details,
        )

    def _bases(self, missing: Sequence[DebianPackage]) -> tuple[str, ...]:
        known = all(package.sha256 in self._uris for package in missing)
        return base_uris(self.sources)[:1] if known else base_uris(self.sources)

    def _uri(self, package: DebianPackage, base: str) -> str:
        return self._uris.get(package.sha256) or f"{base}/{quote(package.filename)}"

    def _keep(self, package: DebianPackage, arrived: Path) -> bool:
        if not arrived.is_file() or arrived.is_symlink():
            return False
        if file_digest(arrived) != package.sha256:
            arrived.unlink()
            return False
        self.store.make("debs", package.sha256, lambda folder: _move(arrived, folder / DEB))
        self._verified.add(package.sha256)
        return True


def _move(source: Path, target: Path) -> None:
    source.chmod(0o644)
    source.rename(target)
