"""The images that commands are asked about, read once the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.build.settings import Settings
from harness.errors import UserError
from harness.show.frame import progress
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.named import image_named
from harness.spec.rules.references import kind_of, source_note


def read_image(name: str | Sequence[str], settings: Settings) -> ImageSpec:
    """Read the YAML files that a name stands for, and say which components stand for images of others.

    SpecError with all complaints, UserError when a file cannot be read, or when the name is of what is not built here.
    """
    named = image_named(name)
    if named.kind == "built":
        raise UserError(f"{named.text} is built already", hint="name its YAML; harness boot takes it as it is")
    spec = named.load_image(library=settings.library)  # which refuses a foreign OS's
    tell(spec)
    return spec


def tell(spec: ImageSpec | OsSpec) -> None:
    """Say on stderr which components of the library stand for what the files name, and what comes from elsewhere."""
    for one in spec.substitutions:
        progress(str(one))
    if isinstance(spec, ImageSpec):
        for path, note in _from_elsewhere(spec):
            progress(f"files: {path}: {note}")


def _from_elsewhere(spec: ImageSpec) -> Iterator[tuple[str, str]]:
    """Yield the paths of an image's files that lie outside of its YAML's folder, and where each was found."""
    folders = [path.parent for path in spec.sources]
    for file in spec.files:
        if file.source and (note := source_note(file.source, spec.sources[0], folders)):
            yield file.path, note


def private_part(spec: ImageSpec) -> str:
    """Return what of an image may not be for everybody's eyes; empty where nothing is.

    Files of the host from elsewhere than beside its YAML, and OCI images: whether a registry would give one to anybody
    is not known.
    """
    image = next((one for one in spec.references if kind_of(one) == "oci"), "")
    return next((path for path, _ in _from_elsewhere(spec)), "") or image
