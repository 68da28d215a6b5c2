"""Marks that cannot be true are refused by name; pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ImageError
from harness.image import Image
from harness.system.driver import expected
from harness.system.frames import WitnessFrame
from harness.system.listener import Listener
from harness.system.marks import DRIFT_US, WITNESS_US, check, complaints
from harness.system.milestones import Milestone
from harness.system.record import BootRecord
from harness.system.transcript import Transcript

ZERO_US = 93_000  # from power-on to the kernel's clock zero
COUNT = 62.5  # of arm64's counter a microsecond


def mark(name: str, us: int | None, **values: str) -> Milestone:
    return Milestone(name, us, 0.0, values)


def counted(name: str, us: int, zero: int = ZERO_US) -> Milestone:
    return mark(name, us, counter=f"{round((us + zero) * COUNT):x}")


HONEST = (
    counted("init", 170_000), mark("root", 180_000), mark("boot", 190_000), mark("drivers", 200_000),
    mark("onboot/slow start", 210_000), mark("onboot/slow done", 300_000), mark("services/hello start", 301_000),
    mark("services/hello ready", 310_000, cpu="900"), counted("ready", 311_000), mark("shutdown", 400_000),
    mark("services/hello exited", 410_000, code="0"), mark("off", 420_000),
)  # fmt: skip
READY = HONEST[8]
FRAME = WitnessFrame("ready", 311_000 + ZERO_US + 300, {"counter": READY.values["counter"]})
EXPECTED: dict[str, tuple[str, ...]] = {"onboot": ("slow",), "services": ("hello",), "onshutdown": ()}


def record(*marks: Milestone, witness: tuple[WitnessFrame, ...] = (FRAME,), **more: object) -> BootRecord:
    return BootRecord(**{
        "image": "i", "arch": "arm64", "machine": "m", "mode": "exact", "probed": False, "accel": "tcg",
        "accel_reason": "", "argv": (), "cmdline": "", "cpu": "c", "machine_type": "virt", "qemu_version": "7",
        "milestones": marks or HONEST, "witness": witness, "expected": EXPECTED, **more,
    })  # type: ignore[arg-type] # fmt: skip


def with_(at: int, *new: Milestone) -> tuple[Milestone, ...]:
    """The honest marks, and some before the one at a place."""
    return (*HONEST[:at], *new, *HONEST[at:])


def without(*names: str) -> tuple[Milestone, ...]:
    return tuple(one for one in HONEST if one.name not in names)


def test_honest_marks_pass() -> None:
    assert complaints(record()) == ()
    check(record())
    assert complaints(record(witness=())) == ()  # without a network the time stays the guest's word
    assert complaints(record(expected={})) == ()


FORGED: dict[str, tuple[BootRecord, str]] = {
    "ready, earlier": (record(*with_(8, counted("ready", 250_000))), "the stamp of 'ready' (250.000 ms) is lower"),
    "ready, later": (record(*with_(4, counted("ready", 900_000))), "the mark 'ready' stands twice"),
    "ready, at a likely time": (record(*with_(5, counted("ready", 220_000))), "'onboot/slow done' comes after 'ready'"),
    "ready, right before the real one": (record(*with_(8, counted("ready", 310_500))), "the mark 'ready' stands twice"),
    "an onboot's end": (record(*with_(5, mark("onboot/slow done", 215_000))), "'onboot/slow done' stands twice"),
    "an onboot's other end": (
        record(*with_(6, mark("onboot/slow failed", 300_500))),
        "'onboot/slow done' and 'onboot/slow failed' exclude",
    ),
    "an onboot's end without its start": (
        record(*without("onboot/slow start")),
        "the mark 'onboot/slow done' has no start before it",
    ),
    "a service's start": (
        record(*with_(7, mark("services/hello start", 302_000))),
        "'services/hello start' stands twice",
    ),
    "a service's end": (record(*with_(6, mark("services/hello exited", 300_500))), "has no start before it"),
    "a service's health": (record(*with_(7, mark("services/hello ready", 305_000))), "'services/hello ready' stands"),
    "a service that is none": (record(*with_(7, mark("services/other ready", 305_000))), "the image does not have"),
    "an onboot that is none": (record(*with_(4, mark("onboot/x start", 201_000))), "the image does not have"),
    "the first mark": (record(*with_(7, counted("init", 305_000))), "the mark 'init' stands 2 times"),
    "unready": (record(*with_(8, mark("unready", 310_500))), "'unready' and 'ready' exclude each other"),
    "the end": (record(*with_(7, mark("off", 305_000))), "'services/hello ready' comes after 'off'"),
    "the way down": (record(*with_(5, mark("shutdown", 220_000))), "comes after 'shutdown', and belongs before it"),
    "another name": (record(*with_(5, mark("fast", 220_000))), "the mark 'fast' is none of the harness's"),
    "a mark before the first": (record(*with_(0, mark("root", 100_000))), "the mark 'root' comes before 'init'"),
    "ready without its services": (
        record(*without("services/hello ready")),
        "the mark 'ready' comes before 'services/hello ready'",
    ),
    "ready without its onboots": (
        record(*without("onboot/slow start", "onboot/slow done")),
        "the mark 'ready' comes before 'onboot/slow done'",
    ),
    "a stamp below another line's": (
        record(*HONEST[:8], replace(READY, higher_us=312_000), *HONEST[9:]),
        "lower than that of a line before it (312.000 ms)",
    ),
    "a stamp that the frame belies": (
        record(witness=(replace(FRAME, emulator_us=900_000),)),
        "does not agree with the emulator's clock",
    ),
    "a frame before the line": (
        record(witness=(replace(FRAME, emulator_us=FRAME.emulator_us - 1000),)),
        "does not agree with the emulator's clock",
    ),
    "a second frame": (record(witness=(FRAME, FRAME)), "the mark 'ready' left 2 times as a frame"),
    "a frame alone": (record(*without("ready")), "left as a frame, and the console does not have it"),
    "another counter": (
        record(witness=(replace(FRAME, values={"counter": "1"}),)),
        "is not the one that left as a frame",
    ),
    "a counter that fits no stamp": (
        record(*HONEST[:8], counted("ready", 311_000, ZERO_US + 5000), *HONEST[9:], witness=()),
        "the counters of 'init' and 'ready' do not agree with their stamps",
    ),
    "ready before its services, in words of its own": (
        record(*without("services/hello ready")[:7], READY, mark("services/hello ready", 311_000), *HONEST[9:]),
        "the mark 'ready' comes before 'services/hello ready'",
    ),
    "a stamp that falls by a microsecond": (
        record(*HONEST[:2], mark("boot", 179_999), *HONEST[3:]),
        "the stamp of 'boot' (179.999 ms) is lower than that of 'root' (180.000 ms)",
    ),
    "a stamp of nothing": (
        record(*HONEST[:2], mark("boot", 0), *HONEST[3:]),
        "the stamp of 'boot' (0.000 ms) is lower than that of 'root'",
    ),
    "a time that the frame belies": (
        record(witness=(replace(FRAME, emulator_us=900_000),)),
        f"{(311_000 + ZERO_US) / 1000:.3f} ms after power-on by its stamp, and its frame left 496.000 ms later",
    ),
    "no counters at all": (
        record(*(replace(one, values={}) for one in HONEST), witness=(replace(FRAME, values={}),)),
        "has no counter, by which the emulator's clock could be compared",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(FORGED))
def test_false_marks_are_refused_by_name(what: str) -> None:
    forged, words = FORGED[what]
    assert any(words in one for one in complaints(forged)), complaints(forged)
    with pytest.raises(ImageError, match="i on m: its marks cannot be true: "):
        check(forged)


def test_the_frame_may_leave_within_a_stated_time() -> None:
    drift = DRIFT_US + 311_000 // 10_000
    stamp = 311_000 + ZERO_US
    for late, fine in (
        (-drift, True),
        (-drift - 1, False),
        (WITNESS_US + drift, True),
        (WITNESS_US + drift + 1, False),
    ):
        assert (complaints(record(witness=(replace(FRAME, emulator_us=stamp + late),))) == ()) == fine


DRIFT = DRIFT_US + 311_000 // 10_000


@pytest.mark.parametrize(
    ("honest", "more"),
    [
        ((*HONEST[:2], mark("boot", 180_000), *HONEST[3:]), {}),  # no time has passed that the clock could tell
        ((counted("init", 0), mark("root", 0), *HONEST[2:]), {}),
        (with_(3, mark("modules/nvme failed", 195_000)), {}),
        (with_(4, mark("volumes/data failed", 201_000)), {}),
        (HONEST[3:], {"mode": "wall", "witness": ()}),  # the console was opened late
        ((*HONEST[:2], mark("boot", 179_000), *HONEST[3:]), {"mode": "wall", "witness": ()}),
        (HONEST, {"witness": (replace(FRAME, name="init", emulator_us=1), FRAME)}),
        ((*HONEST[:8], counted("ready", 311_000, ZERO_US + DRIFT), *HONEST[9:]), {"witness": ()}),
        ((*HONEST[:8], counted("ready", 311_000, ZERO_US - DRIFT), *HONEST[9:]), {"witness": ()}),
    ],
)
def test_what_just_can_be_true_is_no_forgery(honest: tuple[Milestone, ...], more: dict[str, object]) -> None:
    assert complaints(record(*honest, **more)) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("zero", [ZERO_US + DRIFT + 1, ZERO_US - DRIFT - 1])
def test_what_is_just_beyond_that_is_one(zero: int) -> None:
    apart = (*HONEST[:8], counted("ready", 311_000, zero), *HONEST[9:])
    assert "counters" in complaints(record(*apart, witness=()))[0]


def test_wall_boots_may_start_again_and_have_no_witness() -> None:
    twice = (*HONEST, *HONEST)
    assert complaints(record(*twice, mode="wall", witness=())) == ()
    assert complaints(record(*twice, witness=()))
    # a second processor may be a little late with its line
    swapped = (*HONEST[:6], replace(HONEST[6], guest_us=299_500), *HONEST[7:])
    assert complaints(record(*swapped, mode="wall", witness=())) == ()
    assert complaints(record(*swapped))
    restarted = with_(9, mark("services/hello exited", 350_000, code="1"), mark("services/hello start", 351_000))
    assert complaints(record(*restarted)) == ()


def test_a_foreign_os_has_marks_of_its_own_whose_stamps_do_not_fall() -> None:
    rows = (mark("kernel", 1000), mark("prompt", None), mark("ready", 5000))
    assert complaints(record(*rows, foreign=True, expected={}, witness=())) == ()
    fallen = (mark("kernel", 6000), mark("ready", 5000))
    assert "is lower than that of 'kernel'" in complaints(record(*fallen, foreign=True, expected={}, witness=()))[0]
    below = (mark("kernel", 1000), replace(mark("ready", 5000), higher_us=7000))
    assert "a line before it (7.000 ms)" in complaints(record(*below, foreign=True, expected={}, witness=()))[0]


@pytest.fixture
def heard(tmp_path: Path) -> Callable[[bytes], list[Milestone]]:
    def feed(text: bytes, size: int = 7) -> list[Milestone]:
        listener = Listener(Transcript(tmp_path / "transcript.txt", {}))
        for at in range(0, len(text), size):
            listener.feed(text[at : at + size], 1.0)
        return listener.milestones

    return feed


def test_a_stamp_below_that_of_any_line_before_is_noticed(heard: Callable[..., list[Milestone]]) -> None:
    text = b"[    3.600000] loop: module loaded\r\n[    0.700002] harness: ready counter=1\r\n"
    for size in (1, 7, 1000):
        assert [one.higher_us for one in heard(text, size)] == [3_600_000]
    assert [one.higher_us for one in heard(text[text.index(b"\n") + 1 :])] == [None]
    # what a program prints of the past takes nothing from marks after it
    past = b"[    1.000000] a line of dmesg\r\n"
    assert [one.higher_us for one in heard(b"[    2.000000] x\n" + past + b"[    2.000001] harness: ready\n")] == [None]


@pytest.mark.parametrize(
    ("said", "wanted"), [({}, EXPECTED), ({"init": "harness"}, EXPECTED), ({"init": "image"}, {})], ids=str
)
def test_only_the_harness_s_own_init_must_mark_its_containers(
    tmp_path: Path, said: dict[str, str], wanted: dict[str, tuple[str, ...]]
) -> None:
    manifest = {"schema": 1, "expect": {part: {key: {} for key in names} for part, names in EXPECTED.items()}, **said}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert expected(Image(tmp_path)) == wanted
