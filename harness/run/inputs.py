"""What a run is of: plan, machines and images, each read once by whoever starts the run.

Every other process of the run is handed what was read, as frozen objects that carry the digests of their files: who
edits a file while the run goes on changes the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, ValidationError

from harness import paths
from harness.arch import by_name
from harness.build.settings import Settings
from harness.errors import UserError
from harness.files import LARGEST_JSON, write
from harness.files import read as read_bytes
from harness.image import Image
from harness.spec.foreign import with_password
from harness.spec.models.base import Model
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.models.machine import MachineSpec
from harness.spec.models.plan import Budget, Plan
from harness.spec.named import NamedImage, image_named
from harness.spec.rules.images import files_of
from harness.spec.rules.references import nearest_machine
from harness.spec.text.complaints import nearest
from harness.text import names as names_

DEFAULT_PLAN = paths.CASES / "matrix.yml"
SIZE_BUDGET = 35.0  # MB, unless the plan says otherwise
# in the environment of pytest: the file of what `harness matrix` has read
HANDED = "HARNESS_INPUTS"


@dataclass(frozen=True)
class Wanted:
    """What the options ask for: a plan, images and machines. Images and machines without a plan are their product.

    ``library`` lets the library's components stand for images of others; ``formats`` stand in the place of the plan's,
    and ``verity`` means those of the same kind with a verified root.
    """

    plan: Path | None = None
    images: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    library: bool = False
    formats: tuple[str, ...] = ()
    verity: bool = False


class CellInputs(Model):
    """An image (by its place among the run's) on a machine, with its budget."""

    image: int
    machine: MachineSpec
    size: float
    ready: float | None = None
    phases: dict[str, float] = Field(default_factory=dict)
    wall: float | None = None
    format: str = Settings.format


class BuiltInput(Model):
    """An image that is built already: its folder, and what its manifest says. Nothing of it is built again."""

    path: Path
    name: str
    arch: str
    substitutions: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[Path, ...]:
        """What it was read from: its folder."""
        return (self.path,)


class RunInputs(Model):
    """All that was read. ``texts`` are the images' YAML files by path, for images that more YAML is added to."""

    plan: Plan | None = None
    images: tuple[ImageSpec | OsSpec | BuiltInput, ...] = ()
    cells: tuple[CellInputs, ...] = ()
    texts: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    """An image on one machine with its budget."""

    image: NamedImage
    machine: MachineSpec
    size: float
    ready: float | None
    phases: Mapping[str, float] = field(default_factory=dict)
    wall: float | None = None
    format: str = Settings.format


def read(wanted: Wanted) -> RunInputs:
    """Read every file that is wanted; UserError or SpecError for what is wrong."""
    plan, pairs = _pairs(wanted)
    images: dict[tuple[Path, ...], ImageSpec | OsSpec | BuiltInput] = {}
    texts: dict[str, str] = {}
    for named in dict.fromkeys(pair.image for pair in pairs):
        if named.paths in images:
            continue  # by another name
        if named.kind == "yaml":
            images[named.paths] = named.load_image(library=wanted.library)
            texts |= {name: data.decode() for name, data in named.contents.items()}
        else:
            images[named.paths] = _built(named.paths[0]) if named.kind == "built" else named.load_os()
    for pair in pairs:
        _refuse_other_arch(images[pair.image.paths], pair.machine)
    order = list(images)
    cells = tuple(
        CellInputs(image=order.index(pair.image.paths), machine=pair.machine, size=pair.size, ready=pair.ready,
                   phases=dict(pair.phases), wall=pair.wall, format=pair.format)
        for pair in pairs
    )  # fmt: skip
    return RunInputs(plan=plan, images=tuple(images.values()), cells=cells, texts=texts)


def _built(folder: Path) -> BuiltInput:
    image = Image(folder)
    return BuiltInput(path=folder, name=image.name, arch=image.arch.name)


def _refuse_other_arch(image: ImageSpec | OsSpec | BuiltInput, machine: MachineSpec) -> None:
    """What is made already is for one architecture; what is built here is built for the machine's."""
    arch = "" if isinstance(image, ImageSpec) else image.arch
    if arch and arch != machine.arch:
        raise UserError(
            f"{image.name} is for {arch}, but {machine.name} is {machine.arch}",
            hint="an image of a plan may name its own `machines`",
        )


def hand_over(inputs: RunInputs, path: Path) -> None:
    """Write what was read for another process of the run; passwords stay in the environment."""
    images = tuple(_without_password(one) if isinstance(one, OsSpec) else one for one in inputs.images)
    write(path, inputs.model_copy(update={"images": images}).model_dump_json())


def handed(path: Path) -> RunInputs:
    """Return what `hand_over` wrote; UserError when it cannot be read."""
    try:
        found = RunInputs.model_validate_json(read_bytes(path, LARGEST_JSON))
    except UserError as error:
        raise UserError(error.message, hint=f"unset {HANDED}") from None
    except ValidationError as error:
        raise UserError(f"cannot read {path}: {error}", hint=f"unset {HANDED}") from None
    images = (one.model_copy(update={"login": with_password(one)}) if isinstance(one, OsSpec) else one
              for one in found.images)  # fmt: skip
    return found.model_copy(update={"images": tuple(images)})


def _without_password(spec: OsSpec) -> OsSpec:
    if spec.login is None or spec.login.password_env is None:
        return spec
    return spec.model_copy(update={"login": spec.login.model_copy(update={"password": None})})


def _pairs(wanted: Wanted) -> tuple[Plan | None, list[_Pair]]:
    """Return the plan and what is to be run, in its order; UserError or SpecError when the files are wrong."""
    from harness.spec import load_machine, load_plan

    if wanted.plan is None and wanted.images and wanted.machines:
        machines = [load_machine(name) for name in wanted.machines]
        both = [(image, machine) for image in _named(wanted.images) for machine in machines]
        pairs = (_Pair(image, machine, SIZE_BUDGET, None) for image, machine in both)
        return None, [one for pair in pairs for one in _in_formats(pair, wanted.formats, wanted)]
    plan = load_plan(wanted.plan or DEFAULT_PLAN)
    found: list[_Pair] = []
    for image, named in zip(plan.images, _named([str(image.path) for image in plan.images]), strict=True):
        for name in image.machines or plan.machines:
            machine = load_machine(name)
            budget = [image.budgets.get(machine.name), image.budgets.get(machine.arch), image.budget, plan.budget]
            phases = {name: ms for one in reversed(budget) if one is not None for name, ms in one.phases.items()}
            size, wall = _first(budget, "size") or SIZE_BUDGET, _first(budget, "wall")
            pair = _Pair(named, machine, size, _first(budget, "ready"), phases, wall)
            found += _in_formats(pair, wanted.formats or image.formats or plan.formats, wanted)
    return plan, _filtered(found, wanted, plan)


def _in_formats(pair: _Pair, formats: Sequence[str], wanted: Wanted) -> list[_Pair]:
    """Return the pair in each format that its machine's architecture has; UserError where there is no such format."""
    if not formats and not wanted.verity:
        return [pair]
    from harness.build import outputs

    arch = by_name(pair.machine.arch)
    names = dict.fromkeys(outputs.called(name, verity=wanted.verity) for name in formats or (pair.format,))
    return [replace(pair, format=name) for name in names if outputs.exists(name, arch)]


def _first(budgets: Sequence[Budget | None], key: str) -> float | None:
    return next((value for one in budgets if one is not None and (value := getattr(one, key)) is not None), None)


def _filtered(found: list[_Pair], wanted: Wanted, plan: Plan) -> list[_Pair]:
    """Keep the pairs that `--image` and `--machine` name, by name or as the plan does."""
    kept = found
    for what, wants, keys in (("image", wanted.images, _image_keys), ("machine", wanted.machines, _machine_keys)):
        if not wants:
            continue
        known = {key for pair in found for key in keys(pair)}
        chosen: set[_Key] = set()
        for name in wants:
            meant = known & {name, _files(name) if what == "image" else (Path(name).resolve(),)}
            if not meant:
                names = sorted(key for key in known if isinstance(key, str))
                near = nearest_machine(name, names) if what == "machine" else nearest(name, names)
                hint = f"{f'did you mean {near}? ' if near else ''}it has: {names_(names)}"
                raise UserError(f"the plan {plan.path} has no {what} {name!r}", hint=hint)
            chosen |= meant
        kept = [pair for pair in kept if chosen & keys(pair)]
    if found and not kept:
        raise UserError(f"the plan {plan.path} has none of these images on any of these machines")
    return kept


_Key = str | tuple[Path, ...]  # a name, or the files that stand for it


def _files(image: str) -> tuple[Path, ...]:
    """Return the files that an image's name stands for; none where there is no such image."""
    try:
        return tuple(path.resolve() for path in files_of(image))
    except UserError:
        return ()


def _image_keys(pair: _Pair) -> set[_Key]:
    return {_name_of(pair.image), tuple(path.resolve() for path in pair.image.paths)}


def _name_of(image: NamedImage) -> str:
    """Return the name that results give an image."""
    if image.kind == "yaml":
        return image.paths[0].stem
    return Image(image.paths[0]).name if image.kind == "built" else image.load_os().name


def _machine_keys(pair: _Pair) -> set[_Key]:
    return {pair.machine.name, (pair.machine.path.resolve(),)}


def _named(names: Iterable[str]) -> list[NamedImage]:
    """Return what names of images stand for; a file that several have a part of is read once."""
    contents: dict[str, bytes] = {}
    found = []
    for name in names:
        found.append(image_named(name, contents=contents))
        contents |= found[-1].contents
    return found


def shown(path: Path) -> str:
    """Return a path as results name it: relative to the current folder or to where the harness lies, if beneath."""
    full = path.resolve()
    for base in (Path.cwd(), paths.TOP):
        if full.is_relative_to(base):
            return str(full.relative_to(base))
    return os.path.normpath(path)
