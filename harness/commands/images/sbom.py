"""`harness sbom`: an image's bill of materials, and what differs between two."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from harness import files
from harness.arch import Arch, parse_list
from harness.build import attestations
from harness.build.copyrights import FOLDER
from harness.build.settings import Settings
from harness.commands.specs import read_image
from harness.errors import EXIT_CASES_FAILED, EXIT_OK, UserError
from harness.image import Image
from harness.report.words import visible
from harness.sbom import cyclonedx, diff, spdx, vex
from harness.show.frame import progress
from harness.spec.named import image_named
from harness.spec.rules.images import shipped
from harness.spec.text.complaints import nearest
from harness.text import of_error

DIFF, SCAN = "diff", "scan"
OPENVEX = "openvex"  # not of packages, but of what is known of their vulnerabilities
ENDINGS = {"spdx": ".spdx.json", "cyclonedx": ".cdx.json", OPENVEX: ".openvex.json"}  # of files, by format
MAX_BYTES = 64 << 20
EPOCH = "SOURCE_DATE_EPOCH"  # https://reproducible-builds.org/specs/source-date-epoch/


@dataclass(frozen=True)
class SbomRequest:
    """For which architectures, and where it goes: a file, or with several architectures a folder; stdout if None.

    `attestations` is the folder that gets what is attached to OCI images; None if nobody wants it.
    """

    arches: str = "host"
    out: Path | None = None
    format: str = "spdx"
    as_json: bool = False
    supplier: str = ""
    scanner: str = ""
    vex: Sequence[Path] = ()
    attestations: Path | None = None


def sbom(words: Sequence[str], settings: Settings, request: SbomRequest) -> int:
    """Write the bill of materials of what `words` describe, or of ``diff A B`` say what changed.

    An image is YAML files that are merged in order, or one built folder. After ``scan`` a scanner gets the bill.
    Returns 1 when a diff found something, or a scanner says so.
    Raises UserError for what is neither.
    """
    if words and words[0] == DIFF:
        if len(words) != 3:
            raise UserError("diff takes two", hint="harness sbom diff A B: SBOM files, built folders, or image YAML")
        return _diff(words[1], words[2], settings, request)
    if words and words[0] == SCAN:
        return _scanned(words[1:], settings, request)
    if not words:
        raise UserError("no image was named", hint="harness sbom IMAGE, such as default; harness help sbom says more")
    verb = nearest(words[0], (DIFF, SCAN))
    if verb and not Path(words[0]).exists() and words[0] not in shipped():
        raise UserError(f"there is no image {words[0]!r}", hint=f"did you mean harness sbom {verb}?")
    ending, made = _maker(request)
    images = _images(words, settings, request.arches)
    for image in images:
        _attested(image, request.attestations)
    if request.out is None or len(images) == 1:
        if len(images) > 1:
            raise UserError("several architectures do not fit on one page", hint="-o FOLDER, or one --arch")
        _write(_text(made(of(images[0], request.supplier))), request.out)
    else:
        for image in images:
            _write(_text(made(of(image, request.supplier))), request.out / f"{image.name}-{image.arch.name}{ending}")
    return EXIT_OK


def _attested(image: Image, out: Path | None) -> None:
    """Say what is attached to an image's OCI images, and copy it where it is wanted, in a folder of the image's own."""
    rows = image.manifest.get("images", ())
    for reference, count in {row["reference"]: len(row.get("attached", ())) for row in rows}.items():
        if count:
            progress(f"{reference}: {count} attached to it, in {image.folder / attestations.FOLDER}")
    if out is None:
        return
    source, target = image.folder / attestations.FOLDER, out / f"{image.name}-{image.arch.name}"
    if not source.is_dir():
        progress(f"{image.name} {image.arch.name}: nothing is attached to its OCI images")
        return
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.iterdir()):
            shutil.copyfile(file, target / file.name)
    except OSError as error:
        raise UserError(f"cannot write {target}: {of_error(error)}", hint="name a folder that you may write"
                        ) from error  # fmt: skip
    progress(str(target))


def _maker(request: SbomRequest) -> tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return how the files' names end, and what makes the document; statements on vulnerabilities go into it."""
    if request.format not in ENDINGS:
        raise UserError(f"unknown format {request.format!r}", hint=f"one of: {', '.join(ENDINGS)}")
    if request.format == "spdx" and request.vex:
        raise UserError("an SPDX 2.3 document has no place for VEX", hint=f"--format cyclonedx, or {OPENVEX}")
    ending = ENDINGS[request.format]
    if request.format == "spdx":
        return ending, dict
    said = [one for path in request.vex for one in _statements(path)]

    def made(bill: dict[str, Any]) -> dict[str, Any]:
        found, unfit = vex.into(cyclonedx.document(bill), said)
        for one in unfit:
            progress(f"{visible(one.vulnerability)}: the image has no package that its statement is about")
        if request.format == "cyclonedx":
            return found
        if "vulnerabilities" not in found:
            raise UserError("nothing is said of the image's packages", hint="--vex FILE with statements about them")
        return vex.openvex(found, request.supplier or "unknown")

    return ending, made


def _statements(path: Path) -> list[vex.VexStatement]:
    try:
        return vex.read(files.read_json(path, limit=MAX_BYTES))
    except vex.VexError as error:
        raise UserError(f"{path} is no VEX document: {error}", hint="OpenVEX 0.2, or CycloneDX as JSON") from error


def _scanned(words: Sequence[str], settings: Settings, request: SbomRequest) -> int:
    """Hand the bill of one image, as CycloneDX, to a scanner."""
    from harness.commands.images.scan import scan
    from harness.scratch import scratch

    if not words:
        raise UserError("no image was named", hint="harness sbom scan IMAGE")
    images = _images(words, settings, request.arches)
    if len(images) > 1:
        raise UserError("one architecture at a time", hint="--arch with one name")
    ending, made = _maker(replace(request, format="cyclonedx"))
    with scratch("scan") as folder:
        bill = Path(folder) / f"{images[0].name}-{images[0].arch.name}{ending}"
        files.write(bill, _text(made(of(images[0], request.supplier))))
        return scan(bill, request.scanner)


def of(image: Image, supplier: str = "") -> dict[str, Any]:
    """Return an image's SPDX document, dated as SOURCE_DATE_EPOCH says, else 1970: time is not part of an image."""
    if supplier and not spdx.supplied(supplier):
        raise UserError(f"the supplier is {supplier[:200]!r}", hint="NAME, or 'NAME <ADDRESS>'")
    text = os.environ.get(EPOCH) or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise UserError(f"{EPOCH} is {text[:40]!r}", hint="seconds since 1970")

    def copyright_of(name: str) -> bytes:
        return (image.folder / FOLDER / Path(name).name).read_bytes()

    try:
        return spdx.document(image.manifest, copyright_of, int(text), supplier)
    except (OSError, KeyError) as error:
        raise UserError(
            f"{image.folder} is not a whole image: {of_error(error)}", hint="build the image again"
        ) from error


def _images(words: Sequence[str], settings: Settings, arches: str) -> list[Image]:
    named = image_named(words)
    if named.kind == "built":
        return [Image(named.paths[0])]
    return _built(words, settings, parse_list(arches))


def _built(words: Sequence[str], settings: Settings, arches: list[Arch]) -> list[Image]:
    from harness.build.pipeline import Builder

    return Builder(settings, progress=progress).build_all(read_image(words, settings), arches)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write(out, text)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}", hint="-o names a file in a folder that you may write"
                        ) from error  # fmt: skip
    progress(str(out))


def _diff(before: str, after: str, settings: Settings, request: SbomRequest) -> int:
    old, new = (diff.entries(_document(one, settings, request.arches)) for one in (before, after))
    found = diff.changes(old, new)
    if request.as_json:
        print(json.dumps([{"kind": one.kind, **asdict(one)} for one in found], indent=1))
    else:
        for line in diff.lines(found):
            print(visible(line))
        print(f"{len(found)} of {len({*old, *new})} packages differ" if found else f"the same {len(new)} packages")
    return EXIT_CASES_FAILED if found else EXIT_OK


def _document(text: str, settings: Settings, arches: str) -> dict[str, Any]:
    """Return the document of a side of a diff: as a file has it, or of an image."""
    if text.endswith(".json"):
        return read(Path(text))
    images = _images([text], settings, arches)
    if len(images) > 1:
        raise UserError("one architecture at a time", hint="--arch with one name")
    return of(images[0])


def read(path: Path) -> dict[str, Any]:
    """Return the SPDX 2 or CycloneDX document of a JSON file; UserError when it is none."""
    document = files.read_json(path, limit=MAX_BYTES)
    rows = document.get(diff.rows_of(document)) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in rows
    ):
        raise UserError(f"{path} is not an SBOM", hint="SPDX 2 or CycloneDX as JSON, of at most 64 MiB")
    return cast(dict[str, Any], document)
