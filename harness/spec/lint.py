"""Checking files without building: which kind each is, every complaint, and what its references were taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from harness.spec.cluster import check_cluster
from harness.spec.components import Components, check_component
from harness.spec.foreign import check_os
from harness.spec.kinds import MODELS, FileKind, keys_of, kind_of_file
from harness.spec.load import check_machine, check_plan
from harness.spec.merge import OURS, judge, kernel_of
from harness.spec.policy import check_policy
from harness.spec.profile import check_profile, check_waivers
from harness.spec.rules import common as checks
from harness.spec.rules.image import YamlData, image_references
from harness.spec.rules.references import ReferenceKind, kind_of, source_note
from harness.spec.substitutes import component_for, substitute
from harness.spec.text.complaints import Complaint, Problem, SpecError, spell
from harness.spec.text.reader import Document, mapping_of, read


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
    every = (file for ending in ("*.yml", "*.yaml") for file in path.rglob(ending) if file.is_file())
    # what lies in a hidden folder is another program's: a CI service's, an environment's
    found = sorted(file for file in every if not any(part[0] == "." for part in file.relative_to(path).parts[:-1]))
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
        case "policy":
            complaints = check_policy(document)[1]
        case "cluster":
            complaints = check_cluster(document)[1]
        case _:
            expected = "; ".join(f"{name}: {', '.join(keys_of(name))}" for name in MODELS)
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
    notes += [f"files[{index}].source: {note}" for index, source in _sources(data)
              if (note := source_note(source, document.file, [document.file.parent]))]  # fmt: skip
    notes += [f"{key}: ours, and no key of LinuxKit's" for key in OURS if key in data]
    if could:
        notes.append(f"components of the library do the job of {could} of its images: --library takes them")
    return LintResult(document.file, "image", SpecError(complaints).complaints, references, tuple(notes))


def _sources(data: YamlData) -> Iterator[tuple[int, str]]:
    for index, item in checks.mappings(data, "files"):
        if isinstance(item.get("source"), str) and item["source"]:
            yield index, item["source"]
