"""What an archive says of how its image is built: settings, and the files that its YAML takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from harness.build.packages import DebianPackage
from harness.certify import contents
from harness.certify.contents import EvidenceFiles
from harness.errors import EvidenceError
from harness.spec.models.base import Model
from harness.spec.models.image import ImageSpec
from harness.spec.rules.references import each, host_file


class Recipe(Model):
    """With which settings an image was built, and which file of the archive each `source` of its YAML is."""

    suite: str
    compression: str
    library: bool
    sources: dict[str, str]


class LockFile(Model):
    """What is read of a stranger's lock, typed."""

    format: int
    suite: str
    requests: dict[str, dict[str, tuple[str, ...]]]
    packages: tuple[DebianPackage, ...]
    images: dict[str, dict[str, str]] = Field(default_factory=dict)
    attached: dict[str, tuple[Any, ...]] = Field(default_factory=dict)


def read(files: EvidenceFiles) -> Recipe:
    """Return an archive's recipe; EvidenceError when it has none, or one that this harness does not write."""
    content = files.content(contents.REBUILD)
    contents.loads(content, contents.REBUILD)
    try:
        return Recipe.model_validate_json(content)
    except ValidationError as error:
        raise EvidenceError(f"{contents.REBUILD} is not as this harness writes it", details=str(error)[:500]) from None


def host_files(spec: ImageSpec) -> dict[str, Path]:
    """Return the files of this host that an image's YAML takes, by the `source` that names each."""
    sources = dict.fromkeys(one for file in spec.files if file.source for one in each(file.source))
    found = {source: host_file(source, spec.sources[0]) for source in sources}
    return {source: path for source, path in found.items() if path.is_file()}


def sources_of(files: EvidenceFiles) -> set[str]:
    """Return the names of the files that a recipe takes; none where an archive has no recipe."""
    return set(read(files).sources.values()) if contents.REBUILD in files.members else set()


def check_lock(files: EvidenceFiles, manifest: Mapping[str, Any]) -> None:
    """Check that an archive's lock lists every package of its manifest; EvidenceError names one that it does not."""
    if contents.LOCK not in files.members:
        return  # then nothing is built again
    content = files.content(contents.LOCK)
    contents.loads(content, contents.LOCK)
    try:
        lock = LockFile.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise EvidenceError(f"{contents.LOCK} is not as this harness writes it", details=str(error)[:500]) from None
    listed = {(row.sha256, row.name, row.version) for row in lock.packages}
    for row in manifest.get("packages", ()):
        if (row["sha256"], row["name"], row["version"]) not in listed:
            raise EvidenceError(f"{contents.LOCK} does not list {row['name']} {row['version']}, which the manifest has")
