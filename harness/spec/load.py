"""From files to frozen objects: read, check the shape, judge, and raise all complaints at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from harness import paths
from harness.arch import ALIASES, ARCHES
from harness.errors import UserError
from harness.spec.components import Checked, Components, ModelT, checked, digest_of_bytes
from harness.spec.kinds import refuse_other_kinds
from harness.spec.merge import judge, merge
from harness.spec.models.image import ImageSpec, Substitution
from harness.spec.models.machine import MachineFile, MachineSpec, machine_of
from harness.spec.models.plan import Plan
from harness.spec.rules import library as checks_library
from harness.spec.rules import plan as checks_plan
from harness.spec.rules import references
from harness.spec.rules.images import PARTS, files_of
from harness.spec.substitutes import substitute
from harness.spec.text.complaints import Complaint, SpecError
from harness.spec.text.reader import Document, YamlNode, mapping_of, parse, read
from harness.store import digest_of

NO_CONTENTS: Mapping[str, bytes] = MappingProxyType({})


def load_image(
    paths: Sequence[Path], *, library: bool = False, contents: Mapping[str, bytes] = NO_CONTENTS
) -> ImageSpec:
    """Read an image's YAML files, merged in order as LinuxKit does: later kernel keys win, lists are appended.

    `library` lets components stand for images of others that do the same job; the spec says which. `contents` are
    files, by resolved path, that were read before: those are not read again.
    Raises SpecError with every complaint about every file, UserError when one cannot be read.
    """
    if not paths:
        raise UserError("no image file was given", hint="name one YAML file or several")
    documents, components = read_all(paths, contents), Components()
    for document in documents:
        refuse_other_kinds(document, "image")
    done = tuple(one for document in documents for one in substitute(document)) if library else ()
    files, complaints = judge(documents, components)
    if complaints:
        raise SpecError(complaints)
    spec = merge(documents, files, components)
    return _with_substitutions(spec, done) if done else spec


def _with_substitutions(spec: ImageSpec, done: tuple[Substitution, ...]) -> ImageSpec:
    """Return the spec as another one: it says what was done, and several parts of an init that one component is, once.

    The files' bytes alone would not tell it from the image that is made of what they name.
    """
    digest = digest_of([spec.digest, [one.model_dump() for one in done]])
    return spec.model_copy(update={"substitutions": done, "digest": digest, "init": tuple(dict.fromkeys(spec.init))})


def read_all(paths: Iterable[Path], contents: Mapping[str, bytes] = NO_CONTENTS) -> list[Document]:
    """Read files but those of `contents`; SpecError with the complaints about all of them that are no YAML."""
    documents: list[Document] = []
    complaints: list[Complaint] = []
    for path in paths:
        try:
            known = contents.get(str(Path(path).resolve()))
            documents.append(read(Path(path)) if known is None else parse(known, Path(path)))
        except SpecError as error:
            complaints += error.complaints
    if complaints:
        raise SpecError([*complaints, *(complaint for document in documents for complaint in document.complaints)])
    return documents


def load_machine(path_or_name: str | Path) -> MachineSpec:
    """Read a machine by its name or its YAML's path; UserError when there is none, SpecError when it is wrong."""
    text = str(path_or_name)
    known, path = references.machines(), Path(text)
    # `qemu-arm64.yml` is the one that ships, where no file is called so
    name = path.stem if checks_plan.is_path(text) and "/" not in text and not path.exists() else text
    if name not in known:
        if checks_plan.is_path(text):
            document = read(path)
            refuse_other_kinds(document, "machine")
            return _made(check_machine(document))
        near = references.nearest_machine(text, known)
        own = next((f"{text}{ending}" for ending in (".yml", ".yaml") if Path(f"{text}{ending}").is_file()), "")
        near, listed = own or near, f"machines: {', '.join(known) or 'none'}; or give the path of a YAML file"
        raise UserError(f"unknown machine {text!r}", hint=f"did you mean {near}? ({listed})" if near else listed)
    return _made(check_machine(read(known[name])))


def load_plan(path: Path) -> Plan:
    """Read a plan; its paths come out relative to the current folder. SpecError with every complaint."""
    document = read(Path(path))
    refuse_other_kinds(document, "plan")
    return _made(check_plan(document))


def _made(checked: Checked[ModelT]) -> ModelT:
    made, complaints = checked
    if complaints or made is None:
        raise SpecError(complaints)
    return made


def check_machine(document: Document) -> Checked[MachineSpec]:
    """Return a document's machine and every complaint about it; `qemu.virtio` is the architecture's unless given."""
    data, path = mapping_of(document), document.file
    arch = ARCHES.get(ALIASES.get(str(data.get("arch")), str(data.get("arch"))))
    qemu = document.root.value.get("qemu") if isinstance(document.root.value, dict) else None
    if qemu is not None and isinstance(qemu.value, dict) and "virtio" not in qemu.value:
        qemu.value["virtio"] = YamlNode(arch.virtio if arch else "pci", qemu.place)
    given = {"name": path.stem, "path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(MachineFile, document, given, checks_library.machine(data))
    if made is None or complaints or arch is None:
        return None, complaints
    return machine_of(made.model_copy(update={"arch": arch.name})), []


def check_plan(document: Document) -> Checked[Plan]:
    """Return a document's plan and every complaint about it."""
    data, path = mapping_of(document), document.file
    known = references.machines()
    made, complaints = checked(Plan, document, {"name": path.stem, "path": path}, checks_plan.plan(data, path, known))
    if made is None or complaints:
        return None, complaints
    folder = path.parent

    def located(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(folder / name) if checks_plan.is_path(name) else name for name in names)

    images = tuple(
        image.model_copy(
            update={
                "path": Path(PARTS.join(map(str, files_of(str(image.path), folder)))),
                "machines": located(image.machines),
            }
        )
        for image in made.images
    )
    cases = tuple(paths.CASES if str(case) == checks_plan.SHIPPED_CASES else folder / case for case in made.cases)
    return made.model_copy(update={"images": images, "machines": located(made.machines), "cases": cases}), []
