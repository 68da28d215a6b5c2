"""Cells: one image on one machine, from a plan or from options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness import proc
from harness.arch import Arch, by_name
from harness.build.settings import Settings
from harness.errors import HarnessError
from harness.image import ForeignImage, Image
from harness.measure.sizes import sizes
from harness.run.inputs import BuiltInput, RunInputs, shown
from harness.run.results import BUILT
from harness.run.results_model import CellBudget
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.models.machine import MachineSpec
from harness.store import digest_of


@dataclass(frozen=True)
class Cell:
    """One image on one machine, in terms that can be sent to another process.

    ``size`` (MB), ``ready`` and ``phases`` (exact ms) and ``wall`` (s) are its budgets; ``folder`` is its image's once
    that is built; ``problem`` says why it cannot be run.
    """

    id: str
    image: str  # the first YAML's path, as results name it
    sources: tuple[str, ...]
    machine: str
    spec: MachineSpec
    arch: str
    size: float
    ready: float | None
    phases: Mapping[str, float] = field(default_factory=dict)
    wall: float | None = None
    format: str = Settings.format
    folder: str = ""
    problem: str = ""
    finished: bool = False  # by an earlier part of a run that goes on
    os: OsSpec | None = None  # where the image is a foreign OS
    texts: Mapping[str, str] = field(default_factory=dict)  # the image's YAML files by path, as they were read

    @property
    def image_name(self) -> str:
        """The image's name, as plans and people call it."""
        return Path(self.image).stem

    @cached_property
    def built(self) -> Image | ForeignImage:
        """The built image, or the foreign OS."""
        return ForeignImage(self.os) if self.os else Image(Path(self.folder))

    @property
    def budget(self) -> CellBudget:
        """What the plan allows, as results say it."""
        return CellBudget(size=self.size, ready=self.ready, phases=dict(self.phases))

    def facts(self) -> dict[str, Any]:
        """Return what results.json says of the cell before anything is built."""
        return {
            "id": self.id,
            "image": self.image,
            "format": self.format,
            "machine": self.machine,
            "arch": self.arch,
            "problem": self.problem,
            "budget": self.budget.model_dump(),
        }

    def built_facts(self) -> dict[str, Any]:
        """Return what results.json says of the cell once its image is built, or why that could not be."""
        if not self.folder:
            return {**BUILT, "problem": self.problem}
        image = self.built
        return {
            "size": image.size,
            "sizes": sizes(image.manifest),
            "spec": image.spec_digest,
            "files": image.digests,
            "inputs": {"YAML": image.spec_digest, **made_of(image.manifest, image.digests, self.spec)},
            "problem": self.problem,
        }


def made_of(manifest: Mapping[str, Any], files: Mapping[str, str], machine: MachineSpec) -> dict[str, str]:
    """Return by name what a boot is made of besides the image's YAML; `files` are the digests of what is shipped."""
    found = {name: str(manifest[name]) for name in ("kernel", "suite", "compression", "format") if name in manifest}
    if own := manifest.get("own_files"):
        found["files"] = digest_of([row[:3] for row in own])  # as they were when there was no SHA-512
    for row in manifest.get("images", ()):
        found[f"image {row['reference']}"] = str(row["digest"])
    versions: dict[str, set[str]] = {}
    for row in manifest.get("packages", ()):
        versions.setdefault(row["name"], set()).add(str(row["version"]))
    found |= {f"package {name}": ", ".join(sorted(some)) for name, some in versions.items()}
    return {**found, "machine": machine.digest, "bytes": digest_of(dict(files))}


def to_json(cells: Iterable[Cell]) -> str:
    """Return the cells as JSON, for another process of the run."""
    return _CELLS.dump_json(list(cells)).decode()


def from_json(text: str) -> list[Cell]:
    """Return the cells that `to_json` made the text of."""
    return _CELLS.validate_json(text)


_CELLS = TypeAdapter(list[Cell])


@dataclass(frozen=True)
class Planned:
    """A cell to come, and what its image is made of."""

    cell: Cell
    spec: ImageSpec | OsSpec | BuiltInput


def planned(inputs: RunInputs) -> list[Planned]:
    """Return all cells of what was read, not built yet; one that this host cannot boot carries the reason."""
    emulated = {one.machine.arch for one in inputs.cells if one.machine.qemu}
    problems = {arch: qemu_problem(by_name(arch)) for arch in emulated}
    found = [(one, inputs.images[one.image]) for one in inputs.cells]
    cells = [
        Cell(
            id=re.sub(r"[^\w.-]", "_", "-".join([spec.name, one.machine.name, *_other(one.format)])),
            image=shown(spec.sources[0]),
            sources=tuple(str(path.resolve()) for path in spec.sources),
            machine=one.machine.name,
            spec=one.machine,
            arch=one.machine.arch,
            size=one.size,
            ready=one.ready,
            phases=one.phases,
            wall=one.wall,
            format=one.format,
            os=spec if isinstance(spec, OsSpec) else None,
            texts={name: inputs.texts[name] for name in (str(path.resolve()) for path in spec.sources)
                   if name in inputs.texts},
            problem=problems[one.machine.arch] if one.machine.qemu else "",
        )
        for one, spec in found
    ]  # fmt: skip
    return [Planned(cell, spec) for cell, (_, spec) in zip(_distinct(cells), found, strict=True)]


def _other(format_: str) -> list[str]:
    return [] if format_ == Settings.format else [format_]


def qemu_problem(arch: Arch) -> str:
    """Return why the host cannot boot an architecture, with the package to install; empty when it can."""
    try:
        proc.resolve(arch.qemu)
        proc.resolve("setpriv")
    except HarnessError as error:
        return str(error)
    return ""


def _distinct(cells: list[Cell]) -> list[Cell]:
    """Give images of the same name in different folders ids of their own."""
    count: dict[str, int] = {}
    made = []
    for cell in cells:
        count[cell.id] = count.get(cell.id, 0) + 1
        made.append(cell if count[cell.id] == 1 else replace(cell, id=f"{cell.id}-{count[cell.id]}"))
    return made
