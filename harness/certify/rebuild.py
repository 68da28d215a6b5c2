"""Builds an archive's image again from the YAML, the lock and the files in it, and compares every byte.

What the YAML names is a stranger's: nothing of this host is put into the image but the library's own components.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from harness.arch import by_name
from harness.build.settings import COMPRESSIONS, Settings
from harness.certify import bill, contents
from harness.certify.contents import EvidenceFiles
from harness.certify.derive import Derived
from harness.certify.recipe import Recipe, host_files, read
from harness.certify.verify import CheckResult
from harness.errors import EvidenceError, HarnessError
from harness.image import MANIFEST, Image
from harness.spec import load_image
from harness.spec.models.image import ImageSpec
from harness.spec.rules.references import each, kind_of
from harness.store import DOWNLOADS, INDEXES, RECORDS, Store, file_digest

REBUILT = "the rebuild (--rebuild)"
PACKAGES = "the packages that it was built from"
DEPTH = 4  # folders that a source may lie above the YAML
SHARED = (*DOWNLOADS, RECORDS, INDEXES)  # what a build that takes no result of another one has of the cache
SHOWN = 5  # packages that are named


def ingredients(spec: ImageSpec, settings: Settings, lock: Path) -> dict[str, Path | bytes]:
    """Return what an archive needs for its image to be built again: the lock, the settings, and the YAML's files."""
    files: dict[str, Path | bytes] = {}
    sources: dict[str, str] = {}
    for source, path in host_files(spec).items():
        sources[source] = f"{contents.SOURCES}/{len(sources) + 1}"
        files[sources[source]] = path
    made = Recipe(suite=settings.suite, compression=settings.compression, library=settings.library, sources=sources)
    recipe = json.dumps(made.model_dump(mode="json"), indent=1).encode() + b"\n"
    return {**files, contents.REBUILD: recipe, **({contents.LOCK: lock.read_bytes()} if lock.is_file() else {})}


def execute(made: Derived, files: EvidenceFiles, scratch: Path, settings: Settings) -> Iterator[CheckResult]:
    """Build the image again, and compare; EvidenceError names the first file that is another one.

    Nothing that was built before is taken from the cache, only downloads. Where it cannot be built here, the finding
    says why; another one says whether this host's own sources offer what the lock names.
    """
    if made.sources.image.foreign:
        yield _not("the harness has not built it")
        return
    try:
        why, recipe = _recipe(made, files)
        if why or recipe is None:
            yield _not(why)
            return
        yamls = _laid_out(made, files, recipe, scratch)
        spec = load_image(yamls, library=recipe.library)
        if strange := _strange(spec):
            yield _not(strange)
            return
        with _unbuilt(settings.cache) as cache:
            own = replace(settings, cache=cache, suite=recipe.suite, compression=recipe.compression,
                          library=recipe.library, lock=None, refresh=False)  # fmt: skip
            from harness.build.pipeline import Builder
            from harness.certify.origins import strangers

            arch = by_name(made.certificate.image.arch)
            builder = Builder(replace(own, lock=files.path(contents.LOCK)))
            yield _compared(builder.build(spec, arch), made, files)
            yield _packages(strangers(spec, arch, builder, own))
    except EvidenceError:
        raise
    except HarnessError as error:
        yield _not(f"{error.message} {error.details}".strip()[:300])


@contextmanager
def _unbuilt(cache: Path) -> Iterator[Path]:
    """Give a cache that has a cache's downloads and nothing that was built; what is built there goes with it."""
    Store(cache).hold()  # for as long as this process lives, nobody sweeps it
    (cache / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-rebuild-", dir=cache / "tmp") as folder:
        for name in SHARED:
            (cache / name).mkdir(exist_ok=True)
            (Path(folder) / name).symlink_to((cache / name).absolute(), target_is_directory=True)
        yield Path(folder)


def _packages(strange: tuple[str, ...]) -> CheckResult:
    """Return the finding of what this host's own sources do not offer of what the lock names."""
    if not strange:
        return CheckResult("checked", "its packages: all are those that this host's own sources offer")
    named = ", ".join(strange[:SHOWN]) + (f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else "")
    text = f"its packages: only the vendor's lock vouches for {named}; this host's sources do not offer it, or not now"
    return CheckResult("not checked", text, PACKAGES)


def _not(why: str) -> CheckResult:
    return CheckResult("not checked", f"the rebuild: {why}", REBUILT)


def _recipe(made: Derived, files: EvidenceFiles) -> tuple[str, Recipe | None]:
    missing = [name for name in (contents.LOCK, contents.REBUILD) if name not in files.members]
    if missing:
        return f"the archive has no {missing[0]}", None
    recipe = read(files)
    manifest = made.sources.image.manifest
    said = (manifest.get("suite"), manifest.get("compression"))
    if said != (recipe.suite, recipe.compression) or recipe.compression not in COMPRESSIONS:
        raise EvidenceError(f"{contents.REBUILD} says of suite and compression what the manifest does not")
    return "", recipe


def _laid_out(made: Derived, files: EvidenceFiles, recipe: Recipe, scratch: Path) -> list[Path]:
    """Lay YAML and sources out in a folder as they lay then; EvidenceError when a source would lie elsewhere."""
    folder = scratch.joinpath(*(str(number) for number in range(DEPTH)), "image")
    folder.mkdir(parents=True, exist_ok=True)
    yamls = []
    for name, plain in zip(files.below(contents.SPEC), made.sources.yamls, strict=True):
        (folder / plain).write_bytes(files.content(name))
        yamls.append(folder / plain)
    for source, name in recipe.sources.items():
        parts = PurePosixPath(source).parts
        if source.startswith(("/", "~")) or parts.count("..") > DEPTH or name not in files.members:
            raise EvidenceError(f"the image's YAML takes {source!r}, which evidence cannot hold in its place")
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(scratch.resolve()):
            raise EvidenceError(f"{contents.REBUILD} names a source outside of the archive: {source!r}")
        target.write_bytes(files.content(name))
    return yamls


def _strange(spec: ImageSpec) -> str:
    """Return why a stranger's YAML is not built here; empty when it names nothing of a host."""
    folder = spec.sources[0].parent
    for source in (file.source for file in spec.files if file.source):
        if source.startswith(("/", "~")) or not any((folder / one).is_file() for one in each(source)):
            return f"its YAML takes {source!r} of the vendor's host, which the archive does not hold"
    for reference in spec.references:
        if kind_of(reference) == "package" or reference.startswith(
            (".", "/", "oci:", "oci-archive:", "docker-archive:")
        ):
            return f"its YAML names {reference}, which lies on the vendor's host"
    return ""


def _compared(again: Image, made: Derived, files: EvidenceFiles) -> CheckResult:
    names = files.below(contents.IMAGE)
    for name in names:
        path = again.folder / name.removeprefix(f"{contents.IMAGE}/")
        if not path.is_file() or file_digest(path) != files.members[name].sha256:
            raise EvidenceError(
                f"the image was built again, and {name} is another one",
                details=f"in the archive: {files.members[name].sha256}\nbuilt here:     "
                + (file_digest(path) if path.is_file() else "nothing"),
                hint=f"by harness {made.certificate.harness} it was built; another version may build other bytes",
            )
    bill.check(again, files)
    listed = ", ".join(name.removeprefix(f"{contents.IMAGE}/") for name in names if not name.endswith(MANIFEST))
    text = f"the image, from its YAML and lock: every byte of {listed}, manifest and bill of materials"
    return CheckResult("rebuilt", text)
