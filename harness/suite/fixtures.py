"""The fixtures that cases ask for. Each is of the cell that the case is run on.

They are there in every pytest, to say what is missing, so nothing heavy is imported before one is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.image import Image
    from harness.launch import ExactPair
    from harness.run.cells import Cell
    from harness.run.run import RunSettings
    from harness.spec.models.machine import MachineSpec
    from harness.suite.guests import Guests
    from harness.system import System
    from harness.system.shell import Shell

RUN: pytest.StashKey[RunSettings] = pytest.StashKey()
GUESTS: pytest.StashKey[Guests] = pytest.StashKey()
MISSING = (
    "this case runs on an image and a machine: give --harness-image IMAGE and --harness-machine MACHINE, "
    "or --harness-plan PLAN"
)
LATE = "a case gets its fixtures by its arguments: with request.getfixturevalue it is on no cell"


@pytest.fixture(scope="session")
def cell(request: pytest.FixtureRequest) -> Cell:
    """The cell: one image on one machine, with its budgets."""
    if not hasattr(request, "param"):
        pytest.fail(LATE if RUN in request.config.stash else MISSING, pytrace=False)
    found: Cell = request.param
    return found


@pytest.fixture(scope="session")
def image(cell: Cell) -> Image:
    """The built image."""
    from harness.image import Image

    assert isinstance(cell.built, Image), "cases of foreign OSes that want an image are left out"
    return cell.built


@pytest.fixture(scope="session")
def machine(cell: Cell) -> MachineSpec:
    """The machine."""
    return cell.spec


@pytest.fixture(scope="session")
def budget(cell: Cell) -> Cell:
    """What the plan allows: ``size`` in MB, ``ready`` in exact ms or None."""
    return cell


@pytest.fixture(scope="session")
def expect(image: Image) -> dict[str, Any]:
    """What the image's YAML declares of onboot, onshutdown and services, by name."""
    return image.expect


@pytest.fixture
def system(request: pytest.FixtureRequest, cell: Cell) -> System:
    """The running system that a cell's harmless cases share: at ready, with a shell."""
    found = request.config.stash[GUESTS].system(cell)
    transcribe(request.node, found.transcript)
    return found


@pytest.fixture
def shell(system: System) -> Shell:
    """The shell of the shared system: ``shell.run(command, timeout)``."""
    return system.shell


@pytest.fixture
def exact(request: pytest.FixtureRequest, cell: Cell) -> ExactPair:
    """The cell's two exact boots, from power-on to power-off without a hand, made once."""
    return request.config.stash[GUESTS].exact(cell)


@pytest.fixture
def boot(request: pytest.FixtureRequest, cell: Cell) -> Iterator[Callable[..., System]]:
    """Boots that belong to the case alone: ``boot(append=(), probe=True, image=None, until="ready", reboot=False)``.

    A board has one at a time: a case that wants a second one beside the first is skipped there. A machine's disks are
    empty at the first boot, and the next one finds them as they were left: it must wait until the one before has ended.
    """
    up: list[tuple[System, ExitStack]] = []
    guests = request.config.stash[GUESTS]
    with ExitStack() as stack:
        disks = guests.out(cell, "disks") if cell.spec.qemu and cell.spec.qemu.disks else None
        if disks:
            stack.callback(shutil.rmtree, disks, ignore_errors=True)

        def own(**options: Any) -> System:
            if up and cell.spec.board:
                last, end = up.pop()
                if last.alive:
                    pytest.skip("a board boots one system at a time")
                end.close()
            end = stack.enter_context(ExitStack())
            started = end.enter_context(guests.own(cell, disks=disks, **options))
            transcribe(request.node, started.transcript)
            up.append((started, end))
            return started

        yield own


@pytest.fixture
def variant(request: pytest.FixtureRequest, cell: Cell) -> Callable[[str], Image]:
    """Builds the cell's image with more YAML after its own: ``variant(text)``."""
    from harness.run.builds import build_more

    run = request.config.stash[RUN]
    if not cell.texts:
        pytest.skip("the image is built already: the YAML that more could be added to is not known")

    def make(text: str) -> Image:
        folder: Path = request.getfixturevalue("tmp_path")
        more = folder / "variant.yml"
        more.write_text(text)
        contents = {path: text.encode() for path, text in cell.texts.items()}
        return build_more([*map(Path, cell.sources), more], cell.arch, run.settings, contents)

    return make


def transcribe(item: pytest.Item, transcript: Path) -> None:
    """Let the case's report name the transcript of a guest that it used."""
    item.user_properties.append(("transcript", str(transcript)))
