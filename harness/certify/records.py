"""The records of boots as an archive holds them: what can be computed of them is, and must be what they say.

A record in an archive names files as the archive does (``image/kernel``), and no digest that no reader can check.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import dropwhile, pairwise, zip_longest
from pathlib import Path
from typing import IO, cast

from pydantic import TypeAdapter, ValidationError

from harness.certify import contents
from harness.certify.contents import CONSOLE, RECORD, TRANSCRIPT, EvidenceFiles
from harness.emulator import argv as qemu
from harness.emulator.argv import Accel, Channels, Launch
from harness.emulator.disk import DiskSnapshot
from harness.emulator.firmware import Firmware, Flash, needed
from harness.emulator.running import FRAMES
from harness.errors import EvidenceError
from harness.image import ForeignImage, Image
from harness.secrets import SHOWN
from harness.spec.models.machine import MachineSpec
from harness.store import file_digest
from harness.system.cmdline import PROBE_INIT
from harness.system.cmdline import cmdline as whole_cmdline
from harness.system.driver import expected
from harness.system.listener import LONGEST_LINE, Listener
from harness.system.milestones import Finder, Milestone, Patterns, finder
from harness.system.record import READY, SCHEMA, BootRecord, completed
from harness.system.transcript import Transcript

PIECE = 64 << 10  # bytes of a console that are read at once
MOST_TRANSCRIBED = 8 << 20  # bytes of a transcript that is read again
EXACT_REASON = "exact boots count instructions"
HOST_INPUTS = ("firmware/", "args/")  # how the names of what a host brings begin
HOST_FACTS = ("cores", "load", "cpu", "machine", "kernel")
_RECORD: TypeAdapter[BootRecord] = TypeAdapter(BootRecord)
_STAMP = re.compile(rb" *\d+\.\d{6} \| ")


@dataclass(frozen=True)
class Heard:
    """What a console's bytes say: milestones, and the digests of all bytes and of those up to ready.

    ``transcribed``: the transcript beside it, if there is one, has its lines.
    """

    marks: tuple[Milestone, ...]
    sha256: str = ""
    sha256_ready: str = ""
    transcribed: bool = True


Bootable = Image | ForeignImage


def is_exact(boot: str) -> bool:
    """Say whether a boot's folder is of the two exact ones."""
    return boot in contents.EXACT


def kept(boot: str) -> tuple[str, ...]:
    """Return the names of the files that an archive has of a boot."""
    return (RECORD, TRANSCRIPT, *((CONSOLE,) if is_exact(boot) else ()))


def boots_of(files: EvidenceFiles) -> list[str]:
    """Return the folders of the boots whose records an archive has."""
    ending = f"/{contents.RECORD}"
    found = [name.removeprefix(f"{contents.BOOTS}/") for name in files.below(contents.BOOTS) if name.endswith(ending)]
    return sorted(name.removesuffix(ending) for name in found)


def read_console(path: Path, image: Bootable, transcript: Path | None = None) -> Heard:
    """Read a console's bytes again, as they were read then; a `transcript` of it is compared with them."""
    with path.open("rb") as stream:
        return _heard(iter(lambda: stream.read(PIECE), b""), image, transcript)


def read_transcript(path: Path, image: Bootable) -> Heard | None:
    """Read the lines of a transcript again; None when it is longer than what is read of one."""
    if path.stat().st_size > MOST_TRANSCRIBED:
        return None
    with path.open("rb") as stream:
        found = _heard(_lines(stream), image)
    return Heard(found.marks)


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    for line in stream:
        if match := _STAMP.match(line):
            yield line[match.end() :]


def _finder(image: Bootable) -> Finder:
    """Return what finds an image's milestones in the lines of a console: packets are not there."""
    lines = [(row.name, row.pattern) for row in image.milestones if row.pattern]
    return Patterns(list(lines)) if image.milestones else finder(image)


def _heard(pieces: Iterator[bytes], image: Bootable, beside: Path | None = None) -> Heard:
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as scratch:
        with Transcript(Path(scratch) / "again", {}) as transcript:
            listener = Listener(transcript, _finder(image))
            for piece in pieces:
                listener.feed(piece, 0.0)
            listener.flush(0.0)
        transcribed = beside is None or _is_transcript(beside, transcript.path)
    ready = listener.sha256_ready if not any(row.packet and row.name == READY for row in image.milestones) else ""
    return Heard(tuple(listener.milestones), listener.sha256, ready, transcribed)


def read(files: EvidenceFiles, boot: str) -> BootRecord:
    """Return the record of a boot in an archive; EvidenceError when it is none."""
    name = f"{contents.BOOTS}/{boot}/{contents.RECORD}"
    content = files.content(name)
    data = contents.loads(content, name)
    known = {"schema", *(one.name for one in fields(BootRecord))}
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.keys() - known:
        raise EvidenceError(f"{name} is of another schema than {SCHEMA}")
    try:
        return _RECORD.validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise EvidenceError(
            f"{name} is not a record: {'.'.join(map(str, first['loc']))}: {first['msg'][:200]}"
        ) from None


def archived(record: BootRecord, boot: str, image: Bootable, machine: MachineSpec, heard: Heard | None) -> BootRecord:
    """Return a boot's record as an archive has it: all of it computed but for the host's facts.

    Of a record that an archive has already, it is the same, or something in it is not so.
    """
    exact = is_exact(boot)
    marks = record.milestones if heard is None else _timed(_whole(heard.marks, record, image), record.milestones)
    foreign, probed = image.foreign, record.probed and not exact
    blank = replace(
        record,
        image=image.name,
        arch=image.arch.name,
        machine=machine.name,
        mode="exact" if exact else "wall",
        probed=probed,
        foreign=foreign,
        host={key: record.host[key] for key in HOST_FACTS if key in record.host},
        console_sha256=heard.sha256 if heard and exact else "",
        console_sha256_ready=heard.sha256_ready if heard and exact else "",
        expected=expected(image),
        memory=machine.qemu.memory if machine.qemu else 0,
        extra_args=machine.qemu.args if machine.qemu else (),
        seed=1 if exact else None,
        inputs=_inputs(record, image, exact=exact),
    )
    made = completed(blank, marks, record.witness)
    if machine.qemu is None:
        return made
    accel = "tcg" if exact or record.accel not in ("tcg", "kvm") else record.accel
    made = replace(
        made,
        accel=accel,
        accel_reason=EXACT_REASON if exact else record.accel_reason,
        cmdline=_cmdline(record, image, machine, exact=exact, probed=probed),
        cpu=qemu.cpu(machine, cast(Accel, accel)),
        machine_type=machine.qemu.machine + _firmware(record.machine_type, image, machine),
    )
    argv = _argv(made, boot, image, machine)
    return replace(made, argv=argv, devices=tuple(value for option, value in pairwise(argv) if option == "-device"))


def _timed(marks: tuple[Milestone, ...], said: tuple[Milestone, ...]) -> tuple[Milestone, ...]:
    """Return marks with the host's times that a record gives for them: a host's clock cannot be asked again."""
    times = [(one.host_s, one.line_s, one.waited_s) for one in said] + [(0.0, None, None)] * len(marks)
    return tuple(
        replace(mark, host_s=host_s, line_s=line_s, waited_s=waited_s)
        for mark, (host_s, line_s, waited_s) in zip(marks, times, strict=False)
    )


def _whole(marks: tuple[Milestone, ...], record: BootRecord, image: Bootable) -> tuple[Milestone, ...]:
    """Return what a console says, and the milestones that are packets, of which only the record tells."""
    packets = {row.name for row in image.milestones if row.packet}
    if not packets:
        return marks
    lines = {mark.name: mark for mark in marks}
    said = {mark.name: mark for mark in record.milestones if mark.name in packets}
    found = (said.get(row.name) or lines.get(row.name) for row in image.milestones)
    return tuple(mark for mark in found if mark)


def _inputs(record: BootRecord, image: Bootable, *, exact: bool) -> dict[str, str]:
    """Return the digests of what a boot read: the image's own computed, QEMU's and its firmware's as they are said.

    A boot in wall time may have been of a variant, with a probe: its image's digests are left out.
    """
    own = {part: file_digest(path) for part, path in image.parts.shipped.items()} if exact else {}
    hosts = {name: text for name, text in record.inputs.items() if name == "qemu" or name.startswith(HOST_INPUTS)}
    return {**hosts, **own}


def _firmware(said: str, image: Bootable, machine: MachineSpec) -> str:
    """Return what the record's machine type says of a UEFI: its digest is of a file of the host's."""
    match = re.fullmatch(r".*( with UEFI [0-9a-f]{12})", said)
    return match[1] if match and needed(machine, image.parts) else ""


def _cmdline(record: BootRecord, image: Bootable, machine: MachineSpec, *, exact: bool, probed: bool) -> str:
    if exact:
        return whole_cmdline(image.cmdline, machine, image.off_words, mode="exact", probe=False)
    usual = whole_cmdline(image.cmdline, machine, (), mode="wall", probe=probed)
    # a case may have given its own boot more words
    more = record.cmdline.removeprefix(usual)
    wanted = record.cmdline.startswith(f"{usual} ") and PROBE_INIT not in more
    return usual + more if wanted else usual


def _argv(record: BootRecord, boot: str, image: Bootable, machine: MachineSpec) -> tuple[str, ...]:
    """Return QEMU's command line, with the files' names in the archive in the place of a host's paths."""
    where, exact, parts = f"{contents.BOOTS}/{boot}", is_exact(boot), image.parts
    forwards = tuple((0, int(port)) for word in record.argv for port in _ports(word))
    launch = Launch(
        program=image.arch.qemu,
        machine=machine,
        kernel=Path(f"{contents.IMAGE}/kernel") if parts.kernel else None,
        initrd=_initrd(image, probed=record.probed),
        disk=_disk(record) if parts.disk else None,
        disks=tuple(Path(f"{where}/disk{number}.raw") for number in range(len(qemu.emulated(machine).disks))),
        iso=Path(f"{contents.IMAGE}/iso") if parts.iso else None,
        firmware=_flash(record) if needed(machine, parts) else None,
        cmdline=record.cmdline,
        mode=record.mode,
        accel=cast(Accel, record.accel),
        probe=record.probed,
        seed=1,
        forwards=forwards,
        frames=Path(f"{where}/{FRAMES}") if _has_witness(image, machine, exact=exact) else None,
    )
    channel = "socket,fd=0"
    channels = (
        Channels(console=f"file,path={where}/{CONSOLE}")
        if exact
        else Channels(console=f"pipe,path={where}/console", qmp=channel, probe=channel if record.probed else "")
    )
    return tuple(qemu.argv(launch, channels))


def _has_witness(image: Bootable, machine: MachineSpec, *, exact: bool) -> bool:
    """Say whether a boot's frames are written down."""
    return qemu.emulated(machine).network and (exact or any(row.packet for row in image.milestones))


def _ports(word: str) -> list[str]:
    return re.findall(r"hostfwd=tcp:127\.0\.0\.1:\d{1,5}-:(\d{1,5})", word)


def _initrd(image: Bootable, *, probed: bool) -> Path | None:
    if image.parts.initrd is None:
        return None
    return Path(f"{contents.IMAGE}/initrd{'+probe' if probed else ''}")


def _flash(record: BootRecord) -> Firmware:
    """Return the UEFI's chips; their formats are those of the host's files."""
    formats = re.findall(r"if=pflash,unit=\d,format=(raw|qcow2)", " ".join(record.argv))
    code, variables = [*formats, "raw", "raw"][:2]
    return Firmware(Flash(Path("firmware/code"), code), Flash(Path("firmware/variables"), variables))


def _disk(record: BootRecord) -> DiskSnapshot:
    """Return the OS's disk; of its format the command line tells, for the file was looked at when it was booted."""
    found = re.search(r"id=disk,format=(raw|qcow2)", " ".join(record.argv))
    return DiskSnapshot(Path(f"{contents.IMAGE}/disk"), "qcow2" if found and found[1] == "qcow2" else "raw")


def check(files: EvidenceFiles, boot: str, image: Bootable, machine: MachineSpec) -> BootRecord:
    """Return a boot's record when all that can be computed of it is as it says; EvidenceError names what is not."""
    where = f"{contents.BOOTS}/{boot}"
    record, heard = read(files, boot), hear(files, boot, image)
    if not _host_is_sound(record):
        raise EvidenceError(f"{where}/{contents.RECORD} says what no host's clock or load is")
    made = archived(record, boot, image, machine, heard)
    if made != record:
        key = next(one.name for one in fields(BootRecord) if getattr(made, one.name) != getattr(record, one.name))
        source = contents.CONSOLE if is_exact(boot) else contents.TRANSCRIPT
        said, found = (str(getattr(one, key))[:2000] for one in (record, made))
        raise EvidenceError(
            f"{where}/{contents.RECORD} has another {key} than image, machine and {source} give",
            details=f"it says: {said}\nit is:   {found}",
        )
    if record.dumps().encode() != files.content(f"{where}/{contents.RECORD}"):
        raise EvidenceError(f"{where}/{contents.RECORD} is not spelled as this harness does")
    if heard and not heard.transcribed:
        raise EvidenceError(f"{where}/{TRANSCRIPT} does not say what {CONSOLE} beside it does")
    return record


def _is_transcript(said: Path, made: Path) -> bool:
    """Say whether a transcript has the lines of one that was made anew, but for what was taken out as a secret."""
    with said.open("rb") as first, made.open("rb") as second:
        lines = dropwhile(lambda line: line.startswith(b"#"), first)  # what was booted, and by what
        for line, other in zip_longest(lines, _lines(second), fillvalue=b""):
            if len(other) > LONGEST_LINE // 2:
                return True  # where a long line is cut depends on when its pieces came
            stamp = _STAMP.match(line)
            if not stamp or not _says(line[stamp.end() :].split(SHOWN.encode()), other):
                return False
    return True


def _says(parts: list[bytes], line: bytes) -> bool:
    """Say whether a line is these parts, with something between each and the next."""
    at = len(parts[0])
    for part in parts[1:-1]:
        at = line.find(part, at + 1) + len(part)
        if at < len(part):
            return False
    if len(parts) == 1:
        return line == parts[0]
    return line.startswith(parts[0]) and line.endswith(parts[-1]) and len(line) - len(parts[-1]) > at


def hear(files: EvidenceFiles, boot: str, image: Bootable) -> Heard | None:
    """Return what a boot's console says by the files of an archive; None where they do not tell all of it."""
    where = f"{contents.BOOTS}/{boot}"
    if is_exact(boot):
        transcript = files.path(f"{where}/{TRANSCRIPT}") if f"{where}/{TRANSCRIPT}" in files.members else None
        return read_console(files.path(f"{where}/{contents.CONSOLE}"), image, transcript)
    if f"{where}/{contents.TRANSCRIPT}" not in files.members or image.foreign:
        return None  # a foreign OS's prompts were found before their lines had ended
    return read_transcript(files.path(f"{where}/{contents.TRANSCRIPT}"), image)


def _host_is_sound(record: BootRecord) -> bool:
    marks = record.milestones
    times = [time for mark in marks for time in (mark.host_s, mark.line_s or 0.0, mark.waited_s or 0.0)]
    known = set(record.host) <= set(HOST_FACTS)
    sound = all(math.isfinite(one) and one >= 0 for one in times)
    return known and sound and all((mark.waited_s or 0.0) <= mark.host_s for mark in marks)
