"""The images of a run: built side by side before the first case."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import by_name
from harness.errors import HostError

if TYPE_CHECKING:
    from harness.build.settings import Settings
    from harness.image import Image
    from harness.run.cells import Cell, Planned
    from harness.run.inputs import BuiltInput
    from harness.spec.models.foreign import OsSpec
    from harness.spec.models.image import ImageSpec

BuildProgress = Callable[[str], None]
BuildKey = tuple[tuple[str, ...], str, str]  # an image's sources, its architecture and its format
BuildEvent = Callable[["Cell"], None]


def build(planned: Sequence[Planned], settings: Settings, progress: BuildProgress, told: BuildEvent) -> list[Cell]:
    """Build each image once and return the cells with their folders; one whose host lacks something has the reason.

    `told` hears of each cell once that is known. Raises UserError for what shows only while building.
    """
    from harness.build.pipeline import Builder
    from harness.run.inputs import BuiltInput
    from harness.spec.models.foreign import OsSpec

    wants: dict[BuildKey, ImageSpec | OsSpec | BuiltInput] = {}
    for one in planned:
        if not one.cell.problem:
            wants.setdefault(_key(one.cell), one.spec)
    builder = Builder(settings, progress)

    def make(key: BuildKey) -> tuple[str, str]:
        spec = wants[key]
        try:
            if isinstance(spec, BuiltInput):
                there = spec.path.resolve()
            elif isinstance(spec, OsSpec):  # nothing to build
                there = spec.path.parent
            else:
                there = builder.build(spec, by_name(key[1]), key[2]).folder
            made = str(there), ""
        except HostError as error:
            made = "", str(error)
        for one in planned:
            if _key(one.cell) == key and not one.cell.problem:
                told(replace(one.cell, folder=made[0], problem=made[1]))
        return made

    pool = ThreadPoolExecutor(max_workers=max(1, min(len(wants), (os.cpu_count() or 1) + 1)))
    try:
        built = dict(zip(wants, pool.map(make, wants), strict=True))
    finally:
        # Ctrl-C shall not wait for what has not begun
        pool.shutdown(wait=False, cancel_futures=True)
    if all(folder for folder, _ in built.values()):
        # a lock that lacks what this host could not resolve today would refuse it tomorrow
        builder.save_lock()
    return list(_filled((one.cell for one in planned), built))


def _key(cell: Cell) -> BuildKey:
    return cell.sources, cell.arch, cell.format


def _filled(cells: Iterable[Cell], built: dict[BuildKey, tuple[str, str]]) -> Iterable[Cell]:
    for cell in cells:
        folder, problem = built.get(_key(cell), ("", cell.problem))
        yield replace(cell, folder=folder, problem=problem)


def build_more(sources: Sequence[Path], arch: str, settings: Settings, contents: Mapping[str, bytes]) -> Image:
    """Build one more image, from YAML files that are merged in order; `contents` are those that were read before."""
    from harness.build.pipeline import Builder
    from harness.spec import load_image

    return Builder(settings).build(load_image(sources, library=settings.library, contents=contents), by_name(arch))
