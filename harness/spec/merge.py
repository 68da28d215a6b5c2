"""Image files: their judgement one by one and together, and their merging, as LinuxKit does it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.spec import checks, references
from harness.spec.complaints import Complaint, KeyPath, Problem
from harness.spec.model import Entry, File, ImageFile, ImageSpec, Kernel, Volume
from harness.spec.reader import Document
from harness.spec.shape import check

LISTS = ("init", *checks.SECTIONS, "files", "volumes")


def mapping_of(document: Document) -> dict[str, Any]:
    """Return a document's data, or an empty mapping when it is something else: the shape check says so."""
    data = document.data
    return data if isinstance(data, dict) else {}


def judge(documents: Sequence[Document], *, whole: bool = True) -> tuple[list[ImageFile], list[Complaint]]:
    """Return the files and every complaint about them; a file that has not the right shape is left out.

    ``whole`` says that together they must make an image; otherwise a kernel may still come from elsewhere.
    """
    files: list[ImageFile] = []
    complaints: list[Complaint] = []
    datas = [mapping_of(document) for document in documents]
    volumes = {
        volume["name"]: volume.get("readonly") is True
        for data in datas
        for _, volume in checks.mappings(data, "volumes")
        if isinstance(volume.get("name"), str)
    }
    for document, data in zip(documents, datas, strict=True):
        file, found = check(ImageFile, document, {})
        found += file_problems(data, document.file, volumes)
        complaints += [*document.complaints, *map(document.complain, found)]
        if file is not None:
            files.append(file)
    for section in ("services", "volumes"):
        complaints += _twice(section, documents, datas)
    kernels = [data["kernel"] for data in datas if isinstance(data.get("kernel"), dict)]
    if whole and not any(kernel.get("image") for kernel in kernels):
        missing = Problem(("kernel", "image"), "is missing", "a kernel component or an OCI reference")
        complaints.append(documents[0].complain(missing))
    return files, complaints


def file_problems(data: Mapping[str, Any], yaml: Path, volumes: Mapping[str, bool]) -> Iterator[Problem]:
    """Judge one image file's data beyond its shape. ``volumes`` says which are read-only, over all files."""
    for path, reference in image_references(data):
        yield from checks.problem(path, references.fault(reference, yaml))
    for section in checks.SECTIONS:
        for index, entry in checks.mappings(data, section):
            yield from checks.entry(entry, (section, index), section, volumes)
    for index, file in checks.mappings(data, "files"):
        yield from checks.file(file, ("files", index))


def image_references(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield every reference of an image file, with its key's path."""
    kernel = data.get("kernel")
    if isinstance(kernel, dict) and isinstance(kernel.get("image"), str):
        yield ("kernel", "image"), kernel["image"]
    for index, reference in checks.texts(data, "init"):
        yield ("init", index), reference
    for section in (*checks.SECTIONS, "volumes"):
        for index, entry in checks.mappings(data, section):
            if isinstance(entry.get("image"), str) and (entry["image"] or section != "volumes"):
                yield (section, index, "image"), entry["image"]


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


def merge(documents: Sequence[Document], files: Sequence[ImageFile]) -> ImageSpec:
    """Join image files in order: a later file's kernel keys win unless empty, lists are appended."""
    first = documents[0].file
    kernel: dict[str, str] = {}
    for file in files:
        said = file.kernel.model_dump(exclude_none=True)
        # LinuxKit: an empty text overrides nothing, but for `tar` and `ucode`, where it means none
        kernel |= {key: value for key, value in said.items() if value or key in ("tar", "ucode")}
    if kernel.get("tar") == "":
        kernel["tar"] = "none"
    moved = [_relocate(file, document.file, first) for file, document in zip(files, documents, strict=True)]
    return ImageSpec(
        name=first.stem,
        sources=tuple(document.file for document in documents),
        digest=hashlib.sha256(b"".join(document.content for document in documents)).hexdigest(),
        kernel=Kernel(**kernel),
        **{key: tuple(item for file in moved for item in getattr(file, key)) for key in LISTS},
    )


def _relocate(file: ImageFile, yaml: Path, first: Path) -> ImageFile:
    """Make local paths relative to the first file's folder: the merged image knows no other."""
    if yaml.parent == first.parent:
        return file

    def moved(reference: str) -> str:
        if references.kind_of(reference) != "package":
            return reference
        folder = references.package_folder(reference, yaml)
        return references.PACKAGE + os.path.relpath(folder, first.parent)

    def moved_all(items: tuple[Entry, ...] | tuple[Volume, ...]) -> tuple[Entry | Volume, ...]:
        return tuple(item.model_copy(update={"image": moved(item.image)}) for item in items)

    update: dict[str, object] = {key: moved_all(getattr(file, key)) for key in (*checks.SECTIONS, "volumes")}

    def with_source(item: File) -> File:
        if not item.source or item.source.startswith(("/", "~/")):
            return item
        return item.model_copy(update={"source": os.path.relpath(yaml.parent / item.source, first.parent)})

    update["files"] = tuple(map(with_source, file.files))
    update["init"] = tuple(map(moved, file.init))
    if file.kernel.image:
        update["kernel"] = file.kernel.model_copy(update={"image": moved(file.kernel.image)})
    return file.model_copy(update=update)
