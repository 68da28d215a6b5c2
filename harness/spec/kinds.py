"""Which kind a YAML file is of, by what only that kind has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from harness import paths as places
from harness.errors import UserError
from harness.spec.models.base import Model
from harness.spec.models.cluster import Cluster
from harness.spec.models.component import ComponentSpec
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageFile
from harness.spec.models.machine import MachineFile
from harness.spec.models.plan import Plan
from harness.spec.models.policy import Policy
from harness.spec.models.profile import ProfileSpec, Waivers
from harness.spec.rules.cluster import KEY as CLUSTER_KEY
from harness.spec.rules.foreign import KEY as OS_KEY
from harness.spec.rules.policy import KEY as POLICY_KEY
from harness.spec.rules.profile import KEY as PROFILE_KEY
from harness.spec.rules.profile import WAIVERS_KEY
from harness.spec.rules.references import PACKAGE_FILE
from harness.spec.text.reader import Document, mapping_of
from harness.spec.text.shape import fields_of

FileKind = Literal["image", "component", "machine", "plan", "os", "profile", "waivers", "policy", "cluster", "unknown"]
MODELS: dict[FileKind, type[Model]] = {
    "image": ImageFile,
    "component": ComponentSpec,
    "machine": MachineFile,
    "plan": Plan,
    "os": OsSpec,
    "profile": ProfileSpec,
    "waivers": Waivers,
    "policy": Policy,
    "cluster": Cluster,
}
# a key that no other kind has says what a file is
# the first that is found counts: a policy speaks of waivers too
_BY_KEY: dict[str, FileKind] = {
    OS_KEY: "os", PROFILE_KEY: "profile", POLICY_KEY: "policy", WAIVERS_KEY: "waivers", CLUSTER_KEY: "cluster",
}  # fmt: skip
# what a file of each kind is called, and what is done with it
INSTEAD: dict[FileKind, tuple[str, str]] = {
    "image": ("an image", "`harness boot {file} -m qemu-arm64`, `harness matrix --image {file}`"),
    "machine": ("a machine", "give it with -m (--harness-machine under pytest)"),
    "plan": ("a plan", "harness matrix {file}"),
    "component": ("a component, of which images are made", "`harness new {stem} -o os.yml` begins one with it"),
    "profile": ("a profile", "harness certify IMAGE -m MACHINE -p {file}"),
    "waivers": ("waivers", "harness certify IMAGE -m MACHINE --waivers {file}"),
    "cluster": ("a cluster", "harness matrix PLAN --cluster {file}"),
    "policy": ("a verifier's policy", "harness verify EVIDENCE --policy {file}"),
    "os": (
        "an OS that the harness has not built",
        "harness boot, matrix, certify, compare and lint take it: there is nothing to build",
    ),
}


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
    scores = {kind: len(written.intersection(keys_of(kind))) for kind in MODELS}
    best = max(scores, key=lambda kind: scores[kind])  # the first of equals: image before component
    return best if scores[best] else "unknown"


def keys_of(kind: FileKind) -> Iterator[str]:
    """Yield the keys that a file of a kind may have."""
    return (key for key in fields_of(MODELS[kind]) if key not in MODELS[kind].given)


def refuse_other_kinds(document: Document, wanted: FileKind = "image") -> None:
    """Raise UserError when a document that should be of the kind `wanted` is clearly of another: it says what it is."""
    kind = kind_of_file(document)
    if kind in (wanted, "unknown"):
        return
    (what, hint), needed = INSTEAD[kind], INSTEAD[wanted][0]
    verb = "are" if wanted == "waivers" else "is"
    told = hint.format(file=document.file, stem=document.file.stem)
    raise UserError(f"{document.file} describes {what}, where {needed} {verb} wanted", hint=told)
