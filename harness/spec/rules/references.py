"""What an ``image:`` names: a component of the library, a local one in a folder, or an OCI image."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from harness import paths
from harness.arch import ARCHES, is_other, names_of
from harness.errors import UserError
from harness.files import is_file, is_there
from harness.spec import image_reference as oci
from harness.spec.text.complaints import Fault, nearest

ReferenceKind = Literal["component", "package", "oci"]
PACKAGE = "@pkg:"
ARCH_WORD = "{arch}"  # in a `source`, it stands for the architecture that is built
PACKAGE_FILE = "component.yml"  # what makes a folder a local component


def library() -> dict[str, Path]:
    """Return the library's components: their YAML files by name."""
    return _yaml_files(paths.COMPONENTS)


def machines() -> dict[str, Path]:
    """Return the machines that ship with the harness: their YAML files by name."""
    return _yaml_files(paths.MACHINES)


def nearest_machine(word: str, known: Iterable[str]) -> str:
    """Return the known machine that `word` means, or an empty text: by any name of its architecture, by no other's."""
    if is_other(word):
        return ""
    called: dict[str, str] = {}
    for name in known:
        called[_bare(name)] = name
        for arch in ARCHES:
            if arch in name:
                called.update({_bare(name.replace(arch, alias)): name for alias in names_of(arch)})
    return called.get(nearest(_bare(word), called), "")


def _bare(machine: str) -> str:
    """Return what tells a machine from the others: that it is QEMU's, nearly all have in common."""
    return machine.lower().replace("_", "-").removeprefix("qemu-")


def _yaml_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def kind_of(reference: str) -> ReferenceKind:
    """Say what a reference names."""
    if reference.startswith(PACKAGE):
        return "package"
    return "oci" if any(sign in reference for sign in "/:@") else "component"


def package_folder(reference: str, yaml: Path) -> Path:
    """Return the folder that ``@pkg:path`` in the file `yaml` names."""
    return yaml.parent / reference.removeprefix(PACKAGE)


def component_path(reference: str, yaml: Path) -> Path | None:
    """Return the YAML of the component that a reference in the file `yaml` names, or None when there is none."""
    if kind_of(reference) == "component":
        return library().get(reference)
    path = package_folder(reference, yaml) / PACKAGE_FILE
    return path if kind_of(reference) == "package" and is_file(path) else None


def each(source: str) -> tuple[str, ...]:
    """Return the names that a ``source`` stands for: itself, or with ``{arch}`` in it one for each architecture."""
    return tuple(source.replace(ARCH_WORD, arch) for arch in ARCHES) if ARCH_WORD in source else (source,)


def _is_there(source: str, folder: Path = Path()) -> bool:
    # not Path.exists: that raises where a name is too long
    return any(os.path.exists(folder / one) for one in each(source))  # noqa: PTH110


def host_file(source: str, yaml: Path) -> Path:
    """Return the file of the host that a ``source`` in the image file `yaml` names.

    ``~/`` is the caller's home. It lies beside the YAML, else in the current folder, where LinuxKit looks; where it is
    in neither, the path beside the YAML is returned.
    """
    beside = yaml.parent / (posixpath.expanduser(source) if source.startswith("~/") else source)
    return Path(source) if not _is_there(str(beside)) and _is_there(source) else beside


def source_note(source: str, yaml: Path, folders: Iterable[Path]) -> str:
    """Say where a ``source`` is found that is not below one of `folders`, those of an image's files; else nothing."""
    found = next((path for path in map(Path, each(str(host_file(source, yaml)))) if is_file(path)), None)
    if found is None:  # an optional one, or one that is refused
        return ""
    real = found.resolve()
    if not source.startswith("~/") and not _is_there(source, yaml.parent):
        return f"{source!r} is not beside the YAML: the image gets {real}, found from the current folder"
    if any(real.is_relative_to(folder.resolve()) for folder in folders):
        return ""
    return f"{source!r} lies outside of the YAML's folder: the image gets a copy of {real}"


def unreadable(path: Path, source: str) -> Fault | None:
    """Say why the file that a ``source`` names cannot be read, or None; with ``{arch}`` one architecture's will do."""
    there = [Path(one) for one in each(str(path)) if os.path.exists(one)]  # noqa: PTH110
    path = there[0] if there else path
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Fault(f"{error.strerror}: {source!r}", "a file that is there, or `optional: true`")
    if not stat.S_ISREG(mode):
        return Fault(f"{source!r} is not a file", "a plain file")
    return None if os.access(path, os.R_OK) else Fault(f"{source!r} may not be read", "a file that you may read")


def fault(reference: str, yaml: Path) -> Fault | None:
    """Say what is wrong with a reference written in the file `yaml`, or None."""
    kind = kind_of(reference)
    if kind == "component":
        return _component_fault(reference)
    return _package_fault(reference, yaml) if kind == "package" else _oci_fault(reference, yaml)


def _package_fault(reference: str, yaml: Path) -> Fault | None:
    name, folder = reference.removeprefix(PACKAGE), package_folder(reference, yaml)
    if not name or name.startswith("/"):
        return Fault(f"{reference!r} names no folder here", f"{PACKAGE}FOLDER, relative to this file")
    if component_path(reference, yaml):
        return None
    if (folder / "build.yml").is_file():
        what = f"{name!r} is a package of LinuxKit's, which only Docker can build"
        return Fault(what, f"a {PACKAGE_FILE} in it: a component, as in the library")
    return Fault(f"there is no local component {name!r}", f"a folder with a {PACKAGE_FILE} at {folder}")


def _oci_fault(reference: str, yaml: Path) -> Fault | None:
    try:
        named = oci.parse(reference)
    except UserError as error:
        lower = reference.lower()
        return Fault(error.message, error.hint, lower if lower != reference and _is_oci(lower) else "")
    if isinstance(named, oci.Local) and not is_there(named.where(yaml.parent)):
        return Fault(f"there is no {named.path!r}", f"{named.transport}: and a path, relative to this file")
    return None


def _is_oci(reference: str) -> bool:
    try:
        return bool(oci.parse(reference))
    except UserError:
        return False


def relocated(reference: str, yaml: Path, folder: Path) -> str:
    """Return a reference of the file `yaml` as a file in `folder` would have to write it."""
    kind = kind_of(reference)
    if kind == "package":
        return PACKAGE + os.path.relpath(package_folder(reference, yaml), folder)
    named = oci.parse(reference) if kind == "oci" else None
    if not isinstance(named, oci.Local) or named.path.startswith("/"):
        return reference
    return str(replace(named, path=os.path.relpath(named.where(yaml.parent), folder)))


def _component_fault(name: str) -> Fault | None:
    known = library()
    if name in known:
        return None
    near = nearest(name, known)
    listed = "`harness library list` names them" if known else "the library is empty"
    expected = f"a component ({listed}), {PACKAGE}FOLDER or an image with its tag"
    return Fault(f"the library has no component {name!r}", "" if near else expected, near)
