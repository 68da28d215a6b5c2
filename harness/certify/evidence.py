"""Gathers what goes into an evidence archive, and where each file of it comes from."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import paths, proc
from harness.certify import contents, derive, maker, outcomes, records, sources
from harness.certify.certificate import QemuFacts
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.derive import Derived
from harness.certify.sources import Sources
from harness.errors import HarnessError, UserError
from harness.files import parse_json, read_json
from harness.image import ForeignImage, Image
from harness.run.folder import RunFolder
from harness.spec.models.machine import MachineSpec
from harness.spec.models.profile import Waivers
from harness.spec.profile import Profile
from harness.store import file_digest
from harness.system.record import BootRecord

ArchiveFiles = dict[str, Path | bytes]
_STRANGE = re.compile(r"[^\w.,+@=~-]", re.ASCII)


@dataclass(frozen=True)
class Staged:
    """The files of an archive to come, in a folder as a reader unpacks them, and what follows from them."""

    files: EvidenceFiles
    derived: Derived


@dataclass(frozen=True)
class RunOfCell:
    """A run's folder and the name of its one cell."""

    folder: RunFolder
    cell: str

    @property
    def boots(self) -> Path:
        """Where its boots have left what they leave."""
        return self.folder.cell(self.cell)


def image_files(image: Image | ForeignImage) -> ArchiveFiles:
    """Return what is needed to boot an image again: a foreign OS's files are named by their part."""
    return {f"{contents.IMAGE}/{name}": path for name, path in image.evidence.items()}


def written(yamls: Iterable[Path], machine: MachineSpec, profile: Profile, waivers: Waivers | None) -> ArchiveFiles:
    """Return what persons wrote: the image's YAML, the machine's, the profile's with all that it extends, waivers."""
    files: ArchiveFiles = {f"{contents.SPEC}/{number}-{_named(path)}": path for number, path in enumerate(yamls, 1)}
    files |= {f"{contents.PROFILE}/{number}-{_named(path)}": path for number, path in enumerate(profile.files, 1)}
    files[f"{contents.MACHINE}/{_named(machine.path)}"] = machine.path
    return files | ({contents.WAIVERS: waivers.path} if waivers else {})


def _named(path: Path) -> str:
    """Return a file's name; UserError when no archive can hold it."""
    if _STRANGE.search(path.name) or len(path.name) > 60:
        raise UserError(
            f"{path}: evidence cannot hold a file of this name", hint="up to 60 letters, digits and . , + -"
        )
    return path.name


def case_files(profile: Profile) -> ArchiveFiles:
    """Return the files that a profile's cases are in, with what all cases share."""
    nodes = (node for one in profile.requirements for node in profile.nodes(one))
    found = {Path(node.partition("::")[0]) for node in nodes}
    found |= {folder / "conftest.py" for path in found for folder in (path.parent, paths.CASES)}
    return {_case_name(path): path for path in sorted(found) if path.is_file()}


def _case_name(path: Path) -> str:
    full = path.resolve()
    if full.is_relative_to(paths.CASES):
        return f"{contents.CASES}/{full.relative_to(paths.CASES)}"
    return f"{contents.OWN_CASES}/{_named(path)}"


def changed_cases(files: ArchiveFiles) -> list[str] | None:
    """Return which case files are not the harness's own as it was released or committed; None when nobody can tell."""
    own = {name: path for name, path in files.items() if isinstance(path, Path)}
    known = _committed() or _installed()
    if known is None:
        return None
    return [name for name, path in sorted(own.items()) if known.get(path.resolve()) != file_digest(path)]


def _committed() -> dict[Path, str] | None:
    """Return the digests of the case files that git has no changes of; None where it is not a checkout."""
    try:
        tracked = proc.run(["git", "-C", str(paths.CASES), "ls-files", "-z"], timeout=20).stdout
        changed = proc.run(
            ["git", "-C", str(paths.CASES), "diff", "--name-only", "--relative", "-z", "HEAD"], timeout=60
        )
    except HarnessError:
        return None
    names = set(tracked.decode().split("\0")) - set(changed.stdout.decode().split("\0")) - {""}
    found = ((paths.CASES / name).resolve() for name in names if name.endswith(".py"))
    return {path: file_digest(path) for path in found} or None


def _installed() -> dict[Path, str] | None:
    """Return the digests that the installed package lists of its files; None where it is not installed so."""
    try:
        files = metadata.files("bootharness") or []
    except metadata.PackageNotFoundError:
        return None
    found = {}
    for file in files:
        if file.hash is not None and file.hash.mode == "sha256":
            digest = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4)).hex()
            found[Path(str(file.locate())).resolve()] = digest
    return found or None


def stage(given: ArchiveFiles, run: RunOfCell, qemu: QemuFacts | None, folder: Path) -> Staged:
    """Put `given` files and what a run left of its cell into `folder`, and derive the certificate from that alone."""
    _put(given, folder)
    read = sources.read_all(_described(given, folder))
    boots = _boots(run, read, folder)
    word = replace(outcomes.told(run.folder.read_events(), read, run.cell, run.boots), harness=maker.own())
    found = {boot: BootRecord.from_json(parse_json(content, boot)) for boot, content in _records(boots).items()}
    rows = outcomes.events(word, read, found)
    made: ArchiveFiles = {contents.EVENTS: outcomes.as_lines(rows), contents.RESULTS: outcomes.folded(rows)}
    _put(made, folder)
    files = _described({**given, **boots, **made}, folder)
    return Staged(files, derive.checked(files, read, qemu))


def _put(files: ArchiveFiles, folder: Path) -> None:
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            target.symlink_to(content.resolve())


def _described(files: Mapping[str, object], folder: Path) -> EvidenceFiles:
    paths_ = {name: folder / name for name in files}
    rows = {name: ArchiveMember(name, path.stat().st_size, file_digest(path)) for name, path in paths_.items()}
    return EvidenceFiles(folder, rows)


def _records(boots: ArchiveFiles) -> dict[str, bytes]:
    ending = f"/{contents.RECORD}"
    return {
        name.removeprefix(f"{contents.BOOTS}/").removesuffix(ending): content
        for name, content in boots.items()
        if name.endswith(ending) and isinstance(content, bytes)
    }


def _boots(run: RunOfCell, read: Sources, folder: Path) -> ArchiveFiles:
    """Put what is told of a run's boots into `folder`, and return it: records, transcripts, exact consoles."""
    made: ArchiveFiles = {}
    for path in sorted(run.boots.rglob(contents.RECORD)):
        boot = str(path.parent.relative_to(run.boots))
        kept = [name for name in records.kept(boot) if name != contents.RECORD]
        if path.is_symlink() or not all((path.parent / name).is_file() for name in kept):
            continue  # of a boot that never was
        beside: ArchiveFiles = {f"{contents.BOOTS}/{boot}/{name}": path.parent / name for name in kept}
        _put(beside, folder)
        heard = records.hear(_described(beside, folder), boot, read.image)
        record = BootRecord.from_json(read_json(path))
        told = records.archived(record, boot, read.image, read.machine, heard)
        own: ArchiveFiles = {f"{contents.BOOTS}/{boot}/{contents.RECORD}": told.dumps().encode()}
        _put(own, folder)
        made |= beside | own
    return made


def as_files(staged: Staged) -> ArchiveFiles:
    """Return the staged files as an archive is packed from them."""
    return {name: staged.files.folder / name for name in staged.files.members}


def own_label(names: Sequence[str] | None) -> str:
    """Say which case files are not as they were released."""
    if names is None:
        return "nobody can tell whether the cases are the harness's own: it is not a checkout and no installed package"
    return f"cases that are not as they were released: {', '.join(names)}" if names else ""


def facts_of(identity: Mapping[str, Any] | None) -> QemuFacts | None:
    """Return a QEMU's identity as a certificate has it."""
    return QemuFacts.model_validate(identity) if identity is not None else None
