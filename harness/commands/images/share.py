"""`harness push` and `pull`: built images through a registry, with their bills, their evidence and who gives them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath

from pydantic import ValidationError

from harness.arch import ARCHES, Arch, parse_list
from harness.build import artifact, outputs
from harness.build.artifact import Artifact, described, made, titled
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.certify import release, verify
from harness.certify.contents import IMAGE as IMAGE_FILES
from harness.certify.expect import keys_of
from harness.certify.keys import PublicKey, SigningKey, load
from harness.certify.manifest import MANIFEST_FACTS, strange_boot
from harness.commands.images import sbom
from harness.commands.images.folders import folder_of, placed
from harness.commands.specs import private_part, read_image
from harness.errors import HarnessError, ImageError, UserError
from harness.files import read
from harness.image import MANIFEST as MANIFEST_FILE
from harness.image import Image
from harness.oci import registries
from harness.oci.attached import parse as parse_attached
from harness.oci.blobs import Blobs
from harness.oci.document import INDEX, MANIFEST, Descriptor, Index, parse, suits
from harness.oci.push import Destination, spelled
from harness.oci.registries import Registries
from harness.oci.registry import RegistrySource
from harness.patience import Patience
from harness.sbom import cyclonedx
from harness.show.frame import progress
from harness.spec.image_reference import Local, Named
from harness.spec.image_reference import parse as parse_reference
from harness.spec.named import image_named
from harness.store import Store, file_digest

SPDX, CYCLONEDX = "application/spdx+json", "application/vnd.cyclonedx+json"
EVIDENCE = "application/vnd.bootharness.evidence.v1"
EVIDENCE_FILE = "application/zstd"
MOST_SIGNATURES = 32  # that are looked at
LARGEST_MANIFEST = 64 << 20  # bytes
MOST_NAME = 200  # characters of a folder's


@dataclass(frozen=True)
class PushRequest:
    """For which architectures and in which format, who gives it out, and the evidence that goes with it."""

    arches: str = "host"
    format: str = Settings.format
    key: str | None = None
    evidence: tuple[Path, ...] = ()
    as_json: bool = False


def push(words: Sequence[str], settings: Settings, request: PushRequest) -> int:
    """Build what `words` name but for the last one, and put it there; print the reference with its digest."""
    if len(words) < 2:
        raise UserError("push takes an image and where it goes", hint="harness push os.yml registry.example/team/os:1")
    known = registries.find(settings.registry, settings.registries_conf)
    name = _named(words[-1], known, settings)
    if name.digest:
        raise UserError(f"{words[-1]} has a digest: that is what comes of it", hint=f"{words[-1].partition('@')[0]}")
    key = load(request.key) if request.key else None
    images = _built(words[:-1], settings, request)
    evidence = [_evidence(path, images) for path in request.evidence]
    place = known.places(name)[-1]
    with closing(Destination(place, Patience(), progress)) as there:
        rows = []
        for image in images:
            sent = artifact.of_image(image)
            _send(there, sent, f"{image.name} {image.arch.name}")
            bill = sbom.of(image)
            mine = [content for content, of in evidence if of == image.arch.name]
            for about in _about(sent.descriptor, bill, mine):
                _send(there, about, "", sent.descriptor)
            platform = {"os": "linux", "architecture": image.arch.oci}
            row = sent.descriptor.model_dump(by_alias=True, exclude_none=True)
            rows.append({**row, "artifactType": artifact.IMAGE, "platform": platform})
        index = spelled({"schemaVersion": 2, "mediaType": INDEX, "artifactType": artifact.IMAGE, "manifests": rows})
        top = described(index, INDEX)
        there.put_manifest(index, INDEX, top.digest)
        if key is not None:
            _send(there, _signature(top, f"{place}", key), "", top)
        there.put_manifest(index, INDEX, name.tag)  # last: who finds the tag finds all of it
    whole = f"{name}@{top.digest}"
    if request.as_json:
        print(json.dumps({"reference": whole, "digest": top.digest, "arches": [one.arch.name for one in images],
                          "signed": key.public.id if key else None}, indent=1))  # fmt: skip
    else:
        print(whole)
    return 0


@dataclass(frozen=True)
class PullRequest:
    """For which architectures (None: all that there are), where the folders go, and whose signature is asked for."""

    arches: str | None = None
    out: Path = Path()
    keys: tuple[str, ...] = ()
    as_json: bool = False


def pull(reference: str, settings: Settings, request: PullRequest) -> int:
    """Bring the images of a reference to ``NAME-ARCH`` folders, each as its build left it.

    UserError where none of the keys that are asked for has signed it, or it is not for an architecture.
    """
    known = registries.find(settings.registry, settings.registries_conf)
    name, keys = _named(reference, known, settings), keys_of(request.keys)
    wanted = parse_list(request.arches) if request.arches else None
    blobs = Blobs(Store(settings.cache, progress))
    with closing(RegistrySource(name, known.places(name), Patience(), progress)) as source:
        data = source.top()
        index = parse(data, str(name))
        if not isinstance(index, Index):
            raise UserError(
                f"{name} is no image that `harness push` has put there", hint="a container's is named in a YAML"
            )
        top = described(data, INDEX)
        who = _signer(source, top, keys) if keys else None
        if keys and who is None:
            raise UserError(
                f"{name} was given out by none of the keys that you name",
                details="\n".join(key.id for key in keys),
                hint="ask whoever pushed it for the key, or take it without --key, at the registry's word",
            )
        images = [_pulled(source, blobs, row, arch, request.out) for row, arch in _rows(index, wanted, str(name))]
    said = f"given out by {who.id}" if who else "whoever holds the registry vouches for it: --key asks for more"
    progress(f"{name}@{top.digest}: {said}")
    if request.as_json:
        print(json.dumps([{"name": one.name, "arch": one.arch.name, "folder": str(one.folder), "digest": top.digest,
                           "signed": who.id if who else None} for one in images], indent=1))  # fmt: skip
    else:
        for image in images:
            print(f"{image.name} {image.arch.name:7} {image.size / 1e6:6.1f} MB  {image.folder}")
    return 0


def _named(text: str, known: Registries, settings: Settings) -> Named:
    name = parse_reference(text)
    if isinstance(name, Local):
        raise UserError(
            f"{text} is a file here, and no registry", hint="registry.example/team/os:1; harness build -o DIR copies"
        )
    if settings.offline:
        raise UserError("a registry is not asked offline", hint="without --offline")
    return known.qualify(name)


def _built(words: Sequence[str], settings: Settings, request: PushRequest) -> list[Image]:
    named = image_named(words)
    if named.kind == "os":
        raise UserError(f"{named.text} is another's OS: the harness has not built it", hint="push takes its own images")
    if named.kind == "built":
        image = Image(named.paths[0])
        if (kind := image.manifest["format"]) != request.format != Settings.format:
            raise UserError(f"{named.text} was built as {kind}, not as {request.format}", hint="push the YAML itself")
        return [image]
    spec, arches = read_image(words, settings), parse_list(request.arches)
    if private := private_part(spec):
        progress(f"{named.text} holds {private}: whoever may read the repository gets that, too")
    kind = outputs.called(request.format)
    return Builder(replace(settings, format=kind), progress=progress).build_all(spec, arches, read=True)


def _send(there: Destination, sent: Artifact, what: str, subject: Descriptor | None = None) -> None:
    blobs = {blob.descriptor.digest: blob for blob in sent.blobs}
    size = sum(blob.descriptor.size for blob in blobs.values())
    if what:
        progress(f"{what}: pushing {size / 1e6:.1f} MB to {there.place.host}")
    new = sum(blob.descriptor.size for blob in blobs.values() if there.put_blob(blob))
    if what and new < size:
        progress(f"{what}: {(size - new) / 1e6:.1f} MB were there")
    there.put_manifest(sent.manifest, MANIFEST, sent.descriptor.digest, subject)


def _about(subject: Descriptor, bill: dict[str, object], evidence: Sequence[bytes]) -> Iterator[Artifact]:
    """Yield what is said of an image: its bills, and its certificates."""
    bills = ((SPDX, "bill.spdx.json", bill), (CYCLONEDX, "bill.cdx.json", cyclonedx.document(bill)))
    for kind, name, document in bills:
        yield made(kind, [titled(spelled(document), name, kind)], {}, subject)
    for content in evidence:
        yield made(EVIDENCE, [titled(content, "evidence.tar.zst", EVIDENCE_FILE)], {}, subject)


def _evidence(path: Path, images: Sequence[Image]) -> tuple[bytes, str]:
    """Return an archive's bytes, and the architecture of the image that it is about. UserError when it is of none."""
    with tempfile.TemporaryDirectory() as folder:
        found = verify.unpack(path, Path(folder))
    certified = {one.name.partition("/")[2]: one.sha256 for one in found.statement.body.members
                 if one.name.startswith(f"{IMAGE_FILES}/")}  # fmt: skip
    for image in images:
        if image.digests.items() <= certified.items():
            return path.read_bytes(), image.arch.name
    raise UserError(
        f"{path} is about another image than what is pushed", hint="harness certify makes one of this image"
    )


def _signature(top: Descriptor, name: str, key: SigningKey) -> Artifact:
    envelope = release.signed(top.digest, name, key)
    return made(release.ENVELOPE, [titled(envelope, "release.dsse.json", release.ENVELOPE)], {}, top)


def _signer(source: RegistrySource, top: Descriptor, keys: Sequence[PublicKey]) -> PublicKey | None:
    """Return whose signature is attached to an index, of the keys that are asked for."""
    for row in source.attached(top.digest)[:MOST_SIGNATURES]:
        try:
            manifest = parse_attached(source.manifest(row), row.digest)
            parts = [one for one in manifest.layers if one.size <= release.LARGEST]
            if manifest.artifact_type != release.ENVELOPE or len(parts) != 1:
                continue
            with tempfile.TemporaryDirectory() as folder:
                envelope = Blobs(Store(Path(folder))).keep(parts[0], partial(source.blob, parts[0])).path.read_bytes()
        except (UserError, ImageError):  # a stranger's, which is none
            continue
        if found := release.signer(envelope, top.digest, keys):
            return found
    return None


def _rows(index: Index, wanted: Sequence[Arch] | None, what: str) -> list[tuple[Descriptor, Arch]]:
    """Return an index's entries with their architectures: all of them, or those that are wanted."""
    known = {arch.name: row for row in index.manifests for arch in ARCHES.values()
             if row.platform and suits(row.platform.platform, arch)}  # fmt: skip
    lack = [arch.name for arch in wanted or () if arch.name not in known]
    if lack or not known:
        there = ", ".join(known) or "no architecture that is known here"
        raise UserError(f"{what} is not for {', '.join(lack) or 'any machine'}: it is for {there}")
    chosen = [arch.name for arch in wanted] if wanted else list(known)
    return [(known[name], ARCHES[name]) for name in chosen]


def _pulled(source: RegistrySource, blobs: Blobs, row: Descriptor, arch: Arch, out: Path) -> Image:
    manifest = artifact.read(source.manifest(row), f"{source.name}, {arch.name}")
    size = sum(layer.size for layer in manifest.layers)
    progress(f"{source.name} {arch.name}: pulling {size / 1e6:.1f} MB")
    held = [blobs.keep(layer, partial(source.blob, layer)) for layer in manifest.layers]

    def fill(folder: Path) -> Image:
        folder.mkdir(mode=0o700)  # whether the registry would give it to anybody is not known
        return _sound(artifact.restore(manifest, held, folder), arch)

    try:
        return placed(out, fill)
    except HarnessError as error:
        error.message = f"{source.name} {arch.name}: {error.message}"
        raise


def _sound(image: Image, arch: Arch) -> Image:
    """Return a stranger's image whose manifest can be acted on; ImageError where it cannot.

    It names the folder that the image gets and the files that a host hands to its QEMU: no other than its own.
    """
    try:
        facts = MANIFEST_FACTS.validate_json(read(image.folder / MANIFEST_FILE, LARGEST_MANIFEST))
        called = folder_of(image)
    except (ValidationError, HarnessError, KeyError, TypeError) as error:
        raise ImageError(f"its manifest is none of the harness's: {type(error).__name__}") from None
    if not called.isprintable() or len(called) > MOST_NAME or len(PurePath(called).parts) != 1:
        raise ImageError(f"its manifest calls it {called[:80]!r}, which is no name of a folder")
    if facts.arch != arch.name:
        raise ImageError(f"what is said to be for {arch.name} is for {facts.arch[:80]!r}")
    if strange := strange_boot(facts):
        raise ImageError(f"its manifest boots {strange}, which is none of its files")
    for row in facts.files:
        path = image.folder / row.name
        if len(PurePath(row.name).parts) != 1 or not path.is_file() or file_digest(path) != row.sha256:
            raise ImageError(f"it has not the {row.name[:80]!r} that its manifest lists")
    return image
