"""What an image's YAML declares, beside what its manifest says of that: cases judge the image by the manifest.

A component of the harness's library is known here, so all that it adds is too. What an OCI image's label or a
vendor's own component adds is not: of those only what the YAML itself says is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.arch import ARCHES
from harness.build.bundle import kept, make
from harness.build.ids import labels, numbered
from harness.build.promises import promises
from harness.build.reach import Paths, acts, is_ours, links_of, turned
from harness.certify.manifest import ManifestFacts
from harness.errors import EvidenceError
from harness.image import OWN_INIT
from harness.spec import load_component
from harness.spec.labels import merge
from harness.spec.models.container import Entry, EntryConfig
from harness.spec.models.image import ImageFile
from harness.spec.rules.annotations import settings
from harness.spec.rules.common import SECTIONS
from harness.spec.rules.image import image_references
from harness.spec.rules.references import kind_of, library
from harness.spec.substitutes import substitute
from harness.spec.text.reader import Document, mapping_of
from harness.spec.text.shape import check

OTHER_INIT = "image"  # a manifest's word for an init that is not the harness's own


@dataclass(frozen=True)
class Declared:
    """What an image's YAML files declare, merged as a build merges them."""

    cmdline: str
    kernel: str
    init: tuple[str, ...]
    files: Mapping[str, str]  # the paths of those that are its own, each with what it is a link to
    volumes: Mapping[str, bool]  # of each, whether it is read-only
    entries: Mapping[str, Mapping[str, Entry]]  # by section and label

    @property
    def ids(self) -> dict[str, int]:
        """The numbers that containers' names stand for."""
        return numbered([entry.name for section in SECTIONS for entry in self.entries[section].values()])


def agree(
    manifest: str, documents: Iterable[Document], facts: ManifestFacts, yamls: tuple[str, ...], digest: str
) -> None:
    """Compare what a manifest says of the image's YAML files with them; EvidenceError names the first difference."""
    said = declared(documents, substituted=bool(facts.substitutions))
    rows: list[tuple[str, object, object]] = [
        ("name", facts.name, Path(yamls[0]).stem),
        ("arch", facts.arch in ARCHES, True),
        ("spec.files", facts.spec.files, yamls),
        ("spec.sha256", facts.spec.sha256, digest),
        ("cmdline", facts.cmdline, said.cmdline),
    ]
    rows.append(("acts", list(facts.acts), acts(said.kernel, said.cmdline, said.init, said.files, library())))
    if (init := _init(said.init)) is not None:
        rows.append(("init", facts.init, init))
    for section in SECTIONS:
        rows.append((f"expect.{section}", tuple(facts.expect.get(section, ())), tuple(said.entries[section])))
    for key, there, found in rows:
        _same(manifest, key, there, found)
    # of a container whose label is not known here the manifest alone tells
    followed = [Paths(row.follows, ()) for rows in facts.expect.values() for row in rows.values()]
    for section, entries in said.entries.items():
        for name, entry in entries.items():
            row = facts.expect[section][name].model_dump(mode="json")
            for key, found in _keys(entry, section, said, followed):
                _same(manifest, f"expect.{section}.{name}.{key}", row[key], found)


def _same(manifest: str, key: str, said: object, found: object) -> None:
    if said != found:
        raise EvidenceError(f"{manifest} says of {key} what the image's YAML does not", details=f"{said}: {found}")


def declared(documents: Iterable[Document], *, substituted: bool) -> Declared:
    """Return what documents declare, the library's components in their places where they were `substituted`.

    EvidenceError where a document is no image's.
    """
    cmdline = kernel = ""
    init: list[str] = []
    own: dict[str, str] = {}
    volumes: dict[str, bool] = {}
    found: dict[str, list[Entry]] = {section: [] for section in SECTIONS}
    for document in documents:
        # a package's folder lies on the vendor's host, and nothing of this one is read in its place
        if substituted and not any(kind_of(one) == "package" for _, one in image_references(mapping_of(document))):
            substitute(document)
        file, problems = check(ImageFile, document, {})
        if file is None:
            details = "\n".join(map(str, map(document.complain, problems)))
            raise EvidenceError(f"{document.file.name} is wrong", details=details[:4000])
        cmdline = file.kernel.cmdline or cmdline
        kernel = file.kernel.image or kernel
        init += file.init
        own |= {one.path: one.symlink for one in file.files}
        volumes |= {one.name: one.readonly for one in file.volumes}
        for section in SECTIONS:
            found[section] += getattr(file, section)
    entries = {
        section: dict(zip(labels([entry.name for entry in rows]), rows, strict=True)) for section, rows in found.items()
    }
    return Declared(cmdline, kernel, tuple(init), own, volumes, entries)


def _config(reference: str) -> EntryConfig | None:
    """Return what a component of the library adds to an entry; None of any other image."""
    path = library().get(reference) if kind_of(reference) == "component" else None
    return load_component(path).config if path else None


def _init(references: tuple[str, ...]) -> str | None:
    """Return what a manifest has to say of an init that is put together of `references`; None when it may be either."""
    paths = [library().get(one) for one in references if kind_of(one) == "component"]
    if any(load_component(path).guest for path in paths if path):
        return OWN_INIT
    return None if any(kind_of(one) == "package" for one in references) else OTHER_INIT


def _keys(entry: Entry, section: str, said: Declared, followed: list[Paths]) -> Iterator[tuple[str, object]]:
    """Yield what the manifest's row of a container must say, as far as it is known here."""
    label = _config(entry.image)
    config = merge(label or EntryConfig(), entry)
    known = label is not None
    links = links_of(said.files)
    yield "ours", is_ours(entry, library(), links)
    if label is not None:
        made = make(entry, label, said.ids, said.volumes)
        yield "reach", sorted({*made.reach, *turned(made.paths, followed, links)})
        yield "follows", list(made.paths.follows)
    if known or (entry.capabilities is not None and entry.ambient is not None):
        yield "capabilities", sorted({*kept(config.capabilities), *kept(config.ambient)})
    if known or entry.readonly is not None:
        yield "readonly", bool(config.readonly)
    if known or entry.annotations is not None:  # an entry's take the place of all that a label has
        yield from promises(settings(config.annotations), section).items()
