"""Cells: one image on one machine, from a plan or from options."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths, proc
from harness.arch import Arch, by_name
from harness.errors import HarnessError, UserError
from harness.image import ForeignImage, Image
from harness.measure.sizes import sizes
from harness.run.results import BUILT
from harness.store import file_digest

if TYPE_CHECKING:
    from harness.spec.models.foreign import OsSpec
    from harness.spec.models.image import ImageSpec
    from harness.spec.models.machine import MachineSpec
    from harness.spec.models.plan import Budget, Plan

DEFAULT_PLAN = paths.CASES / "matrix.yml"
SIZE_BUDGET = 35.0  # MB, unless the plan says otherwise


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
    machine_path: str
    arch: str
    size: float
    ready: float | None
    phases: Mapping[str, float] = field(default_factory=dict)
    wall: float | None = None
    folder: str = ""
    problem: str = ""
    finished: bool = False  # by an earlier part of a run that goes on

    @property
    def image_name(self) -> str:
        """The image's name, as plans and people call it."""
        return Path(self.image).stem

    @cached_property
    def built(self) -> Image | ForeignImage:
        """The built image, or the foreign OS."""
        from harness.spec import is_os, load_os

        yaml = Path(self.sources[0])
        return ForeignImage(load_os(yaml)) if is_os(yaml) else Image(Path(self.folder))

    @cached_property
    def spec(self) -> MachineSpec:
        """The machine."""
        from harness.spec import load_machine

        return load_machine(Path(self.machine_path))

    def facts(self) -> dict[str, Any]:
        """Return what results.json says of the cell before anything is built."""
        return {
            "id": self.id,
            "image": self.image,
            "machine": self.machine,
            "arch": self.arch,
            "problem": self.problem,
            "budget": {"size": self.size, "ready": self.ready, "phases": dict(self.phases)},
        }

    def built_facts(self) -> dict[str, Any]:
        """Return what results.json says of the cell once its image is built, or why that could not be."""
        if not self.folder:
            return {**BUILT, "problem": self.problem}
        if isinstance(self.built, ForeignImage):
            files = {path.name: file_digest(path) for path in self.built.parts.shipped.values()}
            about = {"size": self.built.size, "spec": self.built.spec.digest, "files": files}
            return {**BUILT, **about, "problem": self.problem}
        manifest = self.built.manifest
        return {
            "size": self.built.size,
            "sizes": sizes(manifest),
            "spec": manifest["spec"]["sha256"],
            "files": {row["name"]: row["sha256"] for row in manifest["files"] if row["shipped"]},
            "problem": self.problem,
        }


def to_json(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return the cells as plain data."""
    return [asdict(cell) for cell in cells]


def from_json(rows: Iterable[dict[str, Any]]) -> list[Cell]:
    """Return the cells that `to_json` made the data of."""
    return [Cell(**{**row, "sources": tuple(row["sources"])}) for row in rows]


@dataclass(frozen=True)
class Wanted:
    """What the options ask for: a plan, images and machines. Images and machines without a plan are their product.

    ``library`` lets the library's components stand for images of others.
    """

    plan: Path | None = None
    images: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    library: bool = False


@dataclass(frozen=True)
class Pair:
    """An image's YAML files on one machine with its budget."""

    sources: tuple[Path, ...]
    machine: MachineSpec
    size: float
    ready: float | None
    phases: Mapping[str, float] = field(default_factory=dict)
    wall: float | None = None


@dataclass
class Specs:
    """Images read once each."""

    library: bool = False
    images: dict[tuple[Path, ...], ImageSpec | OsSpec] = field(default_factory=dict)

    def image(self, sources: tuple[Path, ...]) -> ImageSpec | OsSpec:
        """Return the image or the foreign OS of some files; SpecError with every complaint."""
        from harness.spec import is_os, load_image, load_os

        if sources not in self.images:
            foreign = len(sources) == 1 and is_os(sources[0])
            self.images[sources] = load_os(sources[0]) if foreign else load_image(sources, library=self.library)
        return self.images[sources]


def pairs(wanted: Wanted) -> list[Pair]:
    """Return what is to be run, in the plan's order; UserError or SpecError when the files are wrong."""
    from harness.spec import load_machine, load_plan

    if wanted.plan is None and wanted.images and wanted.machines:
        machines = [load_machine(name) for name in wanted.machines]
        return [Pair(split(image), machine, SIZE_BUDGET, None) for image in wanted.images for machine in machines]
    plan = load_plan(wanted.plan or DEFAULT_PLAN)
    found: list[Pair] = []
    for image in plan.images:
        for name in image.machines or plan.machines:
            machine = load_machine(name)
            budget = [image.budgets.get(machine.name), image.budgets.get(machine.arch), image.budget, plan.budget]
            phases = {name: ms for one in reversed(budget) if one is not None for name, ms in one.phases.items()}
            size, wall = _first(budget, "size") or SIZE_BUDGET, _first(budget, "wall")
            found.append(Pair(split(str(image.path)), machine, size, _first(budget, "ready"), phases, wall))
    return _filtered(found, wanted, plan)


def _first(budgets: Sequence[Budget | None], key: str) -> float | None:
    return next((value for one in budgets if one is not None and (value := getattr(one, key)) is not None), None)


def _filtered(found: list[Pair], wanted: Wanted, plan: Plan) -> list[Pair]:
    """Keep the pairs that `--image` and `--machine` name, by name or by path."""
    kept = found
    for what, wants, names in (("image", wanted.images, _image_names), ("machine", wanted.machines, _machine_names)):
        known = {name for pair in found for name in names(pair)}
        for name in wants:
            if _plain(name) not in known:
                short = sorted(one for one in known if "/" not in one)
                raise UserError(f"the plan {plan.path} has no {what} {name!r}", hint=f"it has: {', '.join(short)}")
        chosen = {_plain(name) for name in wants}
        kept = [pair for pair in kept if not chosen or chosen & names(pair)]
    if found and not kept:
        raise UserError(f"the plan {plan.path} has none of these images on any of these machines")
    return kept


def _plain(name: str) -> str:
    """Return a name as it is, a path as one that can be compared."""
    return str(Path(name).resolve()) if "/" in name or name.endswith((".yml", ".yaml")) else name


def _image_names(pair: Pair) -> set[str]:
    return {pair.sources[0].stem, str(pair.sources[0].resolve())}


def _machine_names(pair: Pair) -> set[str]:
    return {pair.machine.name, str(pair.machine.path.resolve())}


def split(text: str) -> tuple[Path, ...]:
    """Return the files of what `text` names; a built folder has none that a run could be of."""
    from harness.spec.named import image_named

    named = image_named(text)
    if named.kind == "built":
        raise UserError(
            f"{text} is built already", hint="a run is of images' YAML: name that; harness boot takes a folder"
        )
    return named.paths


def shown(path: Path) -> str:
    """Return a path as results name it: relative to the current folder or to where the harness lies, if beneath."""
    full = path.resolve()
    for base in (Path.cwd(), paths.TOP):
        if full.is_relative_to(base):
            return str(full.relative_to(base))
    return os.path.normpath(path)


@dataclass(frozen=True)
class Planned:
    """A cell to come, and what its image is made of."""

    cell: Cell
    spec: ImageSpec | OsSpec


def planned(wanted: Wanted) -> list[Planned]:
    """Read every file that is wanted and return all cells, not built yet; UserError or SpecError for what is wrong.

    A cell that this host cannot boot carries the reason.
    """
    specs = Specs(wanted.library)
    todo = pairs(wanted)
    emulated = {pair.machine.arch for pair in todo if pair.machine.qemu}
    problems = {arch: qemu_problem(by_name(arch)) for arch in emulated}
    found = [(pair, specs.image(pair.sources)) for pair in todo]
    cells = [
        Cell(
            id=re.sub(r"[^\w.-]", "_", f"{spec.name}-{pair.machine.name}"),
            image=shown(pair.sources[0]),
            sources=tuple(str(path.resolve()) for path in pair.sources),
            machine=pair.machine.name,
            machine_path=str(pair.machine.path.resolve()),
            arch=pair.machine.arch,
            size=pair.size,
            ready=pair.ready,
            phases=pair.phases,
            wall=pair.wall,
            problem=problems[pair.machine.arch] if pair.machine.qemu else "",
        )
        for pair, spec in found
    ]
    return [Planned(cell, spec) for cell, (_, spec) in zip(_distinct(cells), found, strict=True)]


def check(wanted: Wanted, told: Callable[[ImageSpec | OsSpec], None]) -> list[Path]:
    """Read every file that is wanted and return the plan's own cases; UserError or SpecError for what is wrong.

    `told` hears of each image.
    """
    from harness.spec import load_plan

    for spec in {one.spec.sources: one.spec for one in planned(wanted)}.values():
        told(spec)
    return list(load_plan(wanted.plan).cases) if wanted.plan else []


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
