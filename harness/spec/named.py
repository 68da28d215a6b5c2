"""How an image is named: one grammar for every command, for plans and for pytest's options.

A YAML, several that are merged (``A.yml+B.yml``), a built folder, the folder that a boot has left, or the name of an
image that ships with the harness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.spec.kinds import kind_of_file, refuse_other_kinds
from harness.spec.rules.images import PARTS, files_of
from harness.spec.text.reader import read

NamedKind = Literal["yaml", "os", "built"]


@dataclass(frozen=True)
class NamedImage:
    """What a name stands for: YAML files that are merged in order, a foreign OS's YAML, or a built folder."""

    text: str
    kind: NamedKind
    paths: tuple[Path, ...]


def image_named(name: str | Sequence[str], folder: Path = Path()) -> NamedImage:
    """Return what `name` names, several words being files that are merged; relative paths are from `folder`.

    UserError when that is not an image, in words that say what it is; SpecError when a file is not YAML.
    """
    text = name if isinstance(name, str) else PARTS.join(name)
    found = files_of(name, folder)
    if found[0].is_dir():
        return NamedImage(text, "built", found)
    documents = [read(path) for path in found]
    if len(found) == 1 and kind_of_file(documents[0]) == "os":
        return NamedImage(text, "os", found)
    for document in documents:
        refuse_other_kinds(document)
    return NamedImage(text, "yaml", found)
