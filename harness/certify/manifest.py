"""What is read of a stranger's manifest: its fields, typed."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from harness.image import OWN_INIT
from harness.spec.models.base import SHIPPED, Model
from harness.spec.models.image import Substitution


class _Row(Model):
    model_config = ConfigDict(extra="ignore")


class ManifestFile(_Row):
    """A file of a manifest."""

    name: str
    size: Annotated[int, Field(ge=0)]
    sha256: str
    shipped: bool


class ManifestSpec(_Row):
    """The YAML files of a manifest."""

    files: tuple[str, ...]
    sha256: str


class DeclaredContainer(_Row):
    """What a manifest says that a container declares."""

    capabilities: tuple[str, ...]
    reach: tuple[str, ...] = ()
    ours: bool = False
    follows: tuple[str, ...] = ()
    readonly: bool
    binds: tuple[tuple[str, str], ...]
    restart: str
    ready: int | None = None
    ports: tuple[int, ...]
    udp: tuple[int, ...] = ()
    raw: tuple[int, ...] = ()
    mounts: tuple[str, ...]


class ManifestRoot(_Row):
    """The root file system of a manifest."""

    sha256: str
    size: Annotated[int, Field(ge=0)]
    file: str = ""  # of the image, in which it lies


class ManifestComponent(_Row):
    """A part of a manifest's root."""

    section: str
    name: str
    own: Annotated[int, Field(ge=0)]


class ManifestFacts(_Row):
    """What is read of a manifest."""

    name: str
    arch: str
    spec: ManifestSpec
    cmdline: str
    init: str = OWN_INIT  # a manifest from before it was written down
    expect: dict[str, dict[str, DeclaredContainer]]
    acts: tuple[str, ...] = ()
    substitutions: tuple[Substitution, ...] = ()
    files: tuple[ManifestFile, ...]
    boot: dict[str, str] = Field(default_factory=dict)
    root: ManifestRoot
    components: tuple[ManifestComponent, ...]


def strange_boot(facts: ManifestFacts) -> str:
    """Return what a manifest boots that is none of its files, as words; empty where there is nothing.

    A part that is booted is a file on whoever's host boots it.
    """
    names = {row.name for row in facts.files}
    for part, name in facts.boot.items():
        if part not in (*SHIPPED, "probe") or name not in names or "/" in name:
            return f"{part} {name[:100]!r}"
    return ""


MANIFEST_FACTS: TypeAdapter[ManifestFacts] = TypeAdapter(ManifestFacts)
