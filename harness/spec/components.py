"""Components, wherever they lie: read, judged, and named by a digest of all that their files hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.spec.models.base import Model
from harness.spec.models.component import ComponentSpec
from harness.spec.rules import characters, references
from harness.spec.rules import library as checks_library
from harness.spec.text.complaints import Complaint, Problem, SpecError
from harness.spec.text.reader import Document, mapping_of, read
from harness.spec.text.shape import check
from harness.store import digest_of, file_digest

ModelT = TypeVar("ModelT", bound=Model)
Checked = tuple[ModelT | None, list[Complaint]]


def digest_of_bytes(content: bytes) -> str:
    """Return the SHA-256 (hex) of bytes."""
    return hashlib.sha256(content).hexdigest()


def checked(
    model: type[ModelT], document: Document, given: Mapping[str, Any], judged: Iterable[Problem]
) -> Checked[ModelT]:
    """Return a document as `model`, and every complaint: about its shape, and what `judged` found beyond it."""
    made, found = check(model, document, given)
    name = characters.file_name(document.file.name)
    odd = characters.problems(mapping_of(document))
    return made, [*document.complaints, *map(document.complain, [*found, *judged, *name, *odd])]


def check_component(document: Document) -> Checked[ComponentSpec]:
    """Return a document's component and every complaint about it."""
    data, path = mapping_of(document), document.file
    given = {"name": name_of(path), "path": path, "digest": ""}
    made, complaints = checked(ComponentSpec, document, given, checks_library.component(data, path))
    if made is None or complaints:
        return None, complaints
    return made.model_copy(update={"digest": _digest(made, document)}), []


def load_component(path: Path) -> ComponentSpec:
    """Read a component's YAML; SpecError with every complaint, UserError when it cannot be read."""
    made, complaints = check_component(read(Path(path)))
    if made is None:
        raise SpecError(complaints)
    return made


def name_of(path: Path) -> str:
    """Return the name of the component that a file holds: the file's, or that of a local component's folder."""
    return path.resolve().parent.name if path.name == references.PACKAGE_FILE else path.stem


def executable(path: Path) -> bool:
    """Say whether a file is a program: its owner's bit tells, the others are the umask's, and root may run anything."""
    return bool(path.stat().st_mode & 0o100)


def _digest(made: ComponentSpec, document: Document) -> str:
    sources = {}
    for name in {file.source for file in made.files if file.source}:
        path = checks_library.source_path(name, document.file)
        if path is not None and path.is_file():  # an optional one may be missing
            sources[name] = [file_digest(path), executable(path)]
    return digest_of({"yaml": digest_of_bytes(document.content), "sources": sources})


@dataclass
class Components:
    """The components that images name, each file read once."""

    found: dict[Path, Checked[ComponentSpec]] = field(default_factory=dict)

    def get(self, reference: str, yaml: Path) -> ComponentSpec | None:
        """Return what `reference` in the file `yaml` names; None when there is none, or when it is wrong itself."""
        path = references.component_path(reference, yaml)
        if path is None:
            return None
        key = path.resolve()  # merging spells it anew
        if key not in self.found:
            try:
                self.found[key] = check_component(read(path))
            except SpecError as error:
                self.found[key] = None, list(error.complaints)
        return self.found[key][0]

    @property
    def complaints(self) -> Iterator[Complaint]:
        """Every complaint about the components' own files."""
        for _, complaints in self.found.values():
            yield from complaints
