"""How an image is named: one grammar for every command, for plans and for pytest's options.

A YAML, several that are merged (``A.yml+B.yml``), a built folder, the folder that a boot has left, or the name of an
image that ships with the harness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import UserError
from harness.spec.foreign import os_of
from harness.spec.kinds import kind_of_file, refuse_other_kinds
from harness.spec.load import NO_CONTENTS, load_image, read_all
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.rules.images import PARTS, files_of
from harness.spec.text.reader import parse, read

NamedKind = Literal["yaml", "os", "built"]


@dataclass(frozen=True)
class NamedImage:
    """What a name stands for: YAML files that are merged in order, a foreign OS's YAML, or a built folder.

    `contents` are the files' bytes by resolved path: what is made of them is of what its kind was told by.
    """

    text: str
    kind: NamedKind
    paths: tuple[Path, ...]
    contents: Mapping[str, bytes] = field(default_factory=dict, compare=False)

    def load_image(self, *, library: bool = False) -> ImageSpec:
        """Return the image of YAML files; SpecError and UserError as `harness.spec.load_image`."""
        return load_image(self.paths, library=library, contents=self.contents)

    def load_os(self) -> OsSpec:
        """Return the foreign OS of its YAML; SpecError and UserError as `harness.spec.load_os`."""
        (path,) = self.paths
        return os_of(parse(self.contents[str(path.resolve())], path))


def image_named(
    name: str | Sequence[str], folder: Path = Path(), contents: Mapping[str, bytes] = NO_CONTENTS
) -> NamedImage:
    """Return what `name` names, several words being files that are merged; relative paths are from `folder`.

    `contents` are files, by resolved path, that were read before: those are not read again.
    UserError when that is not an image, in words that say what it is; SpecError when a file is not YAML.
    """
    text = name if isinstance(name, str) else PARTS.join(name)
    found = files_of(name, folder, _may_be_image)
    if found[0].is_dir():
        return NamedImage(text, "built", found)
    documents = read_all(found, contents)
    known = {str(document.file.resolve()): document.content for document in documents}
    if len(found) == 1 and kind_of_file(documents[0]) == "os":
        return NamedImage(text, "os", found, known)
    for document in documents:
        refuse_other_kinds(document)
    return NamedImage(text, "yaml", found, known)


def _may_be_image(path: Path) -> bool:
    try:
        return path.is_dir() or kind_of_file(read(path)) in ("image", "os", "unknown")
    except UserError:
        return False
