"""What goes into an evidence archive, by name, and where each file of it comes from."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import paths, proc
from harness.certify.statement import canonical
from harness.errors import HarnessError
from harness.image import MANIFEST, ForeignImage, Image
from harness.run import events, results
from harness.spec.models.base import SHIPPED
from harness.spec.models.foreign import OsSpec
from harness.spec.models.machine import MachineSpec
from harness.spec.models.profile import Waivers
from harness.spec.profile import Profile
from harness.store import file_digest

ArchiveFiles = dict[str, Path | bytes]
IMAGE, SPEC, PROFILE, CASES, BOOTS = "image", "spec", "profile", "cases", "boots"
MACHINE, WAIVERS, SBOM, EVENTS = "machine.yml", "waivers.yml", "sbom.spdx.json", "events.jsonl"
PAGE, BADGE, CERTIFICATE = "certificate.html", "badge.svg", "certificate.json"
RECORD, CONSOLE, TRANSCRIPT = "record.json", "console.raw", "transcript.txt"
TOLD = ("os", "cmdline", "firmware", "milestones")  # of a foreign OS's YAML
EXACT = ("exact/1", "exact/2")  # the folders of a cell's two exact boots


def image_files(image: Image | ForeignImage) -> ArchiveFiles:
    """Return what is needed to boot an image again: a foreign OS's files are named by their part."""
    if isinstance(image, ForeignImage):
        return {f"{IMAGE}/{part}": path for part, path in image.parts.shipped.items()}
    shipped = [row["name"] for row in image.manifest["files"] if row["shipped"]]
    return {f"{IMAGE}/{name}": image.folder / name for name in (*shipped, MANIFEST)}


def described(files: Mapping[str, Path | bytes]) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of files by name."""
    return {
        name: {"size": path.stat().st_size, "sha256": file_digest(path)}
        for name, path in sorted(files.items())
        if isinstance(path, Path)
    }


def sources(yamls: Iterable[Path], machine: MachineSpec, profile: Profile, waivers: Waivers | None) -> ArchiveFiles:
    """Return what persons wrote: the image's YAML, the machine's, the profile's with all that it extends, waivers."""
    files: ArchiveFiles = {f"{SPEC}/{number}-{path.name}": path for number, path in enumerate(yamls, 1)}
    files |= {f"{PROFILE}/{number}-{path.name}": path for number, path in enumerate(profile.files, 1)}
    files[MACHINE] = machine.path
    return files | ({WAIVERS: waivers.path} if waivers else {})


def case_files(nodes: Iterable[str]) -> ArchiveFiles:
    """Return the files that the cases of pytest's node ids are in, with what all cases share."""
    found = {Path(node.partition("::")[0]) for node in nodes}
    found |= {folder / "conftest.py" for path in found for folder in (path.parent, paths.CASES)}
    return {f"{CASES}/{_case_name(path)}": path for path in sorted(found) if path.is_file()}


def _case_name(path: Path) -> str:
    full = path.resolve()
    return str(full.relative_to(paths.CASES)) if full.is_relative_to(paths.CASES) else f"own/{path.name}"


def changed_cases(files: ArchiveFiles) -> list[str] | None:
    """Return which case files are not the harness's own as it was released or committed; None when nobody can tell."""
    own = {name: path for name, path in files.items() if isinstance(path, Path)}
    known = _committed() or _installed()
    if known is None:
        return None
    return [name for name, path in sorted(own.items()) if known.get(path.resolve()) != file_digest(path)]


def _committed() -> dict[Path, str] | None:
    """Return the digests of the case files that git has no changes of; None where it is no checkout."""
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


def run_files(folder: Path, cell: str) -> ArchiveFiles:
    """Return what a run left of a cell: its events, and of each boot record, transcript, and an exact one's console."""
    files: ArchiveFiles = {EVENTS: folder / events.FILE, results.FILE: folder / results.FILE}
    boots = folder / "cells" / cell
    for path in sorted(boots.rglob("*")):
        if path.name in (RECORD, CONSOLE, TRANSCRIPT) and path.is_file() and not path.is_symlink():
            files[f"{BOOTS}/{path.relative_to(boots)}"] = path
    return files


def exact_records(folder: Path, cell: str) -> list[dict[str, Any]]:
    """Return the records of a cell's exact boots; fewer than two where a boot failed."""
    found = []
    for name in EXACT:
        path = folder / "cells" / cell / name / RECORD
        if path.is_file():
            found.append(json.loads(path.read_text()))
    return found


def as_json(made: Mapping[str, Any]) -> bytes:
    """Return a certificate's file."""
    return json.dumps(made, indent=1, sort_keys=True).encode() + b"\n"


def same(made: Mapping[str, Any], content: bytes) -> bool:
    """Say whether a certificate's file says what was signed."""
    try:
        return canonical(json.loads(content)) == canonical(made)
    except (ValueError, RecursionError):
        return False


def image_of(folder: Path, about: Mapping[str, Any]) -> Image | ForeignImage:
    """Return the image in an archive's folder; `about` is what the certificate says of it, which may be anybody's."""
    told = about.get("os")
    if told is None:
        return Image(folder / IMAGE)
    parts = {part: path for part in SHIPPED if (path := folder / IMAGE / part).is_file()}
    rows = {key: told.get(key) for key in TOLD} | {"milestones": tuple(told["milestones"])}
    return ForeignImage(OsSpec.model_validate({**rows, **parts, "path": folder, "digest": ""}))


def told_of(image: Image | ForeignImage) -> dict[str, Any] | None:
    """Return what `image_of` must be told of a foreign OS, without its login; None of an image that was built."""
    if isinstance(image, Image):
        return None
    return image.spec.model_dump(mode="json", include=set(TOLD))
