"""What an ``image:`` names: a component of the library, a local package, or an OCI image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from harness import paths
from harness.spec.annotations import Fault
from harness.spec.complaints import nearest

ReferenceKind = Literal["component", "package", "oci"]
PACKAGE = "@pkg:"

# The distribution project's grammar: [host[:port]/]path[:tag][@digest]
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?"
_OCI = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?P<tag>:\w[\w.-]{{0,127}})?(?P<digest>@.+)?", re.ASCII)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}|@sha512:[0-9a-f]{128}")


def library() -> dict[str, Path]:
    """Return the library's components: their YAML files by name."""
    return _yaml_files(paths.COMPONENTS)


def machines() -> dict[str, Path]:
    """Return the machines that ship with the harness: their YAML files by name."""
    return _yaml_files(paths.MACHINES)


def _yaml_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def is_component(reference: str) -> bool:
    """Say whether a reference names a component of the library rather than an OCI image."""
    return not any(sign in reference for sign in "/:@")


def kind_of(reference: str) -> ReferenceKind:
    """Say what a reference names."""
    if reference.startswith(PACKAGE):
        return "package"
    return "component" if is_component(reference) else "oci"


def package_folder(reference: str, yaml: Path) -> Path:
    """Return the folder that ``@pkg:path`` in the file `yaml` names."""
    return yaml.parent / reference.removeprefix(PACKAGE)


def fault(reference: str, yaml: Path) -> Fault | None:
    """Say what is wrong with a reference written in the file `yaml`, or None."""
    kind = kind_of(reference)
    if kind == "component":
        return _component_fault(reference)
    if kind == "package":
        folder = package_folder(reference, yaml)
        if reference == PACKAGE or not (folder / "build.yml").is_file():
            return Fault(f"{reference!r} is no package", f"a folder with a build.yml at {folder}")
        return None
    found = _OCI.fullmatch(reference) if len(reference) <= 512 else None
    if found is None:
        lower = reference.lower()
        return Fault(
            f"{reference[:80]!r} is no image reference",
            "[host/]name[:tag][@digest]",
            lower if lower != reference and _OCI.fullmatch(lower) else "",
        )
    if found["digest"] and not _DIGEST.fullmatch(found["digest"]):
        return Fault(f"{found['digest'][:80]!r} is no digest", "@sha256: and 64 hexadecimal digits")
    return None


def _component_fault(name: str) -> Fault | None:
    known = library()
    if name in known:
        return None
    near = nearest(name, known)
    expected = f"a component ({', '.join(known) or 'the library is empty'}) or an OCI reference with a / or :"
    return Fault(f"the library has no component {name!r}", "" if near else expected, near)
