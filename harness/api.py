"""The harness from Python: build an image, boot it, look at it, compare, and read what runs have found.

Everything that ``__all__`` names is documented in docs/api.md and stays as it is within a major version: names,
parameters and their meaning; parameters with a default and attributes may come. Of what these functions return the
parts that docs/api.md names are as stable; all else in the package may change with any version. The commands are made
of the same functions. What goes wrong is a `HarnessError` whose class says whose fault it is: UserError, HostError,
MachineError, ImageError, EvidenceError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.build.settings import Settings
from harness.errors import HarnessError, UserError

if TYPE_CHECKING:
    from harness.history import History
    from harness.image import Bootable, Image
    from harness.launch import ExactPair
    from harness.measure.compare import Comparison
    from harness.measure.floor import Floors
    from harness.run.results_model import Results
    from harness.spec.models.machine import MachineSpec
    from harness.system import BootRecord, System

__all__ = [
    "HarnessError",
    "Settings",
    "boot",
    "build_image",
    "compare",
    "exact",
    "find_image",
    "find_machine",
    "open_history",
    "results",
]

Name = str | Path | Sequence[str]
Report = Callable[[str], None]  # is told in words what is being done


def find_machine(machine: str | Path | MachineSpec) -> MachineSpec:
    """Return a machine by the name of one that ships with the harness, or by its YAML's path.

    UserError when there is none, SpecError with every complaint when the file is wrong.
    """
    from harness.spec import load_machine

    return load_machine(machine) if isinstance(machine, (str, Path)) else machine


def build_image(
    name: Name, arch: str = "host", *, settings: Settings | None = None, report: Report | None = None
) -> Image:
    """Build an image for an architecture and return it; what has not changed is taken from the cache.

    `name` is a YAML, ``A.yml+B.yml`` or several words that are merged, or a shipped image's name; `arch` is x86_64,
    arm64, s390x, one of their other names, or ``host``. UserError (SpecError) for wrong files, HostError for what this
    host lacks.
    """
    from harness.arch import parse_list
    from harness.build.pipeline import Builder
    from harness.spec.named import image_named

    row, *more = parse_list(arch)
    if more:
        raise UserError(f"an image is for one architecture, not for {arch!r}", hint="build it for each of them")
    settings = settings or Settings()
    named = image_named(_words(name))
    if named.kind != "yaml":
        what = "is built already" if named.kind == "built" else "describes an OS that the harness has not built"
        raise UserError(f"{named.text} {what}", hint="boot takes it as it is")
    spec, report = named.load_image(library=settings.library), report or _silent
    for one in spec.substitutions:
        report(str(one))
    return Builder(settings, progress=report).build(spec, row)


def find_image(
    name: Name, machine: str | Path | MachineSpec, *, settings: Settings | None = None, report: Report | None = None
) -> Bootable:
    """Return what `name` is, ready to boot on `machine`: built for its architecture where it is a YAML.

    `name` may also be a built folder, the folder that a boot has left, or a foreign OS's YAML. UserError when it is for
    another architecture.
    """
    from harness.image import MANIFEST, ForeignImage, Image
    from harness.spec.named import image_named

    spec, named = find_machine(machine), image_named(_words(name))
    if named.kind == "yaml":
        return build_image(name, spec.arch, settings=settings, report=report)
    found: Bootable = ForeignImage(named.load_os()) if named.kind == "os" else Image(named.paths[0])
    if found.arch.name != spec.arch:
        hint = f"{MANIFEST} says what an image is for" if named.kind == "built" else "its YAML says what it is for"
        raise UserError(f"{named.text} is for {found.arch.name}, but {spec.name} is {spec.arch}", hint=hint)
    return found


@contextmanager
def boot(
    image: Name | Bootable,
    machine: str | Path | MachineSpec,
    *,
    out: str | Path | None = None,
    probe: bool = False,
    append: Sequence[str] = (),
    forwards: Sequence[int] = (),
    timeout: float = 120.0,
    settings: Settings | None = None,
) -> Iterator[System]:
    """Boot an image in wall time and give the running System; the machine is off when the block is left, however.

    ``system.wait_ready()`` waits at most `timeout` seconds; with `probe` (of our own images), or where a foreign OS has
    a login, ``system.shell.run(command)`` runs a command as root. `append` are more words for the kernel's command
    line, `forwards` TCP ports of the guest that ``system.forwards`` leads to on 127.0.0.1. Transcript and record stay
    in `out`; None: they stay nowhere, unless an error names them.
    """
    from harness.launch import boot as started
    from harness.scratch import scratch
    from harness.system import BootOptions

    spec = find_machine(machine)
    found = _bootable(image, spec, settings)
    with scratch("boot", _folder(out)) as folder:
        options = BootOptions(mode="wall", out=folder, probe=probe, append=tuple(append), forwards=tuple(forwards),
                              timeout=timeout)  # fmt: skip
        with started(found, spec, options) as system:
            yield system


def exact(
    image: Name | Bootable,
    machine: str | Path | MachineSpec,
    *,
    out: str | Path | None = None,
    append: Sequence[str] = (),
    timeout: float = 120.0,
    settings: Settings | None = None,
) -> ExactPair:
    """Boot an image twice in exact time, from power-on to power-off, and return both records.

    ``pair.repeats`` is true when they agree to the microsecond; ``pair.first.ready_us`` is the time from the kernel's
    clock zero to ready, in microseconds of the guest's time. Raises what boot raises.
    """
    from harness.launch import exact_pair
    from harness.scratch import scratch

    spec = find_machine(machine)
    found = _bootable(image, spec, settings)
    with scratch("exact", _folder(out)) as folder:
        return exact_pair(found, spec, folder, append=tuple(append), timeout=timeout)


Figures = Mapping[str, int]


def compare(
    before: ExactPair | BootRecord | Figures, after: ExactPair | BootRecord | Figures, *, floors: Floors | None = None
) -> Comparison:
    """Compare two exact boots (pairs, records, or figures in microseconds by name).

    ``answer`` is better, same or worse, ``changes`` has every figure with its floor, the largest change first, and
    ``culprit`` the one that tells most of the cause. `floors` are those of ``harness calibrate``; None: the least that
    there are. UserError when a pair does not repeat: then nothing can be compared.
    """
    from harness.measure.compare import compare as compared
    from harness.measure.floor import Floors

    return compared(_figures(before), _figures(after), floors or Floors())


def results(folder: str | Path) -> Results:
    """Return what a run found, of its results folder or results.json; docs/results.md says what it holds.

    UserError when there is none.
    """
    from harness.run import results as run_results
    from harness.run.folder import results_file

    return run_results.read(results_file(Path(folder)))


def open_history(where: str | Path | None = None, *, create: bool = False) -> History:
    """Open the history: `where` is a file or a database's URL, None that of HARNESS_HISTORY or the user's own.

    It is a context manager: ``runs()``, ``series()``, ``cells(run)``. UserError when there is none, unless `create`
    says that it shall be made; HostError when the database does not answer.
    """
    from harness.history import History

    return History.open(None if where is None else str(where), create=create)


def _words(name: Name) -> str | Sequence[str]:
    return str(name) if isinstance(name, Path) else name


def _folder(out: str | Path | None) -> Path | None:
    return None if out is None else Path(out)


def _bootable(image: Name | Bootable, machine: MachineSpec, settings: Settings | None) -> Bootable:
    if isinstance(image, (str, Path, Sequence)):
        return find_image(image, machine, settings=settings)
    return image


def _figures(side: ExactPair | BootRecord | Figures) -> Figures:
    from harness.launch import ExactPair
    from harness.measure.phases import figures

    if isinstance(side, Mapping):
        return side
    if isinstance(side, ExactPair):
        if not side.repeats:
            raise UserError(f"the two boots do not repeat: {side.verdict}", hint="compare wall times instead")
        return figures(side.first)
    return figures(side)


def _silent(_: str) -> None:
    """Tell nobody."""
