"""What a serial line takes of a boot's times, told from what comes out of it: simulated lines, and a throttled one."""

from __future__ import annotations

import random
from bisect import bisect_right
from operator import itemgetter

import pytest

from harness.board.wire import BITS, Wire
from harness.system.channels import GATHER_S
from harness.system.milestones import Milestone, parse

ON_S = 1000.0  # when the board was switched on, by this host's clock
ZERO_S = 1.5  # when the kernel's clock began, since then
Said = tuple[float, str]  # when by the kernel's clock, and what


def line(stamp_s: float, words: str) -> bytes:
    return b"[%12.6f] %s\r\n" % (stamp_s, words.encode())


def boot_of(rng: random.Random) -> list[Said]:
    """A quiet start, then bursts of kernel lines with marks in their midst."""
    said, now = [(0.4, "harness: init")], 0.9
    for number in range(12):
        for _ in range(rng.randint(0, 15)):
            said.append((now, "x" * rng.randint(10, 90)))
            now += rng.uniform(0.0001, 0.01)
        said.append((now, f"harness: services/s{number} start"))
        now += rng.choice((0.001, 0.01, 0.3))
    return [*said, (now + 0.2, "harness: ready counter=1")]


def heard(said: list[Said], baud: int, rng: random.Random, zero_s: float) -> list[tuple[bytes, float]]:
    """What a host reads, and when: one character after another, in pieces as a reader takes them."""
    came: list[tuple[float, int]] = []
    free_s = 0.0  # when the line has brought all before
    for stamp_s, words in said:
        for byte in line(stamp_s, words):
            free_s = max(free_s, zero_s + stamp_s) + BITS / baud
            came.append((free_s, byte))
    pieces, at = [], 0
    while at < len(came):
        now_s = came[at][0] + rng.uniform(0, GATHER_S)
        end = bisect_right(came, now_s, key=itemgetter(0))
        pieces.append((bytes(byte for _, byte in came[at:end]), now_s))
        at = end
    return pieces


def timed(pieces: list[tuple[bytes, float]], baud: int | None) -> list[Milestone]:
    """What the harness makes of it: the milestones, with what the line took."""
    wire, marks, rest = Wire(baud), [], b""
    for data, now_s in pieces:
        wire.hear(data, now_s)
        whole, newline, rest = (rest + data).rpartition(b"\n")
        marks += parse((whole + newline).replace(b"\r", b""), now_s - ON_S)
    return wire.timed(marks, ON_S)


@pytest.mark.parametrize("baud", [1200, 9600, 115200])
@pytest.mark.parametrize("seed", range(5))
def test_a_slow_lines_times_are_those_of_a_line_that_takes_none(baud: int, seed: int) -> None:
    rng = random.Random(seed)
    said = boot_of(rng)
    marks = timed(heard(said, baud, rng, ON_S + ZERO_S), baud)
    true = {words.split()[1]: ZERO_S + stamp_s for stamp_s, words in said if words.startswith("harness: ")}
    # The first mark met an idle line: what is left of its delay is how long the reader let it lie, a pause at most.
    assert {mark.name.split()[0] for mark in marks} == set(true)
    for mark in marks:
        assert -1e-5 <= mark.said_s - true[mark.name.split()[0]] <= GATHER_S
    waited = [mark.host_s - true[mark.name.split()[0]] for mark in marks]
    assert baud > 1200 or max(waited) > 1  # of a second: as heard they are far off


def test_a_line_that_never_rests_is_told_from_its_first_words() -> None:
    said = [(0.1, "a" * 20), *((0.1 + number / 1e6, "harness: step") for number in range(1, 100))]
    *_, last = timed(heard(said, 9600, random.Random(1), ON_S), 9600)
    assert last.host_s > 3 and last.said_s - said[-1][0] == pytest.approx(0, abs=GATHER_S)


def test_without_a_speed_only_the_waiting_is_told() -> None:
    rng = random.Random(3)
    said = boot_of(rng)
    pieces = heard(said, 9600, rng, ON_S)
    own_s = len(line(*said[0])) * BITS / 9600
    mark = timed(pieces, None)[0]
    assert mark.said_s - said[0][0] == pytest.approx(own_s, abs=GATHER_S)


def test_each_boot_has_a_clock_of_its_own() -> None:
    rng = random.Random(4)
    pieces = [*heard(boot_of(rng), 9600, rng, ON_S), *heard(boot_of(rng), 9600, rng, ON_S + 60)]
    inits = [mark for mark in timed(pieces, 9600) if mark.name == "init"]
    assert [mark.said_s for mark in inits] == pytest.approx([0.4, 60.4], abs=GATHER_S)


@pytest.mark.parametrize("spoilt", [b"[    9.400000] x\r\n", b"[    0.000001] x\r\n"])
def test_a_stamp_that_a_bad_line_has_changed_is_contradicted_by_the_next(spoilt: bytes) -> None:
    rng = random.Random(5)
    said = boot_of(rng)
    pieces = heard(said, 9600, rng, ON_S)
    at = next(number for number, (data, _) in enumerate(pieces) if data.endswith(b"\n")) + 1
    pieces.insert(at, (spoilt, pieces[at - 1][1]))
    ready = timed(pieces, 9600)[-1]
    assert ready.said_s == pytest.approx(said[-1][0], abs=GATHER_S + len(spoilt) * BITS / 9600)


def test_what_has_no_stamp_is_as_it_was_heard() -> None:
    wire = Wire(9600)
    wire.hear(b"login: ", 5.0)
    (mark,) = wire.timed([Milestone("prompt", None, 5.0)], 0.0)
    assert (mark.line_s, mark.said_s) == (None, 5.0)
    assert wire.timed([Milestone("init", 100, 5.0)], 0.0)[0].line_s is None  # no stamp was heard at all
