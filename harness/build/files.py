"""The content of what an image's YAML lists under `files`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.arch import Arch
from harness.errors import UserError
from harness.spec import host_file
from harness.spec.models.container import File
from harness.spec.models.image import ImageSpec
from harness.spec.rules.references import ARCH_WORD
from harness.text import of_error

if TYPE_CHECKING:
    from harness.tree.tree import Tree


def content(file: File, spec: ImageSpec) -> bytes | None:
    """Return a file's bytes; None for an optional one whose source cannot be read."""
    if file.contents is not None:
        return file.contents.encode()
    if file.metadata:
        return _metadata(file.metadata, spec)
    try:
        return host_file(file.source, spec.sources[0]).read_bytes()
    except OSError as error:
        if file.optional:
            return None
        # it was there when the image's files were judged
        raise UserError(f"files: {file.path}: cannot read its source any more: {of_error(error)}") from error


def for_arch(spec: ImageSpec, arch: Arch) -> ImageSpec:
    """Return the spec with the sources for one architecture; UserError where there is none."""
    if not any(ARCH_WORD in file.source for file in spec.files):
        return spec
    return spec.model_copy(update={"files": tuple(_for(arch, file, spec) for file in spec.files)})


def _for(arch: Arch, file: File, spec: ImageSpec) -> File:
    source = file.source.replace(ARCH_WORD, arch.name)
    if source != file.source and not file.optional and not host_file(source, spec.sources[0]).is_file():
        raise UserError(f"files: {file.path}: there is no {source}, which {arch.name} needs")
    return file.model_copy(update={"source": source})


def own_files(spec: ImageSpec, tree: Tree) -> list[list[Any]]:
    """Return path, bytes, SHA-256 and SHA-512 of what the YAML's own files are in the root."""
    from harness.tree.tree import clean  # a build of nothing makes no tree

    found = {}
    for file in spec.files:
        path = tree.resolve(clean(file.path))
        # what is written to /var lies elsewhere until it boots
        node = tree.nodes.get(path) or tree.nodes.get(f"usr/lib/harness/{path}")
        if node is not None and node.content is not None:
            found[path] = [path, node.content.size, node.digest, node.content.digest("sha512")]
    return [found[path] for path in sorted(found)]


def _metadata(form: str, spec: ImageSpec) -> bytes:
    import yaml

    ours = {"name", "sources", "digest", "components"}
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, exclude=ours)
    text = json.dumps(data, indent=2) if form == "json" else yaml.safe_dump(data, sort_keys=False)
    return text.encode() + (b"" if text.endswith("\n") else b"\n")
