"""Cells: one image on one machine. From a plan, or from options, to images that are built and cells that can run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths, proc
from harness.arch import Arch, by_name
from harness.errors import HarnessError, HostError, UserError
from harness.image import Image
from harness.measure.sizes import sizes

if TYPE_CHECKING:
    from harness.spec.model import Budget, ImageSpec, MachineSpec, Plan

DEFAULT_PLAN = paths.CASES / "matrix.yml"
SIZE_BUDGET = 35.0  # MB, unless the plan says otherwise


@dataclass(frozen=True)
class Cell:
    """One image on one machine, in terms that can be sent to another process.

    ``size`` (MB) and ``ready`` (exact ms) are its budgets; ``problem`` says why it cannot be run.
    """

    id: str
    image: str  # the first YAML's path, as results name it
    sources: tuple[str, ...]
    machine: str
    machine_path: str
    arch: str
    size: float
    ready: float | None
    folder: str = ""
    problem: str = ""

    @cached_property
    def built(self) -> Image:
        """The built image."""
        return Image(Path(self.folder))

    @cached_property
    def spec(self) -> MachineSpec:
        """The machine."""
        from harness.spec import load_machine

        return load_machine(Path(self.machine_path))

    def facts(self) -> dict[str, Any]:
        """Return what results.json says of the cell before anything has booted."""
        return {
            "id": self.id,
            "image": self.image,
            "machine": self.machine,
            "arch": self.arch,
            "size": self.built.size if self.folder else None,
            "sizes": sizes(self.built.manifest) if self.folder else {},
            "spec": self.built.manifest["spec"]["sha256"] if self.folder else None,
            "files": {row["name"]: row["sha256"] for row in self.built.manifest["files"] if row["shipped"]}
            if self.folder
            else {},
            "problem": self.problem,
            "budget": {"size": self.size, "ready": self.ready},
        }


def to_json(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return the cells as plain data."""
    return [asdict(cell) for cell in cells]


def from_json(rows: Iterable[dict[str, Any]]) -> list[Cell]:
    """Return the cells that `to_json` made the data of."""
    return [Cell(**{**row, "sources": tuple(row["sources"])}) for row in rows]


@dataclass(frozen=True)
class Wanted:
    """What the options ask for: a plan, images and machines. Images and machines without a plan are their product."""

    plan: Path | None = None
    images: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """An image's YAML files on one machine with its budget."""

    sources: tuple[Path, ...]
    machine: MachineSpec
    size: float
    ready: float | None


@dataclass
class Specs:
    """Images and machines read once each."""

    images: dict[tuple[Path, ...], ImageSpec] = field(default_factory=dict)

    def image(self, sources: tuple[Path, ...]) -> ImageSpec:
        """Return the image of some files; SpecError with every complaint."""
        from harness.spec import load_image

        if sources not in self.images:
            self.images[sources] = load_image(sources)
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
            found.append(Pair((image.path,), machine, _first(budget, "size") or SIZE_BUDGET, _first(budget, "ready")))
    return _filtered(found, wanted, plan)


def _first(budgets: Sequence[Budget | None], key: str) -> float | None:
    return next((value for one in budgets if one is not None and (value := getattr(one, key)) is not None), None)


def _filtered(found: list[Pair], wanted: Wanted, plan: Plan) -> list[Pair]:
    """Keep the pairs that `--image` and `--machine` name: an image by its path or its name."""
    for what, names, known in (
        ("image", wanted.images, {name for pair in found for name in _names(pair)}),
        ("machine", wanted.machines, {pair.machine.name for pair in found}),
    ):
        for name in names:
            if _plain(name) not in known:
                short = sorted(one for one in known if "/" not in one)
                raise UserError(f"the plan {plan.path} has no {what} {name!r}", hint=f"it has: {', '.join(short)}")
    images, machines = {_plain(name) for name in wanted.images}, set(wanted.machines)
    return [
        pair
        for pair in found
        if (not images or images & _names(pair)) and (not machines or pair.machine.name in machines)
    ]


def _plain(name: str) -> str:
    return str(Path(name).resolve()) if "/" in name or name.endswith(".yml") else name


def _names(pair: Pair) -> set[str]:
    return {pair.sources[0].stem, str(pair.sources[0].resolve())}


def split(text: str) -> tuple[Path, ...]:
    """Return an image's files: `A.yml+B.yml` stands for two that are merged in order."""
    return (Path(text),) if Path(text).exists() else tuple(Path(part) for part in text.split("+"))


def shown(path: Path) -> str:
    """Return a path as results name it: relative to the current folder or to where the harness lies, if beneath."""
    full = path.resolve()
    for base in (Path.cwd(), paths.TOP):
        if full.is_relative_to(base):
            return str(full.relative_to(base))
    return os.path.normpath(path)


def check(wanted: Wanted) -> list[Path]:
    """Read every file that is wanted and return the plan's own cases; UserError or SpecError for what is wrong."""
    from harness.spec import load_plan

    specs = Specs()
    for pair in pairs(wanted):
        specs.image(pair.sources)
    return list(load_plan(wanted.plan).cases) if wanted.plan else []


Progress = Callable[[str], None]


def prepare(wanted: Wanted, cache: Path | None, progress: Progress) -> list[Cell]:
    """Build every image that is wanted and return all cells; one whose host lacks something carries the reason.

    Raises UserError or SpecError for wrong files, before anything is built.
    """
    from harness.build.pipeline import Builder

    specs = Specs()
    todo = pairs(wanted)
    for pair in todo:
        specs.image(pair.sources)
    problems = {pair.machine.arch: qemu_problem(by_name(pair.machine.arch)) for pair in todo}
    wants = list(dict.fromkeys((pair.sources, pair.machine.arch) for pair in todo if not problems[pair.machine.arch]))
    builder = Builder(settings(cache), progress)

    def build(want: tuple[tuple[Path, ...], str]) -> tuple[str, str]:
        try:
            return str(builder.build(specs.image(want[0]), by_name(want[1])).folder), ""
        except HostError as error:
            return "", str(error)

    pool = ThreadPoolExecutor(max_workers=max(1, min(len(wants), (os.cpu_count() or 1) + 1)))
    try:
        built = dict(zip(wants, pool.map(build, wants), strict=True))
    finally:
        # Ctrl-C shall not wait for what has not begun
        pool.shutdown(wait=False, cancel_futures=True)
    cells: list[Cell] = []
    for pair in todo:
        folder, problem = built.get((pair.sources, pair.machine.arch), ("", problems[pair.machine.arch]))
        cells.append(
            Cell(
                id=re.sub(r"[^\w.-]", "_", f"{specs.image(pair.sources).name}-{pair.machine.name}"),
                image=shown(pair.sources[0]),
                sources=tuple(str(path.resolve()) for path in pair.sources),
                machine=pair.machine.name,
                machine_path=str(pair.machine.path.resolve()),
                arch=pair.machine.arch,
                size=pair.size,
                ready=pair.ready,
                folder=folder,
                problem=problem,
            )
        )
    return _distinct(cells)


def settings(cache: Path | None) -> Any:
    """Return the build's settings for a cache folder."""
    from harness.build.settings import Settings

    return Settings(cache=cache) if cache else Settings()


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
