"""Exact boots repeat, whatever else the host does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.arch import ARCHES
from harness.errors import UserError
from harness.image import Image
from harness.launch import exact_pair
from harness.launch.exact import compare, moved
from harness.spec.models.machine import MachineSpec
from harness.system import BootRecord, Milestone
from harness.system.milestones import power_on_us


@contextmanager
def busy() -> Iterator[None]:
    # ends by itself, should this process be killed
    loop = subprocess.Popen([sys.executable, "-c", "import time\nend=time.time()+120\nwhile time.time()<end: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


@pytest.mark.parametrize("arch", list(ARCHES))
def test_an_exact_pair_repeats_beside_a_busy_loop(
    arch: str, images: Callable[[str], Image], machine: Callable[[str], MachineSpec], tmp_path: Path
) -> None:
    with busy():
        pair = exact_pair(images(arch), machine(arch), tmp_path, timeout=120)
    assert (pair.repeats, pair.moved) == (True, "")
    first, second = pair.first, pair.second
    assert first.ready_us == second.ready_us
    assert first.power_on_us == second.power_on_us
    assert first.console_sha256_ready == second.console_sha256_ready != ""
    assert first.key == second.key
    assert 100_000 < (first.ready_us or 0) < 10_000_000
    assert -1000 < (first.power_on_us or 0) < 5_000_000
    assert [mark.name for mark in first.milestones][-1] == "off"
    assert BootRecord.from_json(first.to_json()) == first


def record(*marks: Milestone) -> BootRecord:
    return BootRecord(
        image="i", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="", argv=(),
        cmdline="", cpu="c", machine_type="virt", qemu_version="7", milestones=marks, ready_us=2,
        console_sha256_ready="same",
    )  # fmt: skip


def test_the_first_milestone_that_moved_is_named() -> None:
    one, two = Milestone("init", 1, 0.1), Milestone("ready", 2, 0.2)
    assert moved([one, two], [one, replace(two, guest_us=3)]) == "ready"
    assert moved([one, two], [one]) == "ready"
    assert moved([one, two], [replace(one, host_s=9.0), two]) == ""
    assert compare(record(one, two), record(one, two)).repeats
    assert not compare(record(one, two), record(one)).repeats
    assert not compare(record(one, two), replace(record(one, two), console_sha256_ready="other")).repeats


def test_an_unready_boot_does_not_count_as_repeated() -> None:
    never = replace(record(), ready_us=None)
    assert not compare(never, never).repeats


def test_counters_become_power_on_times() -> None:
    mark = Milestone("ready", 200_000, 0.0, {"counter": f"{500_000_000:x}"})
    assert power_on_us("x86_64", mark) == 300_000
    assert power_on_us("arm64", replace(mark, values={"counter": f"{62_500_000:x}"})) == 800_000
    assert power_on_us("arm64", replace(mark, values={"counter": "no number"})) is None
    assert power_on_us("arm64", replace(mark, values={})) is None


def test_a_foreign_record_is_refused() -> None:
    with pytest.raises(UserError):
        BootRecord.from_json({"schema": 1, "image": "only"})
