"""What a mirror or a registry has that is not what a lock, or the answers kept in the cache, name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import files
from harness.arch import Arch
from harness.build.lock import MAX_BYTES
from harness.build.mixedlock import IMAGE, Lock, changed, records
from harness.build.pipeline import Builder, ProgressCallback
from harness.build.settings import Settings
from harness.errors import UserError
from harness.spec.models.image import ImageSpec
from harness.store import Store

BYTES = "other bytes"  # under the same version: never an update
# how a package may differ from what the mirror has
KINDS = ("newer", "older", BYTES, "added", "gone", "image")


@dataclass(frozen=True)
class NewerRow:
    """A package (or OCI image) that is another one there. ``before`` and ``after`` are versions, or an image's digests.

    ``security``: it comes from a repository of security updates alone.
    """

    name: str
    kind: str
    before: str
    after: str
    security: bool = False


@dataclass(frozen=True)
class Asked:
    """What is held for one architecture, what there is now, and the rows in which they differ."""

    held: Lock
    newest: Lock
    count: int
    rows: tuple[NewerRow, ...]

    def security(self, arch: str) -> frozenset[str]:
        """Return the names that are others once the security updates are taken: also what they replace."""
        taken = {row.name for row in self.rows if row.security}
        held, newest = records(self.held, arch), records(self.newest, arch)
        sources = {newest[name]["source"] for name in taken}
        gone = {row.name for row in self.rows if row.kind == "gone" and held[row.name]["source"] in sources}
        return frozenset(taken | gone)


class _OwnAnswers(Store):
    """The cache as it is, but that what is asked here becomes no answer for later builds."""

    def remember(self, key: str, value: object) -> None:
        """Keep nothing."""


def ask(spec: ImageSpec, arch: Arch, settings: Settings, folder: Path, progress: ProgressCallback) -> Asked:
    """Ask mirrors and registries what an image would be made of today; `folder` is for two locks.

    What is held is what the lock of `settings` names, or without one the cache: where that has no answer yet, today's
    is it. Raises UserError when it may not be asked, and what a build raises that resolves.
    """
    if settings.offline:
        raise UserError("whether there is something newer is not known offline", hint="leave out --offline")
    held = Builder(replace(settings, refresh=False, lock=settings.lock or folder / "held.lock"), progress)
    if settings.lock and not settings.lock.exists():
        raise UserError(f"there is no lock {settings.lock}", hint="harness build --lock FILE writes one")
    newest = Builder(
        replace(settings, refresh=True, lock=folder / "newest.lock"), progress, _OwnAnswers(settings.cache, progress)
    )
    before, after = (_lock(builder, spec, arch) for builder in (held, newest))
    known = records(after, arch.name)
    secure = {name for name, record in known.items() if newest.debian.is_security(record["sha256"])}
    return Asked(before, after, len(records(before, arch.name)), tuple(compare(before, after, arch.name, secure)))


def _lock(builder: Builder, spec: ImageSpec, arch: Arch) -> Lock:
    builder.key(builder.inputs(spec, arch))  # asks for all that the image is made of
    builder.save_lock()
    assert builder.lock is not None, "each of the two has one"
    found: dict[str, Any] = files.read_json(builder.lock.path, limit=MAX_BYTES)
    return found


def compare(held: Lock, newest: Lock, arch: str, secure: Collection[str]) -> list[NewerRow]:
    """Return where two locks differ for an architecture; `secure` are the names that have security updates. Pure."""
    rows = [
        NewerRow(name, kind := _kind(name, before, after), before, after, kind in ("newer", "added") and name in secure)
        for name, (before, after) in changed(held, newest, arch).items()
    ]
    before, after = records(held, arch), records(newest, arch)
    rows += [
        NewerRow(name, BYTES, record["version"], record["version"])
        for name, record in before.items()
        if name in after
        and after[name]["version"] == record["version"]
        and after[name]["sha256"] != record["sha256"]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.name)


def _kind(name: str, before: str, after: str) -> str:
    from debian.debian_support import NativeVersion

    if not before or not after:
        return "added" if after else "gone"
    if name.startswith(IMAGE):
        return "image"
    return "newer" if NativeVersion(after) > NativeVersion(before) else "older"


def summary(asked: Asked) -> str:
    """Return what was found in a sentence's words: ``3 of 97 packages are newer on the mirror, 1 of them …``."""
    counts = {kind: sum(row.kind == kind for row in asked.rows) for kind in KINDS}
    secure = sum(row.security and row.kind == "newer" for row in asked.rows)
    newer = f"{counts['newer']} of {asked.count} packages {'is' if counts['newer'] == 1 else 'are'} newer on the mirror"
    parts = [newer + (f", {secure} of them for security" if counts["newer"] else "")]
    for kind, words in _WORDS.items():
        if counts[kind]:
            parts.append(f"{counts[kind]} {words}")
    return "; ".join(parts)


_WORDS: Mapping[str, str] = {
    "older": "older there",
    BYTES: "of other bytes there under the same version",
    "added": "more needed today",
    "gone": "not needed any more",
    "image": "of its container images moved on",
}
