"""What a plan allows of a cell, and facts that cases judge by: pure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import paths
from harness.run.inputs import Wanted, read
from harness.suite import judge
from harness.suite.judge import Noise, over_budget
from harness.system import Milestone


def test_what_takes_longer_than_allowed_is_named_and_so_is_what_does_not_exist() -> None:
    figures = {"ready": 500_000, "kernel": 180_001}
    assert over_budget(figures, {"ready": 500, "kernel": 180.001}) == []
    assert over_budget(figures, {"ready": 499.999, "kernel": 180}) == [
        "ready: 500.000 ms, 499.999 ms allowed",
        "kernel: 180.001 ms, 180 ms allowed",
    ]
    assert over_budget(figures, {"kernal": 200}) == ["kernal: there is no such figure, but ready, kernel"]


def test_budgets_of_phases_add_up_and_the_nearest_counts(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text(
        "machines: [qemu-arm64, qemu-s390x]\n"
        "budget: {phases: {kernel: 100, init: 5}}\n"
        "images:\n"
        f"  - path: {paths.CASES / 'images/minimal.yml'}\n"
        "    budget: {ready: 400, phases: {kernel: 200}}\n"
        "    budgets: {s390x: {phases: {kernel: 2200}}, qemu-s390x: {phases: {services: 50}}}\n"
    )
    arm64, s390x = read(Wanted(plan)).cells
    assert (arm64.ready, arm64.phases) == (400, {"kernel": 200, "init": 5})
    assert (s390x.ready, s390x.phases) == (400, {"kernel": 2200, "init": 5, "services": 50})


@pytest.mark.parametrize(
    ("mark", "is_trouble"),
    [
        ("unready", True),
        ("services/web unready", True),
        ("onboot/net failed", True),
        ("onboot/net timeout", True),
        ("ready", False),
        ("services/web ready", False),
        ("onboot/net done", False),
        ("failed", True),
        ("services/failed start", False),
    ],
)
def test_marks_of_something_going_wrong_are_found_among_good_ones(mark: str, is_trouble: bool) -> None:
    assert judge.troubles(["init", mark, "ready"]) == ([mark] if is_trouble else [])


def test_the_marks_that_a_boot_must_show() -> None:
    expect: dict[str, dict[str, Any]] = {
        "onboot": {"a": {}, "b": {}},
        "services": {"x": {}, "y": {}},
        "onshutdown": {"bye": {}, "off": {}},
    }
    assert list(judge.steps(expect)) == [
        ("init", "root"), ("root", "boot"),
        ("boot", "onboot/a start"), ("onboot/a start", "onboot/a done"),
        ("onboot/a done", "onboot/b start"), ("onboot/b start", "onboot/b done"),
        ("onboot/b done", "services/x start"), ("services/x start", "services/x ready"), ("services/x ready", "ready"),
        ("onboot/b done", "services/y start"), ("services/y start", "services/y ready"), ("services/y ready", "ready"),
        ("onboot/b done", "ready"),
    ]  # fmt: skip
    assert judge.down(expect) == ["shutdown", "onshutdown/bye done", "onshutdown/off done", "off"]


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        (["a", "b"], []),
        (["a", "x", "b"], []),
        (["b", "a"], ["'b' came before 'a'"]),
        (["b", "a", "b"], ["'b' came before 'a'"]),  # the first of each counts
        (["a", "b", "a"], []),
        (["b"], ["no mark 'a'"]),
        (["x", "a"], ["no mark 'b'"]),
        ([], ["no mark 'a'", "no mark 'b'"]),
    ],
)
def test_a_mark_is_missing_or_came_too_early(names: list[str], faults: list[str]) -> None:
    assert judge.disorder(names, [("a", "b"), ("a", "b")]) == faults


def test_failures_are_those_of_services_alone() -> None:
    marks = [Milestone(name, 1, 0.0, {"code": code}) for name, code in (
        ("services/web exited", "1"), ("services/web exited", "0"), ("onboot/net exited", "1"),
        ("services/web failed", "1"), ("services/db exited", "9"),
    )]  # fmt: skip
    assert judge.failures(marks) == {"web": 1, "db": 1}


@pytest.mark.parametrize(
    ("path", "below"),
    [("/var", True), ("/var/x", True), ("/variety", False), ("/", False), ("/srv", True), ("/srv/a/b", True)],
)
def test_what_lies_below_some_places(path: str, below: bool) -> None:
    assert judge.is_below(path, ["/var", "/srv"]) is below
    assert not judge.is_below(path, [])


def test_a_kernel_knows_capabilities_up_to_its_last() -> None:
    assert judge.known(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_NONSENSE"], 1) == {
        "CAP_CHOWN", "CAP_DAC_OVERRIDE",
    }  # fmt: skip
    assert judge.capabilities("7", 1) == {"CAP_CHOWN", "CAP_DAC_OVERRIDE"}
    assert judge.capabilities("0", 40) == set()


def test_ports_of_short_and_foreign_lines() -> None:
    table = "0: 00000000:0050 00000000:0000 0A\n1: 00000000:0051 00000000:0000\n2 00000000:0052 0:0 0A\n3: 0A\n\n"
    assert judge.ports(table, judge.LISTEN) == {0x50}


def test_noise_is_of_its_architecture_and_machine() -> None:
    log = "<4>[    0.1] odd\n<5>[    0.2] fine\n<4>without a stamp\nno level\n<4>[ 1.0]no blank"
    every = ["odd", "without a stamp", "no blank"]

    def left(*noise: Noise) -> list[str]:
        return judge.complaints(log, noise, arch="arm64", machine="board-7")

    assert left() == every
    assert left(Noise("odd", "why")) == every[1:]
    assert left(Noise("odd", "why", machine="board-.*")) == every[1:]
    assert left(Noise("odd", "why", machine="board")) == every  # all of the name, not its beginning
    assert left(Noise("odd", "why", arch="arm64", machine="qemu-.*")) == every
    assert left(Noise("odd", "why", arch="s390x", machine="board-7")) == every
    assert left(Noise("odd", "one"), Noise("stamp", "other")) == every[2:]


KMSG = """\
4,10,100,-;loud
 SUBSYSTEM=x
10,11,1234567,-,caller=T1;harness: ready counter=5
no line of the kernel's
3,12,9000001,-;late; very
"""
LOG = "<4>[    0.000100] loud\n<10>[    1.234567] harness: ready counter=5\n<3>[    9.000001] late; very"


def test_a_kernel_log_is_as_dmesg_shows_it() -> None:
    assert judge.kernel_log(KMSG) == LOG
    assert judge.kernel_log("") == ""


def os(*milestones: tuple[str, str | None]) -> Any:
    return SimpleNamespace(milestones=[SimpleNamespace(name=name, pattern=pattern) for name, pattern in milestones])


@pytest.mark.parametrize(
    ("image", "lines"),
    [
        (os(), 2),  # the harness's own
        (os(("ready", "late")), 3), (os(("ready", "loud")), 1), (os(("ready", "5$")), 2),
        (os(("kernel", "loud"), ("ready", "ready")), 2), (os(("ready", "nothing")), 3),
        (os(("ready", "^<")), 3),  # the level is none of the line
        (os(("ready", None)), 3), (os(("kernel", "loud")), 3),  # ready is a packet, or not known: all of the log
    ],
)  # fmt: skip
def test_a_kernel_log_ends_where_the_system_is_ready(image: Any, lines: int) -> None:
    assert judge.up_to_ready(LOG, image) == "\n".join(LOG.splitlines()[:lines])
    assert judge.up_to_ready("<10>[ 1.0] harness: readiness\n<4>[ 2.0] x", os()).endswith("x")


def newc(name: str, content: bytes) -> bytes:
    fields = [0] * 13
    fields[6], fields[11] = len(content), len(name) + 1
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def test_names_in_a_cpio_of_several_segments() -> None:
    files = [("a", b""), ("bc", b"x"), ("def", b"070701"), ("ghij", b"1234"), ("TRAILER!!!", b"")]
    segment = b"".join(newc(*one) for one in files)
    names = [name for name, _ in files]
    assert judge.cpio_names(segment) == names
    assert judge.cpio_names(segment + bytes(512) + segment) == names * 2
    assert judge.cpio_names(b"070701" + b"z" * 110 + newc("a", b"1")) == ["a"]
    assert judge.cpio_names(b"") == []
    long = "n" * 300
    assert judge.cpio_names(newc(long, b"070701" * 50) + newc("b", b"")) == [long, "b"]


@pytest.mark.parametrize("place", [54, 94])
def test_a_cpio_that_is_shorter_than_it_says(place: int) -> None:
    """Its size, or that of its name, reaches beyond the end: what follows is not a file of its own."""
    whole = newc("big", b"")
    made = whole[:place] + b"10000000" + whole[place + 8 :] + newc("next", b"")
    found = judge.cpio_names(made)
    assert len(found) == 1 and found[0].startswith("big")


@pytest.mark.parametrize(
    ("ready", "has_firmware", "machine_type", "expected"),
    [
        (None, True, "virt", {"init": 5.0}),
        (500.0, False, "s390-ccw-virtio", {"init": 5.0, "ready": 500.0}),
        (500.0, True, "virt", {"init": 5.0, "ready": 500.0, "firmware": judge.BEFORE_CLOCK}),
        (500.0, True, "virt with UEFI 2022.11", {"init": 5.0, "ready": 500.0, "firmware": judge.BEFORE_CLOCK_UEFI}),
    ],
)
def test_a_budget_of_ready_limits_what_comes_before_it_counts(
    ready: float | None,
    has_firmware: bool,
    machine_type: str,
    expected: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judge, "figures", lambda record: {"firmware": 1} if has_firmware else {})
    budget: Any = SimpleNamespace(phases={"init": 5.0}, ready=ready)
    record: Any = SimpleNamespace(machine_type=machine_type)
    assert judge.limits(budget, record) == expected
