"""Whether a boot's marks can be true: time does not run backwards, and every step comes once and in its place. Pure.

A line on the console is the guest's word. What an image's programs print there may look like a mark; what they cannot
do is to keep the real marks from coming as well, or to write to the emulator's clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.errors import ImageError
from harness.system.milestones import Milestone, power_on_us
from harness.system.record import BootRecord

READY, UNREADY, FIRST = "ready", "unready", "init"
WITNESS_US = 1000  # the frame leaves this long after its mark at most (measured: 0.18 to 0.40 ms)
DRIFT_US, DRIFT = 100, 10_000  # how far the kernel's clock and the machine's may part: a tenth of a millisecond, and a
# ten-thousandth of the time that has passed (measured: 3 µs in 400 ms)
# Two processors may write their lines the other way round; a machine that counts instructions has one.
WALL_FALL_US = 1000

HINT = "does a program of the image write to the console or to /dev/kmsg what looks like a mark?"

_NAME = r"[\w.:@+-]{1,100}"
# The steps of a boot in the order in which they come. Those of one row come in any order among themselves.
_STEPS = (
    r"init",
    r"root",
    r"boot",
    rf"modules/{_NAME} failed",
    r"drivers",
    rf"volumes/{_NAME} failed",
    rf"onboot/{_NAME} (?:start|done|failed|timeout)",
    rf"services/{_NAME} (?:ready|unready)",
    r"ready|unready",
    r"shutdown",
    rf"onshutdown/{_NAME} (?:start|done|failed|timeout)",
    r"off",
)
_PLACES = tuple(re.compile(pattern) for pattern in _STEPS)
_SERVICES = _STEPS.index(rf"services/{_NAME} (?:ready|unready)")
_RUN = re.compile(rf"(?P<place>services/{_NAME}) (?P<step>start|exited)")
# an onboot that switches off may end before the system goes down, or while it does
_ONBOOT_END = re.compile(rf"onboot/{_NAME} (?:done|failed|timeout)")
_ENDS = {"done", "failed", "timeout"}


def check(record: BootRecord) -> None:
    """Raise ImageError naming what cannot be true of a record's marks."""
    if found := complaints(record):
        raise ImageError(
            f"{record.image} on {record.machine}: {message(found[0])}", details="\n".join(found[1:]), hint=HINT
        )


def message(complaint: str) -> str:
    """Return a complaint as an error's message."""
    return f"its marks cannot be true: {complaint}"


def complaints(record: BootRecord) -> tuple[str, ...]:
    """Return all that cannot be true of a record's marks, in words; () when nothing speaks against them."""
    found = list(_falls(record))
    if not record.foreign:
        for number, boot in enumerate(boots := _boots(record)):
            found += _order(boot, restarted=number > 0)
            found += _expected(boot, record.expected)
        if record.mode == "exact" and len(boots) > 1:
            found.append(f"the mark {FIRST!r} stands {len(boots)} times: a counted boot starts once")
        if record.mode == "exact":
            found += _witnessed(record)
    return tuple(dict.fromkeys(found))


def _boots(record: BootRecord) -> list[list[Milestone]]:
    """Return the marks of each boot: a machine that is restarted begins with the first mark again."""
    boots: list[list[Milestone]] = [[]]
    for mark in record.milestones:
        if mark.name == FIRST and boots[-1]:
            boots.append([])
        boots[-1].append(mark)
    return boots


def _falls(record: BootRecord) -> Iterator[str]:
    exact = record.mode == "exact"
    allowed = 0 if exact else WALL_FALL_US
    for boot in [list(record.milestones)] if record.foreign else _boots(record):
        before: Milestone | None = None
        for mark in boot:
            if mark.guest_us is None:
                continue
            if before is not None and mark.guest_us + allowed < (before.guest_us or 0):
                yield (f"the stamp of {mark.name!r} ({_ms(mark.guest_us)}) is lower than that of {before.name!r} "
                       f"({_ms(before.guest_us)}), which came before it")  # fmt: skip
            elif exact and mark.higher_us is not None:
                yield (f"the stamp of {mark.name!r} ({_ms(mark.guest_us)}) is lower than that of a line before it "
                       f"({_ms(mark.higher_us)})")  # fmt: skip
            before = mark


def _order(boot: Sequence[Milestone], *, restarted: bool) -> Iterator[str]:
    """Yield what is wrong with the order of one boot's marks. A console may be opened late: it may begin anywhere."""
    seen: set[str] = set()
    running: set[str] = set()
    place, last = -1, ""
    for mark in boot:
        name = mark.name
        if run := _RUN.fullmatch(name):
            yield from _service(run, running)
            now = _SERVICES
            if place < now:
                place, last = now, name
            continue
        now = next((at for at, pattern in enumerate(_PLACES) if pattern.fullmatch(name)), -1)
        if now < 0:
            yield f"the mark {name!r} is none of the harness's"
            continue
        if name in seen:
            yield f"the mark {name!r} stands twice"
        elif now < place and not ("shutdown" in seen and _ONBOOT_END.fullmatch(name)):
            yield f"the mark {name!r} comes after {last!r}, and belongs before it"
        elif (other := {READY: UNREADY, UNREADY: READY}.get(name)) and other in seen:
            yield f"the marks {other!r} and {name!r} exclude each other"
        seen.add(name)
        thing, _, step = name.rpartition(" ")
        if step in _ENDS and thing.startswith(("onboot/", "onshutdown/")):
            if f"{thing} start" not in seen:
                yield f"the mark {name!r} has no start before it"
            elif ends := {f"{thing} {end}" for end in _ENDS - {step}} & seen:
                yield f"the marks {ends.pop()!r} and {name!r} exclude each other"
        if now >= place:
            place, last = now, name
    if not restarted and boot and boot[0].name != FIRST and {FIRST, "root", "boot"} & seen:
        yield f"the mark {boot[0].name!r} comes before {FIRST!r}"


def _service(run: re.Match[str], running: set[str]) -> Iterator[str]:
    thing = run["place"]
    if run["step"] == "start":
        if thing in running:
            yield f"the mark '{thing} start' stands twice, and no end of it between"
        running.add(thing)
    else:
        if thing not in running:
            yield f"the mark '{thing} exited' has no start before it"
        running.discard(thing)


def _expected(boot: Sequence[Milestone], expected: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield what a boot says of containers that its image does not have, and what ready claims without them."""
    if not expected:
        return
    names = [mark.name for mark in boot]
    for name in dict.fromkeys(names):
        section, _, rest = name.partition(" ")[0].partition("/")
        if section in ("onboot", "services", "onshutdown") and rest not in expected.get(section, ()):
            yield f"the mark {name!r} is of a container that the image does not have"
    if READY in names:
        before = set(names[: names.index(READY)])
        wanted = [f"onboot/{name} done" for name in expected.get("onboot", ())]
        wanted += [f"services/{name} ready" for name in expected.get("services", ())]
        for name in wanted:
            if name not in before:
                yield f"the mark {READY!r} comes before {name!r}"


def _witnessed(record: BootRecord) -> Iterator[str]:
    """Yield where console and emulator do not agree on ready."""
    ready = next((mark for mark in record.milestones if mark.name == READY), None)
    frames = [frame for frame in record.witness if frame.name == READY]
    zeros = {
        mark.name: zero
        for mark in record.milestones
        if mark.name in (FIRST, READY) and (zero := power_on_us(record.arch, mark)) is not None
    }
    drift = DRIFT_US + ((ready.guest_us or 0) if ready else 0) // DRIFT
    if len(zeros) == 2 and abs(zeros[FIRST] - zeros[READY]) > drift:
        yield (f"the counters of {FIRST!r} and {READY!r} do not agree with their stamps: the kernel's clock began "
               f"{_ms(zeros[FIRST])} after power-on by the one, and {_ms(zeros[READY])} by the other")  # fmt: skip
    if len(frames) > 1:
        yield f"the mark {READY!r} left {len(frames)} times as a frame"
    if not frames:
        return  # no network, or none that it can use: the time stays the guest's word
    if ready is None or ready.guest_us is None:
        yield f"the mark {READY!r} left as a frame, and the console does not have it"
        return
    frame = frames[0]
    if frame.values.get("counter") != ready.values.get("counter"):
        yield f"the console's {READY!r} is not the one that left as a frame: their counters differ"
    zero = zeros.get(FIRST, zeros.get(READY))
    if zero is None:
        yield f"the console's {READY!r} has no counter, by which the emulator's clock could be compared with its stamp"
    elif not -drift <= (late := frame.emulator_us - ready.guest_us - zero) <= WITNESS_US + drift:
        yield (f"the console's {READY!r} does not agree with the emulator's clock: {_ms(ready.guest_us + zero)} after "
               f"power-on by its stamp, and its frame left {_ms(late)} later")  # fmt: skip


def _ms(us: int | None) -> str:
    return f"{(us or 0) / 1000:.3f} ms"
