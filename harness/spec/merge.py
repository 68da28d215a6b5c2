"""Image files: their judgement one by one and together, and their merging, as LinuxKit does it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.spec.components import Components
from harness.spec.models.container import Entry, File
from harness.spec.models.image import Expect, ImageFile, ImageSpec, Kernel, Volume
from harness.spec.rules import characters, references
from harness.spec.rules import common as checks
from harness.spec.rules.image import WholeImage, file_problems, image_references
from harness.spec.text.complaints import Complaint, Problem
from harness.spec.text.reader import Document, mapping_of
from harness.spec.text.shape import check

CheckedFiles = tuple[list[ImageFile], list[Complaint]]
OURS = ("expect", "log")  # keys that LinuxKit does not have
MOST_WIDTH = 120  # of the lines of a YAML that is printed
LISTS = ("init", *checks.SECTIONS, "files", "volumes")


def judge(documents: Sequence[Document], components: Components, *, whole: bool = True) -> CheckedFiles:
    """Return the files and every complaint about them and their components; one of the wrong shape is left out.

    ``whole`` says that together they must make an image; otherwise what they name may still come from elsewhere.
    """
    files: list[ImageFile] = []
    complaints: list[Complaint] = []
    datas = [mapping_of(document) for document in documents]
    known = _whole(documents, datas, components, whole=whole)
    for document, data in zip(documents, datas, strict=True):
        file, found = check(ImageFile, document, {})
        named = {reference: components.get(reference, document.file) for _, reference in image_references(data)}
        found += file_problems(data, document.file, known, named)
        found += [*characters.file_name(document.file.name), *characters.problems(data)]
        complaints += [*document.complaints, *map(document.complain, found)]
        if file is not None:
            files.append(file)
    for section in ("services", "volumes"):
        complaints += _twice(section, documents, datas)
    if whole and not any(kernel_of(data) for data in datas):
        missing = Problem(("kernel", "image"), "is missing", "a kernel component")
        complaints.append(documents[0].complain(missing))
    return files, [*complaints, *components.complaints]


def _whole(
    documents: Sequence[Document], datas: Sequence[Mapping[str, Any]], components: Components, *, whole: bool
) -> WholeImage:
    """Put together what the files say to one another."""
    if not whole:
        return WholeImage(checks.Around(), None, None)
    volumes = {
        volume["name"]: volume.get("readonly") is True
        for data in datas
        for _, volume in checks.mappings(data, "volumes")
        if isinstance(volume.get("name"), str)
    }
    entries = (one for data in datas for section in checks.SECTIONS for _, one in checks.mappings(data, section))
    names = [entry["name"] for entry in entries if isinstance(entry.get("name"), str)]
    kernels = [(image, document.file) for document, data in zip(documents, datas, strict=True)
               if (image := kernel_of(data))]  # fmt: skip
    kernel = kernels[-1] if kernels else None
    is_oci = kernel is not None and references.kind_of(kernel[0]) == "oci"
    return WholeImage(checks.Around(volumes, names), components.get(*kernel) if kernel else None, is_oci)


def kernel_of(data: Mapping[str, Any]) -> str:
    """Return the reference of the kernel that an image file names, or an empty text."""
    kernel = data.get("kernel")
    image = kernel.get("image") if isinstance(kernel, dict) else None
    return image if isinstance(image, str) else ""


def _twice(section: str, documents: Sequence[Document], datas: Sequence[Mapping[str, Any]]) -> Iterator[Complaint]:
    first: dict[str, str] = {}
    for document, data in zip(documents, datas, strict=True):
        for index, item in checks.mappings(data, section):
            name, path = item.get("name"), (section, index, "name")
            if not isinstance(name, str):
                continue
            if name in first:
                what = f"the name {name!r} is taken by {first[name]}"
                yield document.complain(Problem(path, what, f"each name once in {section}"))
            else:
                first[name] = f"{document.file}:{document.place(path)[0]}"


def merge(documents: Sequence[Document], files: Sequence[ImageFile], components: Components) -> ImageSpec:
    """Join right image files in order: a later file's kernel keys win unless empty, lists are appended."""
    first = documents[0].file
    kernel: dict[str, Any] = {}
    for file in files:
        said = file.kernel.model_dump(exclude_none=True)
        # LinuxKit: an empty text overrides nothing, but for `tar` and `ucode`, where it means none
        kernel |= {key: value for key, value in said.items() if value or key in ("tar", "ucode")}
    if kernel.get("tar") == "":
        kernel["tar"] = "none"
    moved = [_relocate(file, document.file, first) for file, document in zip(files, documents, strict=True)]
    lists: dict[str, Any] = {key: tuple(item for file in moved for item in getattr(file, key)) for key in LISTS}
    # all parts have been validated: to do it again would cost as much as all else
    spec = ImageSpec.model_construct(
        name=first.stem,
        sources=tuple(document.file for document in documents),
        digest=hashlib.sha256(b"".join(document.content for document in documents)).hexdigest(),
        kernel=Kernel.model_construct(**kernel),
        **lists,
        **_ours(files),
    )
    found = ((reference, components.get(reference, first)) for reference in spec.references)
    named = {reference: component for reference, component in found if component is not None}
    return spec.model_copy(update={"components": named})


def _ours(files: Sequence[ImageFile]) -> dict[str, Any]:
    """Return what the last file that says it says of the keys that LinuxKit does not have."""
    found: dict[str, Any] = {}
    for file in files:
        if file.expect is not None:
            found["expect"] = Expect(end=file.expect) if isinstance(file.expect, str) else file.expect
        if file.log is not None:
            found["log"] = file.log
    return found


def _relocate(file: ImageFile, yaml: Path, first: Path) -> ImageFile:
    """Make local paths relative to the first file's folder: the merged image knows no other, nor the current folder."""

    def moved(reference: str) -> str:
        return references.relocated(reference, yaml, first.parent)

    def moved_all(items: tuple[Entry, ...] | tuple[Volume, ...]) -> tuple[Entry | Volume, ...]:
        return tuple(item.model_copy(update={"image": moved(item.image)}) for item in items)

    update: dict[str, object] = {key: moved_all(getattr(file, key)) for key in (*checks.SECTIONS, "volumes")}

    def with_source(item: File) -> File:
        if not item.source or item.source.startswith(("/", "~/")):
            return item
        found = references.host_file(item.source, yaml)
        if found == first.parent / item.source:
            return item
        return item.model_copy(update={"source": os.path.relpath(found, first.parent)})

    sources = tuple(map(with_source, file.files))
    if yaml.parent == first.parent:
        return file if sources == file.files else file.model_copy(update={"files": sources})
    update["files"] = sources
    update["init"] = tuple(map(moved, file.init))
    if file.kernel.image:
        update["kernel"] = file.kernel.model_copy(update={"image": moved(file.kernel.image)})
    return file.model_copy(update=update)


def merged(spec: ImageSpec) -> str:
    """Return one YAML that says what an image's files say together, with the components that stand for images."""
    keys = set(ImageFile.model_fields)
    said = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=keys)
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=MOST_WIDTH)
    return text
