"""Images that lie about their time: a container with all rights says what is the kernel's or the init's to say.

Every lie is told to the functions that judge, in the console's bytes and the frames of an honest boot that was
recorded; some are booted, and with ``--long`` all: what a container can really say is shown by that alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import ImageError
from harness.launch.exact import exact_boot
from harness.spec import load_image, load_machine
from harness.system.frames import WitnessFrame
from harness.system.listener import Listener
from harness.system.marks import complaints
from harness.system.record import BootRecord, completed
from harness.system.transcript import Transcript

READY = "harness: ready counter=1ffb03bb"
HEALTH = "harness: services/liar ready cpu=1"
PLAIN = "[ {stamp:>11}] {words}"
CONSOLE, KMSG = "/dev/console", "/dev/kmsg"
FRAME = "ip link set eth0 up; /harness/mark ready witness; "
SILENCE = "dmesg -n 1; "
ALL_THAT_IS_MISSING = (("0.900001", HEALTH), ("0.900002", READY))


@dataclass(frozen=True)
class Lie:
    """What a container of a section says: stamps and words, each as a `line`, and where.

    `first` is a command that comes before. `frames`: as many of `ready` leave as well, each with a line in the kernel's
    log. `silent`: nothing of the kernel's log is on the console any more.
    """

    section: str
    words: tuple[tuple[str, str], ...] = (("0.300002", READY),)
    line: str = PLAIN
    where: str = CONSOLE
    first: str = ""
    frames: int = 0
    silent: bool = False

    @property
    def command(self) -> str:
        """Tell it, as a shell does."""
        if self.where == KMSG:
            return self.first + "; ".join(f"echo '<10>{words}' >{KMSG}" for _, words in self.words)
        text = "".join(self.line.format(stamp=stamp, words=words) + "\\r\\n" for stamp, words in self.words)
        return f"{self.first}printf '{text}' >{self.where}"


# Ways in which a container tells another time than the true one. A slow onboot comes first.
LIES = {
    "console, earlier": Lie("services"),
    "console, all that is missing": Lie("services", (("0.300001", HEALTH), ("0.300002", READY))),
    "console, later": Lie("services", (("99.300002", READY),)),
    "console, behind other words": Lie("services", line=f"login: {PLAIN}"),
    "console, in colours": Lie("services", line=f"\\033[1m{PLAIN}\\033[0m"),
    "console, with a caller": Lie("services", line=PLAIN.replace("] ", "][    T1] ")),
    "console, twice": Lie("services", (("5.300002", READY), ("5.300003", READY))),
    "console, of an onboot": Lie("onboot"),
    "console, an onboot's own end": Lie("onboot", (("0.300002", "harness: onboot/liar done"),)),
    "console, a service's start": Lie("onboot", (("0.300002", "harness: services/hello start"),)),
    "console, the first mark": Lie("services", (("0.300002", "harness: init counter=1"),)),
    "console, another name": Lie("services", (("9.300002", "harness: fast"),)),
    "console, another service": Lie("services", (("9.300002", "harness: services/x ready"),)),
    "console, the end": Lie("services", (("9.300002", "harness: off"),)),
    "the serial line, earlier": Lie("services", where="/dev/ttyAMA0"),
    "kmsg, ready": Lie("services", where=KMSG),
    "kmsg, of an onboot": Lie("onboot", where=KMSG),
    "kmsg, a service's health": Lie("services", (("", HEALTH),), where=KMSG),
    "kmsg, an onboot's end": Lie("onboot", (("", "harness: onboot/liar done"),), where=KMSG),
    "kmsg, by another clock": Lie("services", where=KMSG, first="date -s 2020-01-01; "),
    "a frame as well": Lie("services", ALL_THAT_IS_MISSING, first=FRAME, frames=1),
    "the kernel silenced": Lie("services", ALL_THAT_IS_MISSING, first=SILENCE, silent=True),
    "the kernel silenced, and a frame": Lie(
        "services", ALL_THAT_IS_MISSING, first=SILENCE + FRAME, frames=1, silent=True
    ),
}  # fmt: skip
# One of each way boots also where time is short.
BOOTED = ("console, all that is missing", "kmsg, of an onboot", "a frame as well", "the kernel silenced")

# The console of an image that does not lie, and when by the emulator's clock its `ready` left as a frame.
HONEST = """\
[    0.173464] harness: init counter=fe8498
[    0.198073] harness: root
[    0.208807] harness: boot
[    0.291847] harness: drivers
[    0.292645] harness: onboot/slow start
[    0.612619] harness: onboot/slow done
[    0.613000] harness: onboot/liar start
[    0.615000] harness: onboot/liar done
[    0.616808] harness: services/liar start
[    0.619031] harness: services/hello start
[    0.632569] harness: services/hello ready cpu=2635
[    0.829779] harness: services/liar ready cpu=3126
[    0.829800] harness: ready counter=37072dd
[    0.845804] harness: shutdown
[    0.878276] harness: off
"""
LEFT = WitnessFrame("ready", 923_571, {"counter": "37072dd"})
# Where the liar of a section lies: before this line, and with the stamp that the kernel would give it there.
THERE = {"onboot": ("[    0.615000]", "0.614000"), "services": ("[    0.829779]", "0.800000")}


def heard(lie: Lie, folder: Path) -> BootRecord:
    """Return the record of the honest boot, with a lie in it."""
    other = "services" if lie.section == "onboot" else "onboot"
    before, now = THERE[lie.section]
    console = "".join(line for line in HONEST.splitlines(keepends=True) if f"{other}/liar" not in line)
    honest, _, rest = console.partition(before)
    logged = [PLAIN.format(stamp=now, words=READY)] * lie.frames if not lie.silent else []
    line, stamped = (PLAIN, now) if lie.where == KMSG else (lie.line.replace("\\033", "\x1b"), "")
    said = [line.format(stamp=stamped or stamp, words=words) for stamp, words in lie.words]
    lines = [honest, *(f"{one}\n" for one in (*logged, *said)), *([] if lie.silent else [before, rest])]
    with Transcript(folder / "transcript", {}) as transcript:
        listener = Listener(transcript)
        listener.feed("".join(lines).replace("\n", "\r\n").encode(), 1.0)
    names = {"onboot": ["slow"], "services": ["hello"], "onshutdown": []}
    names[lie.section].append("liar")
    blank = BootRecord(
        image="liar", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg", accel_reason="", argv=(),
        cmdline="", cpu="c", machine_type="virt", qemu_version="7",
        expected={section: tuple(found) for section, found in names.items()},
    )  # fmt: skip
    return completed(blank, listener.milestones, (*[replace(LEFT, emulator_us=900_000)] * lie.frames, LEFT))


@pytest.mark.parametrize("section", ["onboot", "services"])
def test_a_boot_without_a_lie_is_believed(section: str, tmp_path: Path) -> None:
    record = heard(Lie(section, words=()), tmp_path)
    assert (record.ready_us, record.ready_clock, complaints(record)) == (829_800, "emulator", ())


@pytest.mark.parametrize("how", list(LIES))
def test_no_lie_gets_past_who_judges(how: str, tmp_path: Path) -> None:
    assert complaints(heard(LIES[how], tmp_path)) != ()


FOREVER = "echo it is up; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"
LIAR = """\
kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests"}}
init: [init]
onboot:
  - {{name: slow, image: busybox, command: ["/bin/sleep", "0.3"]}}
{onboot}
services:
  - {{name: hello, image: busybox, command: ["/bin/sleep", "3600"]}}
{services}
"""


def liar(section: str, lie: str) -> str:
    """Return the YAML of an image of which one container has all that it needs to lie."""
    command = f"{lie}; sleep 0.1" if section == "onboot" else f"sleep 0.2; {lie}; {FOREVER}"
    entry = {
        "name": "liar", "image": "busybox", "command": ["/bin/sh", "-c", command], "net": "host",
        "binds": ["/dev:/dev", "/usr/lib/harness:/harness:ro"], "capabilities": ["all"],
    }  # fmt: skip
    if section == "services":
        entry["annotations"] = {"harness.health": "log:it is up"}
    return LIAR.format(**{"onboot": "", "services": "", section: f"  - {json.dumps(entry)}"})


@pytest.mark.boots
@pytest.mark.builds
@pytest.mark.parametrize("how", [how if how in BOOTED else pytest.param(how, marks=pytest.mark.long) for how in LIES])
def test_no_image_is_believed_another_time_than_the_true_one(how: str, tmp_path: Path) -> None:
    (tmp_path / "liar.yml").write_text(liar(LIES[how].section, LIES[how].command))
    image = Builder(Settings()).build(load_image([tmp_path / "liar.yml"]), by_name("arm64"))
    with pytest.raises(ImageError) as caught:
        exact_boot(image, load_machine("qemu-arm64"), tmp_path / "out", timeout=60)
    assert "its marks cannot be true" in str(caught.value), str(caught.value)
