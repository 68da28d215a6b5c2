"""What can be computed of an archive's files is computed: which cases that are called passed cannot have. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.certify import contents, recomputed
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.errors import EvidenceError
from harness.measure.fit import SLACK_US
from harness.system.frames import WitnessFrame
from harness.system.milestones import Milestone
from harness.system.record import BootRecord, completed

ZERO_US = 93_000  # from power-on to the kernel's clock zero
NAMES = ("init", "root", "boot", "drivers", "onboot/a start", "onboot/a done", "services/b start", "services/b ready",
         "ready", "shutdown", "services/b exited", "onshutdown/c start", "onshutdown/c done", "off")  # fmt: skip
EXPECT: dict[str, dict[str, Any]] = {"onboot": {"a": {}}, "services": {"b": {}}, "onshutdown": {"c": {}}}
SIZE, PROBE = "test_size.py::test_size_within_budget", "test_size.py::test_no_probe_in_what_is_shipped"
READY, BUDGET = "test_boot.py::test_boot_reaches_ready", "test_boot.py::test_exact_time_within_budget"
TWICE, OFF = "test_boot.py::test_exact_time_twice_the_same", "test_boot.py::test_power_off_is_clean_and_runs_onshutdown"
TOLD = "certify/alike.py::test_the_emulator_tells_when_ready_was"
ALONE = "certify/alike.py::test_nobody_else_could_say_ready"
ALIKE = "certify/alike.py::test_wall_time_fits_exact_time"
NO_PAIR = "it was not booted twice"


def marks(*names: str) -> list[Milestone]:
    """Marks a hundred milliseconds apart, with the counters that the first and ready have."""
    found = []
    for number, name in enumerate(names, 1):
        us = 100_000 * number
        count = {"counter": f"{round((us + ZERO_US) * 62.5):x}"} if name in ("init", "ready") else {}
        found.append(Milestone(name, us, us / 1e6, count))
    return found


def record(*names: str, mode: str = "exact", **more: Any) -> BootRecord:
    """A boot of these marks, whose ready has left as a frame where it was counted."""
    blank = BootRecord(**{
        "image": "i", "arch": "arm64", "machine": "m", "mode": mode, "probed": False, "accel": "tcg",
        "accel_reason": "", "argv": (), "cmdline": "quiet", "cpu": "c", "machine_type": "virt", "qemu_version": "7",
        "console_sha256_ready": "d",
    })  # type: ignore[arg-type] # fmt: skip
    told = marks(*(names or NAMES))
    frames = [WitnessFrame("ready", (mark.guest_us or 0) + ZERO_US + 300, mark.values)
              for mark in told if mark.name == "ready"]  # fmt: skip
    return replace(completed(blank, told, frames), **more)


HONEST = record()
WALL = record(mode="wall", cmdline="quiet console=ttyAMA0")
LYING = record("init", *NAMES)
LATE = record(*NAMES[:4], "volumes/v failed", *NAMES[4:])  # by a tenth of a second

# Whose kernel begins its clock more than a second after power-on; with a UEFI that is to be expected.
LATE_CLOCK = replace(HONEST, power_on_us=1_000_001)
UEFI = replace(LATE_CLOCK, machine_type="virt with UEFI 0123456789ab")


FACTS: dict[str, Any] = {
    "exact": (HONEST, HONEST), "wall": (WALL,), "size": 0, "most": 1.0, "ready": 900.0, "phases": {}, "network": True,
    "manifest": {"schema": 1}, "foreign": False, "outcome": "passed",
}  # fmt: skip


def made(case: str, **facts: Any) -> Any:
    """What follows from an archive, as far as it is asked here: `FACTS`, but for those that are given."""
    it = SimpleNamespace(**{**FACTS, **facts})
    pair = dict(zip(contents.EXACT, it.exact, strict=False))
    image = SimpleNamespace(size=it.size, expect=EXPECT, manifest=it.manifest, foreign=it.foreign, cmdline="quiet")
    machine = SimpleNamespace(name="m", arch="arm64", console="ttyAMA0", cmdline="", network=it.network, qemu=None)
    budget = SimpleNamespace(size=it.most, ready=it.ready, phases=it.phases)
    return SimpleNamespace(
        exact=pair, records=pair | {f"wall-{number}": one for number, one in enumerate(it.wall)},
        word=SimpleNamespace(cases=[SimpleNamespace(case=f"cases/{case}[i-m]", outcome=it.outcome)]),
        sources=SimpleNamespace(image=image, budget=budget, machine=machine),
    )  # fmt: skip


NO_FILES = EvidenceFiles(Path(), {})


def why(case: str, files: EvidenceFiles = NO_FILES, **facts: Any) -> str:
    """Return why a case cannot have passed; empty when it was computed again and can."""
    try:
        assert recomputed.check(made(case, **facts), files) == 1
    except EvidenceError as error:
        before, _, found = str(error.message).partition(", but by its files: ")
        assert before == f"the evidence says that {case} passed"
        return found or "no words"
    return ""


def without(*names: str) -> BootRecord:
    return record(*(name for name in NAMES if name not in names))


@pytest.mark.parametrize("case", sorted(recomputed.FINDINGS))
def test_what_is_honest_can_have_passed(case: str) -> None:
    assert why(case) == ""


@pytest.mark.parametrize("case", [READY, BUDGET, TWICE, ALIKE, OFF])
@pytest.mark.parametrize("exact", [(), (HONEST,)])
def test_one_boot_is_no_pair(case: str, exact: tuple[BootRecord, ...]) -> None:
    assert why(case, exact=exact) == NO_PAIR


@pytest.mark.parametrize("case", [READY, BUDGET, TWICE])
@pytest.mark.parametrize("exact", [(HONEST, LYING), (LYING, LYING)])
def test_marks_that_cannot_be_true_show_nothing(case: str, exact: tuple[BootRecord, ...]) -> None:
    assert "stands 2 times" in why(case, exact=exact)


@pytest.mark.parametrize(
    ("size", "most", "said"),
    [
        (2_000_000, 2.0, ""), (2_000_001, 2.0, "2.00 MB shipped, 2 MB allowed"),
        (2_499_999, 2.5, ""), (2_510_000, 2.5, "2.51 MB shipped, 2.5 MB allowed"),
        (1, None, "0.00 MB shipped, 0 MB allowed"), (0, None, ""),
        (10_005_000_000, 2.0, "10005.00 MB shipped, 2 MB allowed"),
    ],
)  # fmt: skip
def test_size(size: int, most: float | None, said: str) -> None:
    assert why(SIZE, size=size, most=most) == said


def cpio(*names: str) -> bytes:
    made = b""
    for name in names:
        head = b"070701" + b"".join(b"%08x" % (len(name) + 1 if at == 11 else 0) for at in range(13))
        made += head + name.encode() + b"\0"
        made += b"\0" * (-len(made) % 4)
    return made


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), ""), (("init", "lib/probes"), ""), (("init", "probe"), "the initrd holds a probe"),
        (("a/probe/init", "b"), "the initrd holds a probe"),
    ],
)  # fmt: skip
def test_a_probe_in_the_initrd(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/initrd").write_bytes(cpio(*names))
    for size, found in (
        (1, said), (recomputed.MOST_SEARCHED, said), (recomputed.MOST_SEARCHED + 1, "")
    ):  # fmt: skip
        assert why(PROBE, EvidenceFiles(tmp_path, {"image/initrd": ArchiveMember("image/initrd", size, "")})) == found


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (without("onboot/a done"), "no mark 'onboot/a done'"),
        (LATE, "volumes/v failed"),
        (without("root"), "no mark 'root'"),
    ],
)  # fmt: skip
def test_every_step_is_on_both_consoles(second: BootRecord, said: str) -> None:
    assert said in why(READY, exact=(HONEST, second))
    assert said in why(READY, exact=(second, HONEST))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"ready": None}, "there is no budget"),
        ({"ready": None, "exact": ()}, "there is no budget"),
        ({"ready": 899.0}, "ready: 900.000 ms, 899 ms allowed; ready: 900.000 ms, 899 ms allowed"),
        ({"ready": 0.0}, "ready: 900.000 ms, 0 ms allowed; ready: 900.000 ms, 0 ms allowed"),
        ({"ready": None, "phases": {"kernel": 100.0}}, ""),
        ({"ready": None, "phases": {"kernel": 99.0}}, "kernel: 100.000 ms, 99 ms allowed; " * 2),
        ({"ready": 950.0, "exact": (HONEST, LATE)}, None),
        ({"exact": (LATE_CLOCK, LATE_CLOCK)}, "firmware: 1000.001 ms, 1000 ms allowed; " * 2),
        ({"exact": (LATE_CLOCK, LATE_CLOCK), "phases": {"firmware": 1001.0}}, ""),
        ({"exact": (LATE_CLOCK, LATE_CLOCK), "ready": None, "phases": {"kernel": 100.0}}, ""),
        ({"exact": (UEFI, UEFI)}, ""),
        ({"exact": (replace(UEFI, power_on_us=5_000_001),) * 2}, "firmware: 5000.001 ms, 5000 ms allowed; " * 2),
        ({"exact": (replace(HONEST, power_on_us=0),) * 2}, ""),
    ],
)  # fmt: skip
def test_exact_budgets(facts: dict[str, Any], said: str | None) -> None:
    found = why(BUDGET, **facts)
    assert found == said.removesuffix("; ") if said is not None else "ready: 1000.000 ms" in found


FRAME = HONEST.witness[0]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (without("services/b exited"), "NOT the same twice: services/b exited moved"),
        (replace(HONEST, console_sha256_ready="e"), "NOT the same twice: some other line moved"),
        (replace(HONEST, power_on_us=1), "NOT the same twice: what came before the kernel's clock, or a frame, moved"),
        (replace(HONEST, witness=(replace(FRAME, emulator_us=FRAME.emulator_us + 1),)),
         "NOT the same twice: what came before the kernel's clock, or a frame, moved"),
    ],
)  # fmt: skip
def test_two_boots_differ(second: BootRecord, said: str) -> None:
    assert why(TWICE, exact=(HONEST, second)) == said


LATE_S = (8 * 900_000 + SLACK_US + 1) / 1e6
SLOW = replace(WALL, milestones=tuple(
    replace(mark, host_s=LATE_S) if mark.name == "ready" else mark for mark in WALL.milestones
))  # fmt: skip
NONE_ALIKE = "no boot in wall time has the image's usual command line and comes to ready"


@pytest.mark.parametrize(
    ("wall", "said"),
    [
        ((), NONE_ALIKE),
        ((replace(WALL, probed=True),), NONE_ALIKE),
        ((replace(WALL, cmdline="other"),), NONE_ALIKE),
        ((record(*NAMES[:8], mode="wall", cmdline=WALL.cmdline),), NONE_ALIKE),
        ((WALL, replace(SLOW, probed=True), replace(SLOW, cmdline="other"), replace(SLOW, mode="exact")), ""),
        ((SLOW,), "services: takes 9600 ms"),
        ((WALL, SLOW), "services: takes 9600 ms"),
    ],
)  # fmt: skip
def test_wall_time_is_compared_with_exact_time(wall: tuple[BootRecord, ...], said: str) -> None:
    found = why(ALIKE, wall=wall)
    assert found.startswith(said) and bool(found) == bool(said)


def test_wall_time_is_compared_with_the_first_exact_boot() -> None:
    never = without("ready")
    assert why(ALIKE, exact=(HONEST, never), wall=(SLOW,)).startswith("services: takes")
    assert why(ALIKE, exact=(never, HONEST), wall=(SLOW,)) == ""


def test_the_guests_word_for_ready_is_enough_only_without_a_network_or_for_other_inits() -> None:
    alone = replace(HONEST, ready_clock="guest")
    silent = "its ready is the guest's word, and not the emulator's"
    assert why(TOLD, exact=(HONEST, alone)) == why(TOLD, exact=(alone, HONEST)) == silent
    assert why(TOLD, exact=(alone, alone), network=False) == why(TOLD, exact=(alone, alone), manifest={}) == ""


def test_nobody_else_could_say_ready() -> None:
    mighty = {"schema": 1, "expect": {"onboot": {"x": {"reach": ["SYS_ADMIN"], "ours": False}}}}
    assert why(ALONE, manifest=mighty) == "these could say ready in the init's place: onboot/x (SYS_ADMIN)"
    mighty["expect"]["onboot"]["x"]["ours"] = True  # type: ignore[index]
    assert why(ALONE, manifest=mighty) == ""


@pytest.mark.parametrize(
    "second",
    [
        without("off"), without("shutdown"), without("onshutdown/c start", "onshutdown/c done"), without("ready"),
        record(*NAMES, "late"), record(*NAMES[:-1], "off", "onshutdown/c done"),
        record("shutdown", *NAMES[:9], *NAMES[10:]),
    ],
)  # fmt: skip
def test_an_orderly_power_off_is_on_both_consoles(second: BootRecord) -> None:
    assert why(OFF, exact=(HONEST, second)) == "its marks do not show an orderly power-off"
    assert why(OFF, exact=(second, HONEST)) == "its marks do not show an orderly power-off"


def test_marks_before_ready_are_none_of_the_power_off() -> None:
    early = record(*NAMES[:8], "shutdown", *NAMES[8:])
    assert why(OFF, exact=(HONEST, early)) == ""


def test_only_what_is_called_passed_is_computed_again() -> None:
    assert recomputed.check(made(READY, exact=(), outcome="failed"), NO_FILES) == 0
    assert recomputed.check(made("test_root.py::test_root", exact=()), NO_FILES) == 0
    two = made(SIZE)
    two.word.cases *= 2
    assert recomputed.check(two, NO_FILES) == 2


def test_no_foreign_os_passes_what_asks_for_the_harnesss_init() -> None:
    assert why(READY, foreign=True) == "no such OS has what it asks for"
    assert why(SIZE, foreign=True) == ""
