"""The images that commands are asked about, read once the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.build.settings import Settings
from harness.show.frame import progress
from harness.spec import load_image
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.rules.references import source_note


def read_image(paths: Sequence[Path], settings: Settings) -> ImageSpec:
    """Read an image's YAML files, and say which components stand for images of others.

    SpecError with all complaints, UserError when a file cannot be read.
    """
    spec = load_image(paths, library=settings.library)
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
