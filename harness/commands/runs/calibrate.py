"""`harness calibrate`: how far an image's exact figures move on a machine by mere perturbation."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.specs import read_image
from harness.launch.exact import exact_boot
from harness.measure.floor import measure
from harness.measure.phases import figures
from harness.scratch import scratch
from harness.spec import load_machine
from harness.spec.named import image_named
from harness.system.record import BootRecord


@dataclass(frozen=True)
class Shake:
    """One perturbation: of QEMU's random numbers, of the command line's length, of the order of files in the root."""

    what: str
    seed: int = 1
    padding: int = 0
    turn: int = 0


BASE = Shake("as it is")
SHAKES = (
    BASE,
    *(Shake(f"seed {seed}", seed=seed) for seed in (2, 3)),
    *(Shake(f"command line {size} longer", padding=size) for size in (8, 32, 100, 300)),
    *(Shake(f"files turned by {turn} %", turn=turn) for turn in (12, 25, 37, 50, 62, 75, 87)),
)


@dataclass(frozen=True)
class Calibration:
    """The figures of each shaken boot, the floors they come to, and the key of the boot as it is."""

    boots: dict[str, dict[str, int]]
    floors: dict[str, int]
    key: dict[str, str]


def boots(
    images: Sequence[str], machine: str, settings: Settings, out: Path
) -> Iterator[tuple[Shake, BootRecord, dict[str, int]]]:
    """Boot the image that `images` describe under each perturbation in turn."""
    spec, target = read_image(images, settings), load_machine(machine)
    for number, shake in enumerate(SHAKES):
        image = Builder(replace(settings, turn=shake.turn)).build(spec, by_name(target.arch))
        pad = ("x" * (shake.padding - 1),) if shake.padding else ()  # a word that means nothing to anybody
        record = exact_boot(image, target, out / str(number), append=pad, seed=shake.seed)
        yield shake, record, figures(record)


def calibrate(
    images: Sequence[str], machine: str, settings: Settings, *, history: str | None, keep: bool, as_json: bool
) -> int:
    """Measure the floors, keep them in the history unless `keep` is false, and print them."""
    found: dict[str, dict[str, int]] = {}
    key: dict[str, str] = {}
    with scratch("calibrate") as folder:
        for shake, record, measured in boots(images, machine, settings, folder):
            found[shake.what] = measured
            key = key or record.key
            ready = found[shake.what]["ready"]
            sys.stderr.write(f"{len(found)}/{len(SHAKES)} {shake.what}: ready at {ready / 1000:.3f} ms\n")
    made = Calibration(found, measure(found.values()), key)
    if keep:
        _keep(made, images, machine, history)
    if as_json:
        print(json.dumps({"boots": made.boots, "floors": made.floors, "key": made.key}, indent=1))
    else:
        for line in table(made):
            print(line)
    return 0


def _keep(made: Calibration, images: Sequence[str], machine: str, where: str | None) -> None:
    from harness.history import History, projects
    from harness.history.floors import set_floor
    from harness.run import revision
    from harness.run.inputs import shown

    how = f"range of {len(made.boots)} boots: seeds, command line, order of files"
    first = image_named(images).paths[0]
    folder = first.resolve().parent
    path = revision.in_project(folder, first) or shown(first)
    project = revision.project(folder)
    with History.open(where) as opened:
        with opened.reading() as connection:
            owner = projects.owners(connection, [path]).get(path, "")
        image = projects.called(project, path, owner)
        set_floor(opened, image, load_machine(machine).name, made.floors, key=made.key, how=how)


def table(made: Calibration) -> Iterator[str]:
    """Yield the floors for people: the figure as it is, how far it moved, and that as a share of it."""
    base = made.boots[BASE.what]
    yield f"{'figure':28} {'ms':>11} {'least':>9} {'most':>9} {'floor':>9} {'share':>7}"
    for name, floor in made.floors.items():
        values = [one[name] for one in made.boots.values() if name in one]
        own = base.get(name)
        if own is None:
            continue
        share = f"{100 * floor / own:6.2f}%" if own else ""
        yield (f"{name:28} {own / 1000:11.3f} {(min(values) - own) / 1000:+9.3f} {(max(values) - own) / 1000:+9.3f} "
               f"{floor / 1000:9.3f} {share:>7}")  # fmt: skip
