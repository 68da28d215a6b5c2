"""The images that commands are asked about, read once the same way."""

from __future__ import annotations

from collections.abc import Sequence

from harness.build.settings import Settings
from harness.errors import UserError
from harness.show.frame import progress
from harness.spec import load_image
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.named import image_named
from harness.spec.rules.references import source_note


def read_image(name: str | Sequence[str], settings: Settings) -> ImageSpec:
    """Read the YAML files that a name stands for, and say which components stand for images of others.

    SpecError with all complaints, UserError when a file cannot be read, or when the name is of what is not built here.
    """
    named = image_named(name)
    if named.kind == "built":
        raise UserError(f"{named.text} is built already", hint="name its YAML; harness boot takes it as it is")
    spec = load_image(named.paths, library=settings.library)  # which refuses a foreign OS's
    tell(spec)
    return spec


def tell(spec: ImageSpec | OsSpec) -> None:
    """Say on stderr which components of the library stand for what the files name, and what comes from elsewhere."""
    for one in spec.substitutions:
        progress(str(one))
    if isinstance(spec, ImageSpec):
        folders = [path.parent for path in spec.sources]
        for file in spec.files:
            if file.source and (note := source_note(file.source, spec.sources[0], folders)):
                progress(f"files: {file.path}: {note}")
