"""After a night: what of its images is newer on the mirror by now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.arch import by_name
from harness.build import newer
from harness.build.settings import Settings
from harness.errors import HarnessError
from harness.run.inputs import RunInputs
from harness.scratch import scratch
from harness.show.frame import progress
from harness.spec.models.image import ImageSpec


def after_run(read: RunInputs, settings: Settings) -> Iterator[str]:
    """Ask mirrors and registries about each image that was built and each architecture; yield what to note."""
    pairs = dict.fromkeys((cell.image, cell.machine.arch) for cell in read.cells)
    for number, arch in pairs:
        spec = read.images[number]
        if not isinstance(spec, ImageSpec):
            continue
        try:
            with scratch("outdated") as folder:
                asked = newer.ask(spec, by_name(arch), settings, Path(folder), progress)
        except HarnessError as error:
            yield f"whether anything is newer than what {spec.name} {arch} is made of is not known: {error.message}"
            continue
        if asked.rows:
            yield f"{spec.name} {arch}: {newer.summary(asked)} (harness outdated names them)"
