"""`harness calibrate`: how far an image's exact figures move on a machine by mere perturbation."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.build.settings import Settings
from harness.commands.specs import read_image
from harness.launch.shakes import BASE, SHAKES, boots, how_measured
from harness.measure.floor import measure
from harness.measure.phases import figures
from harness.scratch import scratch
from harness.spec import load_machine
from harness.spec.named import image_named


@dataclass(frozen=True)
class Calibration:
    """The figures of each shaken boot, the floors they come to, and the key of the boot as it is."""

    boots: dict[str, dict[str, int]]
    floors: dict[str, int]
    key: dict[str, str]


def calibrate(
    images: Sequence[str], machine: str, settings: Settings, *, history: str | None, keep: bool, as_json: bool
) -> int:
    """Measure the floors, keep them in the history unless `keep` is false, and print them."""
    found: dict[str, dict[str, int]] = {}
    key: dict[str, str] = {}
    with scratch("calibrate") as folder:
        for shake, record in boots(read_image(images, settings), load_machine(machine), settings, folder):
            found[shake.what] = figures(record)
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

    first = image_named(images).paths[0]
    folder = first.resolve().parent
    path = revision.in_project(folder, first) or shown(first)
    project = revision.project(folder)
    with History.open(where) as opened:
        with opened.reading() as connection:
            owner = projects.owners(connection, [path]).get(path, "")
        image = projects.called(project, path, owner)
        set_floor(
            opened, image, load_machine(machine).name, made.floors, key=made.key, how=how_measured(len(made.boots))
        )


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
