"""What goes wrong in the booted image is told, bounded, and keeps nothing else from going on.

One exact boot: the guest's clock says what came when, and waiting in it costs no time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions, BootRecord

from .conftest import of

ILL = Path(__file__).with_name("ill.yml")
SLACK_US = 300_000  # what starting and ending a container may take of an exact boot


@pytest.fixture(scope="module")
def folder(built: Callable[[Path], Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the boot, from power-on to off."""
    out = tmp_path_factory.mktemp("ill")
    options = BootOptions(mode="exact", out=out, append=("harness.then=poweroff",))
    with boot(built(ILL), load_machine(paths.MACHINES / "qemu-arm64.yml"), options) as system:
        system.wait_for("unready")
        system.wait_off()
    return out


@pytest.fixture(scope="module")
def record(folder: Path) -> BootRecord:
    """The boot."""
    return BootRecord.from_json(json.loads((folder / "record.json").read_text()))


def at(record: BootRecord, name: str) -> int:
    """Return when a mark was first seen, in µs of the guest's clock."""
    return next(mark.guest_us for mark in record.milestones if mark.name == name and mark.guest_us is not None)


def test_a_boot_with_trouble_goes_on_and_is_unready(record: BootRecord) -> None:
    names = [mark.name for mark in record.milestones]
    assert "ready" not in names
    assert names.index("modules/no-such-module failed") < names.index("drivers")
    assert names.index("onboot/last done") < names.index("services/plain ready") < names.index("unready")
    assert names[-1] == "off"


def test_how_an_onboot_ended_is_told(record: BootRecord) -> None:
    found = {name: of(record.milestones, f"onboot/{name}")[1:] for name in ("failing", "hungry", "ended", "endless")}
    assert found == {
        "failing": ["failed 3"],
        "hungry": ["failed 137"],  # by the kernel, when its memory ran out
        "ended": ["failed 143"],
        "endless": ["timeout"],
    }
    took = at(record, "onboot/endless timeout") - at(record, "onboot/endless start")
    assert 2_000_000 <= took < 2_000_000 + SLACK_US


def test_what_a_failed_onboot_said_last_is_on_the_console(folder: Path) -> None:
    said = [line for line in (folder / "transcript.txt").read_text().splitlines() if "onboot/failing: " in line]
    assert [line.partition("onboot/failing: ")[2] for line in said] == [f"line {number}" for number in range(3, 8)]


def test_a_check_that_hangs_is_bounded_and_keeps_no_other_waiting(record: BootRecord) -> None:
    began = at(record, "onboot/last done")
    for name in ("plain", "quick", "crashing"):
        assert at(record, f"services/{name} ready") - began < SLACK_US, name
    for name, seconds in (("asked", 6), ("deaf", 10)):
        # the guest counts in whole seconds
        took = at(record, f"services/{name} unready") - began
        assert (seconds - 1) * 1_000_000 <= took < seconds * 1_000_000 + SLACK_US, name
    assert of(record.milestones, "services/deaf") == ["start", "unready"]
    # with the check itself, and not only with who waits for it
    assert abs(at(record, "ended") - at(record, "services/asked unready")) < SLACK_US


def test_a_service_that_crashes_waits_longer_each_time(record: BootRecord) -> None:
    mine = [mark for mark in record.milestones if mark.name in ("services/crashing start", "services/crashing exited")]
    waits = [
        (later.guest_us or 0) - (earlier.guest_us or 0)
        for earlier, later in pairwise(mine)
        if earlier.name.endswith("exited")
    ]
    assert len(waits) >= 3
    for wait, seconds in zip(waits, (1, 2, 4), strict=False):
        assert seconds * 1_000_000 <= wait < seconds * 1_000_000 + SLACK_US


def test_what_a_service_used_of_the_processor_is_exact_and_plausible(record: BootRecord) -> None:
    used = {mark.name: mark.values["cpu"] for mark in record.milestones if "cpu" in mark.values}
    assert set(used) == {f"services/{name} {step}" for name, step in (
        ("plain", "ready"), ("quick", "ready"), ("watching", "ready"), ("crashing", "ready"), ("asked", "unready"),
        ("deaf", "unready"), ("chatty", "ready"),
    )}  # fmt: skip
    assert all(1_000 < int(cpu) < 50_000 for cpu in used.values()), used


def test_the_way_down_is_bounded(record: BootRecord) -> None:
    # what handles SIGTERM and stays is killed after 5 s
    stopping = at(record, "onshutdown/endless start") - at(record, "shutdown")
    assert 5_000_000 <= stopping < 5_000_000 + 2 * SLACK_US
    took = at(record, "onshutdown/endless timeout") - at(record, "onshutdown/endless start")
    assert 3_000_000 <= took < 3_000_000 + SLACK_US
    assert of(record.milestones, "onshutdown/last") == ["start", "done"]
