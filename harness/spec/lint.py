"""Checking files without building: which kind each is, every complaint, and what its references were taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness import paths as places
from harness.errors import UserError
from harness.spec.components import Components, check_component
from harness.spec.foreign import check_os
from harness.spec.load import check_machine, check_plan
from harness.spec.merge import judge, kernel_of
from harness.spec.models.base import Model
from harness.spec.models.component import ComponentSpec
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageFile
from harness.spec.models.machine import MachineSpec
from harness.spec.models.plan import Plan
from harness.spec.models.profile import ProfileSpec, Waivers
from harness.spec.profile import check_profile, check_waivers
from harness.spec.rules.foreign import KEY as OS_KEY
from harness.spec.rules.image import image_references
from harness.spec.rules.profile import KEY as PROFILE_KEY
from harness.spec.rules.profile import WAIVERS_KEY
from harness.spec.rules.references import PACKAGE_FILE, ReferenceKind, kind_of
from harness.spec.substitutes import component_for, substitute
from harness.spec.text.complaints import Complaint, Problem, SpecError, spell
from harness.spec.text.reader import Document, mapping_of, read
from harness.spec.text.shape import fields_of

FileKind = Literal["image", "component", "machine", "plan", "os", "profile", "waivers", "unknown"]
MODELS: dict[FileKind, type[Model]] = {
    "image": ImageFile,
    "component": ComponentSpec,
    "machine": MachineSpec,
    "plan": Plan,
    "os": OsSpec,
    "profile": ProfileSpec,
    "waivers": Waivers,
}
# a key that no other kind has says what a file is
_BY_KEY: dict[str, FileKind] = {OS_KEY: "os", PROFILE_KEY: "profile", WAIVERS_KEY: "waivers"}


@dataclass(frozen=True)
class Reference:
    """A reference of an image, its key's path, and what it was taken for."""

    key_path: str
    text: str
    kind: ReferenceKind
    component: str = ""  # the library's that stands for it


@dataclass(frozen=True)
class LintResult:
    """What lint has to say of one file. ``notes`` are no mistakes."""

    path: Path
    kind: FileKind
    complaints: tuple[Complaint, ...] = ()
    references: tuple[Reference, ...] = ()
    notes: tuple[str, ...] = ()


def lint(paths: Sequence[Path], *, library: bool = False) -> list[LintResult]:
    """Check each file by itself; a folder stands for all YAML files in it. `library` is that of `load_image`.

    What is wrong in a local component is in its own finding, or in its image's when it is not among `paths`.
    Raises UserError when a file cannot be read; what is wrong in a file is in its finding.
    """
    files = [path for given in paths for path in _files(Path(given))]
    others = {path.resolve() for path in files}

    def own(finding: LintResult) -> LintResult:
        mine = finding.path.resolve()
        kept = (one for one in finding.complaints if one.file.resolve() not in others - {mine})
        return replace(finding, complaints=tuple(kept))

    return [own(_lint_file(path, library=library)) for path in files]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for ending in ("*.yml", "*.yaml") for file in path.rglob(ending) if file.is_file())
    if not found:
        raise UserError(f"{path} holds no YAML file", hint="name a file, or a folder with *.yml in it")
    return found


def _lint_file(path: Path, *, library: bool) -> LintResult:
    try:
        document = read(path)
    except SpecError as error:
        return LintResult(path, "unknown", error.complaints)
    kind = kind_of_file(document)
    match kind:
        case "image":
            return _lint_image(document, library=library)
        case "component":
            complaints = check_component(document)[1]
        case "machine":
            complaints = check_machine(document)[1]
        case "plan":
            complaints = check_plan(document)[1]
        case "os":
            complaints = check_os(document)[1]
        case "profile":
            complaints = check_profile(document)[1]
        case "waivers":
            complaints = check_waivers(document)[1]
        case _:
            expected = "; ".join(f"{name}: {', '.join(_keys(name))}" for name in MODELS)
            complaints = [document.complain(Problem((), "nothing says what this file is", expected))]
    return LintResult(path, kind, SpecError(complaints).complaints)


def _lint_image(document: Document, *, library: bool) -> LintResult:
    written = {spell(path): reference for path, reference in image_references(mapping_of(document))}
    stands = {one.key: one.component for one in substitute(document)} if library else {}
    data = mapping_of(document)
    could = sum(kind_of(text) == "oci" and component_for(text, str(path[0])) is not None
                for path, text in image_references(data))  # fmt: skip
    kernel = bool(kernel_of(data))
    # a file without a kernel is a part of an image: what it names may be in the others
    complaints = judge([document], Components(), whole=kernel)[1]
    references = tuple(Reference(key, text, kind_of(text), stands.get(key, "")) for key, text in written.items())
    notes = [] if kernel else ["names no kernel: it builds only together with a file that does"]
    if could:
        notes.append(f"components of the library do the job of {could} of its images: --library takes them")
    return LintResult(document.file, "image", SpecError(complaints).complaints, references, tuple(notes))


def kind_of_file(document: Document) -> FileKind:
    """Decide what a file is: by the folder it ships in, else by the kind that knows most of its keys."""
    parent = document.file.resolve().parent
    by_folder: dict[Path, FileKind] = {places.COMPONENTS.resolve(): "component", places.MACHINES.resolve(): "machine"}
    if parent in by_folder:
        return by_folder[parent]
    if document.file.name == PACKAGE_FILE:
        return "component"
    written = set(mapping_of(document))
    if named := [kind for key, kind in _BY_KEY.items() if key in written]:
        return named[0]
    scores = {kind: len(written.intersection(_keys(kind))) for kind in MODELS}
    best = max(scores, key=lambda kind: scores[kind])  # the first of equals: image before component
    return best if scores[best] else "unknown"


def _keys(kind: FileKind) -> Iterator[str]:
    return (key for key in fields_of(MODELS[kind]) if key not in MODELS[kind].given)
