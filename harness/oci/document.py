"""Manifests, indexes and configs, read as a stranger's: bounded, checked, refused with a reason (image-spec 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from harness.arch import Arch
from harness.errors import ImageError, UserError
from harness.files import parse_json
from harness.oci.image import Platform
from harness.text import one_line

LARGEST = 4 << 20  # bytes of a manifest, an index or a config: what registries take, too (distribution-spec)
MOST_VALUES = 50_000  # in one document: an index has ten for each platform, a config five for each layer
MOST_LAYERS = 1000  # storage drivers stop at 128
LARGEST_LAYER = 32 << 30  # bytes, as it is sent

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
CONFIG = "application/vnd.oci.image.config.v1+json"
CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYERS = (
    *(LAYER + packed for packed in ("", "+gzip", "+zstd")),
    *("application/vnd.docker.image.rootfs.diff." + packed for packed in ("tar", "tar.gzip", "tar.zstd")),
)
# an annotation of an index's entries that are attached to another one (buildkit's docs/attestations)
ATTACHMENT = ("vnd.docker.reference.type", "attestation-manifest")
FOREIGN = (".foreign.", ".nondistributable.")  # in the types of layers that registries do not hold
DIGEST = r"^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"


class Reading(BaseModel):
    """A part of a stranger's document, whose names are spelled as JSON spells them."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class PlatformRead(Reading):
    """A platform in an index."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    @property
    def platform(self) -> Platform:
        """It as the harness has it."""
        return Platform(*(_plain(word) for word in (self.os, self.architecture, self.variant)))


class Descriptor(Reading):
    """What a blob is, its digest and its size in bytes (image-spec, descriptor.md)."""

    media_type: str
    digest: str = Field(pattern=DIGEST)
    size: int = Field(ge=0, le=LARGEST_LAYER)
    platform: PlatformRead | None = None
    annotations: dict[str, str] | None = None

    @property
    def algorithm(self) -> str:
        """The hash's name, as hashlib has it."""
        return self.digest.partition(":")[0]


class OciManifest(Reading):
    """An image's manifest for one platform."""

    schema_version: Literal[2]
    media_type: str = MANIFEST
    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(max_length=MOST_LAYERS)


class Index(Reading):
    """An index: manifests, each for its platform."""

    schema_version: Literal[2]
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...]


class _Process(BaseModel):
    """The part of a config that says how to run it; Docker writes null where there is nothing."""

    Entrypoint: list[str] | None = None
    Cmd: list[str] | None = None
    Env: list[str] | None = None
    WorkingDir: str | None = None
    User: str | None = None
    Labels: dict[str, str] | None = None
    Volumes: dict[str, Any] | None = None
    ExposedPorts: dict[str, Any] | None = None
    StopSignal: str | None = None


class _RootFs(BaseModel):
    diff_ids: list[Annotated[str, Field(pattern=DIGEST)]] = Field(max_length=MOST_LAYERS)


class _Config(BaseModel):
    os: str
    architecture: str
    variant: str | None = None
    config: _Process | None = None
    rootfs: _RootFs


def _plain(text: str) -> str:
    """Return a stranger's words fit to be shown: one short line without control characters."""
    return one_line(text, 60)


def load(data: bytes, what: str) -> Any:
    """Return the JSON in `data`, called `what` in complaints. ImageError when it is none, or has too many values."""
    found = parse_json(data, what, ImageError)
    # the model would keep a complaint, a thousand bytes, for each of millions of values that are wrong
    left, count = [found], 0
    while left:
        value = left.pop()
        count += 1
        if isinstance(value, dict | list):
            left.extend(value.values() if isinstance(value, dict) else value)
            if count + len(left) > MOST_VALUES:
                raise ImageError(f"{what} has more than {MOST_VALUES} values")
    return found


def load_object(data: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in `data`. ImageError as `load`."""
    found = load(data, what)
    if not isinstance(found, dict):
        raise ImageError(f"{what} is not a JSON object")
    return found


def explained(error: ValidationError, what: str) -> ImageError:
    """Return what a model complained of first, in words."""
    first = error.errors(include_input=False)[0]
    return ImageError(f"{what}: {_plain('.'.join(map(str, first['loc'])))}: {_plain(first['msg'])}")


def parse(data: bytes, what: str) -> OciManifest | Index:
    """Return the manifest or index in `data`, called `what` in complaints. ImageError when it is neither."""
    found = load_object(data, what)
    if "fsLayers" in found or found.get("schemaVersion") == 1:
        raise ImageError(f"{what} is of Docker's schema 1, which is obsolete", hint="push the image again")
    is_index = "manifests" in found
    # one document that can be read both ways is an attack on whoever reads it the other way (CVE-2021-41190)
    if is_index == ("layers" in found or "config" in found):
        raise ImageError(f"{what} is neither a manifest nor an index")
    kinds = INDEXES if is_index else MANIFESTS
    given = found.get("mediaType")
    if given is not None and given not in kinds:
        raise ImageError(f"{what} is not a container image: its media type is '{_plain(str(given))}'")
    try:
        if is_index:
            return Index.model_validate(found)
        manifest = OciManifest.model_validate(found)
    except ValidationError as error:
        raise explained(error, what) from None
    _check_types(manifest, what)
    return manifest


def _check_types(manifest: OciManifest, what: str) -> None:
    if manifest.config.media_type not in CONFIGS:
        raise ImageError(f"{what} is not a container image: its config is '{_plain(manifest.config.media_type)}'")
    if manifest.config.size > LARGEST:
        raise ImageError(f"{what}: its config is larger than {LARGEST} bytes")
    for layer in manifest.layers:
        if any(word in layer.media_type for word in FOREIGN):
            raise ImageError(
                f"{what}: the layer {layer.digest} is a foreign one: it lies with its publisher, not with the image",
                hint="take an image that holds all of its layers",
            )
        if layer.media_type not in LAYERS:
            raise ImageError(
                f"{what}: the layer {layer.digest} is '{_plain(layer.media_type)}'",
                hint="layers are tar files, plain or packed with gzip or zstd; others cannot be used",
            )


def choose(index: Index, arch: Arch, what: str) -> Descriptor:
    """Return the index's first entry for `arch`. UserError with the platforms there are when it has none.

    The only entry may say no platform: whether it fits is in its config.
    """
    images = [one for one in index.manifests if ATTACHMENT not in (one.annotations or {}).items()]
    known = [(one.platform.platform, one) for one in images if one.platform]
    for platform, one in known:
        if suits(platform, arch):
            return one
    unsaid = [one for one in images if one.platform is None]
    if len(unsaid) == 1 and not known:
        return unsaid[0]
    if unsaid:
        raise UserError(
            f"{what}: {len(unsaid)} of its index's entries say no platform, and no other is for linux/{arch.oci}",
            details="\n".join(one.digest for one in unsaid[:20]),
            hint="name the right one by its digest: IMAGE@sha256:…",
        )
    raise _unsuited(what, arch, [platform for platform, _ in known])


def suits(platform: Platform, arch: Arch) -> bool:
    """Say whether a machine of `arch` runs what is for `platform`."""
    return platform.os == "linux" and platform.architecture == arch.oci and platform.variant in arch.oci_variants


def _unsuited(what: str, arch: Arch, platforms: list[Platform]) -> UserError:
    names = ", ".join(dict.fromkeys(str(one) for one in platforms if one.os != "unknown"))  # attestations are unknown
    return UserError(
        f"{what} is not there for linux/{arch.oci}",
        details=f"it is there for: {names or 'no platform that it names'}",
        hint="another tag or image, or build for these architectures only",
    )


def read_config(data: bytes, manifest: OciManifest, arch: Arch, what: str) -> tuple[Platform, Mapping[str, Any]]:
    """Return an image's platform and config, whose fields have the types of image-spec's config.md (or are null).

    Raises ImageError when it is malformed or has not one ``diff_id`` a layer, UserError when it is not for `arch`.
    """
    found = load_object(data, f"the config of {what}")
    config = _validate_config(found, what)
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise ImageError(
            f"{what} has {len(manifest.layers)} layers, but its config speaks of {len(config.rootfs.diff_ids)}"
        )
    platform = PlatformRead(os=config.os, architecture=config.architecture, variant=config.variant or "").platform
    if not suits(platform, arch):
        raise _unsuited(what, arch, [platform])
    return platform, found


def diff_ids(data: bytes, what: str) -> list[str]:
    """Return the digests of an image's plain layers, as its config has them. ImageError when it is malformed."""
    return _validate_config(load_object(data, f"the config of {what}"), what).rootfs.diff_ids


def _validate_config(found: Mapping[str, Any], what: str) -> _Config:
    try:
        return _Config.model_validate(found)
    except ValidationError as error:
        raise explained(error, f"the config of {what}") from None
