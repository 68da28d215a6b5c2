"""Whether what an archive's lock names is what this host's own repositories and registries offer.

A lock is the vendor's, and so may the downloads of an imported cache be: a package that only they know is whatever the
vendor has put into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.arch import Arch
from harness.build.pipeline import Builder, packages_of
from harness.build.settings import Settings
from harness.errors import HarnessError
from harness.spec.models.image import ImageSpec


def strangers(spec: ImageSpec, arch: Arch, locked: Builder, settings: Settings) -> tuple[str, ...]:
    """Return what the lock of `locked` names for an image and this host's sources do not offer; () for nothing.

    Offline only what this host has looked up before is known.
    """
    own = Builder(replace(settings, lock=None, refresh=False))
    return tuple(dict.fromkeys(_strangers(spec, arch, locked, own)))


def _strangers(spec: ImageSpec, arch: Arch, locked: Builder, own: Builder) -> Iterator[str]:
    inputs = locked.inputs(spec, arch)
    for component in inputs.components.values():
        names = packages_of(component, arch)
        try:
            known = {package.sha256 for package in own.debian.resolve(names, arch).packages}
        except HarnessError:
            known = set()
        for package in locked.debian.resolve(names, arch).packages:
            if package.sha256 not in known:
                yield f"{package.name} {package.version}"
    for reference, (digest, *_) in inputs.images.items():
        try:
            same = own.images.resolve(reference, arch, spec.sources[0].parent) == digest
        except HarnessError:
            same = False
        if not same:
            yield reference
