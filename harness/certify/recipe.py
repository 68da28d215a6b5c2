"""What an archive says of how its image is built: settings, and the files that its YAML takes."""

from __future__ import annotations

from pydantic import ValidationError

from harness.certify import contents
from harness.certify.contents import EvidenceFiles
from harness.errors import EvidenceError
from harness.spec.models.base import Model


class Recipe(Model):
    """With which settings an image was built, and which file of the archive each `source` of its YAML is."""

    suite: str
    compression: str
    library: bool
    sources: dict[str, str]


def read(files: EvidenceFiles) -> Recipe:
    """Return an archive's recipe; EvidenceError when it has none, or one that this harness does not write."""
    content = files.content(contents.REBUILD)
    contents.loads(content, contents.REBUILD)
    try:
        return Recipe.model_validate_json(content)
    except ValidationError as error:
        raise EvidenceError(f"{contents.REBUILD} is not as this harness writes it", details=str(error)[:500]) from None


def sources_of(files: EvidenceFiles) -> set[str]:
    """Return the names of the files that a recipe takes; none where an archive has no recipe."""
    return set(read(files).sources.values()) if contents.REBUILD in files.members else set()
