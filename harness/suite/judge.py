"""What cases read from a system, turned into facts that can be compared. Pure: no guest is asked here."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.measure.phases import FIRMWARE, figures
from harness.patterns import compiled
from harness.tree import cpio

if TYPE_CHECKING:
    from harness.image import Bootable
    from harness.spec.models.plan import Budget
    from harness.system.milestones import Milestone
    from harness.system.record import BootRecord

# Bit numbers of linux/capability.h.
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(_NAMES.split())
_KMSG = re.compile(r"(?P<level>\d+),\d+,(?P<us>\d+),[^;]*;(?P<words>.*)")
READY = "ready"
# What may come before the kernel's clock, in ms: firmware, and a kernel that unpacks itself (measured: 93 to 465, with
# a PC's UEFI 2621). One that begins its clock later would have a time of ready that leaves out what it did.
BEFORE_CLOCK, BEFORE_CLOCK_UEFI = 1000.0, 5000.0
WARNING = 4  # kernel log levels up to this one are a finding
# States in /proc/net/tcp and its likes (linux/net/tcp_states.h). A UDP or raw socket without a peer takes what anybody
# sends; one that is connected hears its peer alone, as a client does.
LISTEN, UNCONNECTED = "0A", "07"
FIRST_STEPS = ("init", "root", "boot")
# File systems that forget everything when the machine goes off, or hold no files of the OS at all.
_VOLATILE = (
    "tmpfs ramfs rootfs devtmpfs devpts proc sysfs cgroup2 cgroup mqueue hugetlbfs securityfs debugfs tracefs bpf "
    "pstore configfs fusectl binfmt_misc nsfs rpc_pipefs autofs selinuxfs efivarfs"
)
VOLATILE = frozenset(_VOLATILE.split())
# Those that hold nothing that an OS has put there.
KERNELS_OWN = VOLATILE - {"tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs"}
READ_ONLY = frozenset(("squashfs", "erofs", "iso9660"))


def limits(budget: Budget, record: BootRecord) -> dict[str, float]:
    """Return by name what an exact boot's figures may be, in ms. One of `ready` limits what comes before it counts."""
    allowed = dict(budget.phases)
    if budget.ready is not None:
        allowed[READY] = budget.ready
        if FIRMWARE in figures(record):
            allowed.setdefault(FIRMWARE, BEFORE_CLOCK_UEFI if " with UEFI " in record.machine_type else BEFORE_CLOCK)
    return allowed


def over_budget(figures: Mapping[str, int], allowed: Mapping[str, float]) -> list[str]:
    """Return in words which figures (µs) take more than what is allowed (ms); one that is not there is over, too."""
    return [
        f"{name}: {figures[name] / 1000:.3f} ms, {most:g} ms allowed"
        if name in figures
        else f"{name}: there is no such figure, but {', '.join(figures)}"
        for name, most in allowed.items()
        if name not in figures or figures[name] > most * 1000
    ]


@dataclass(frozen=True)
class MountLine:
    """One line of mountinfo. ``flags`` are the mount's own, ``super_flags`` its file system's.

    ``device`` is the file system's, as MAJOR:MINOR; a major number of 0 is not a device.
    """

    place: str
    kind: str
    flags: frozenset[str]
    super_flags: frozenset[str]
    device: str


def mounts(mountinfo: str) -> list[MountLine]:
    """Read /proc/PID/mountinfo."""
    rows = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        _, _, device, _, place, flags, *_ = left.split(" ")
        kind, _, super_flags = right.split(" ", 2)
        own, its = frozenset(flags.split(",")), frozenset(super_flags.split(","))
        rows.append(MountLine(_unescape(place), kind, own, its, device))
    return rows


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def lasting(found: Sequence[MountLine], declared: Collection[str]) -> list[str]:
    """Return the mounts that keep what is written to them and that are not below a declared place.

    An overlay keeps it in its upper layer.
    """
    kept = []
    places = {one.place: one.kind for one in found}
    for one in found:
        if "ro" in one.flags | one.super_flags or one.kind in VOLATILE | READ_ONLY or is_below(one.place, declared):
            continue
        upper = next((flag.partition("=")[2] for flag in one.super_flags if flag.startswith("upperdir=")), "")
        if one.kind == "overlay" and (_kind_at(upper, places) in VOLATILE or is_below(upper, declared)):
            continue
        kept.append(f"{one.place} ({one.kind})")
    return kept


def is_below(path: str, places: Iterable[str]) -> bool:
    """Say whether a path is one of some places, or below one."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _kind_at(path: str, places: Mapping[str, str]) -> str:
    """Return the kind of file system that a path lies on, of file systems by place."""
    above = [place for place in places if place in ("/", path) or path.startswith(f"{place}/")]
    return places[max(above, key=len)] if above and path else ""


def steps(expect: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the marks that an image's boot must show, each as (earlier, later)."""
    yield from pairwise(FIRST_STEPS)
    last = FIRST_STEPS[-1]
    for name in expect["onboot"]:
        for step in (f"onboot/{name} start", f"onboot/{name} done"):
            yield last, step
            last = step
    for name in expect["services"]:
        yield last, f"services/{name} start"
        yield f"services/{name} start", f"services/{name} ready"
        yield f"services/{name} ready", "ready"
    yield last, "ready"


def down(expect: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the marks that an image shows on its way down, in order."""
    return ["shutdown", *(f"onshutdown/{name} done" for name in expect["onshutdown"]), "off"]


def disorder(names: Sequence[str], wanted: Iterable[tuple[str, str]]) -> list[str]:
    """Return what is wrong with the order of marks: one missing, or one that came after what it should precede."""
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    faults = []
    for earlier, later in wanted:
        faults += [f"no mark {name!r}" for name in (earlier, later) if name not in first]
        if first.get(earlier, 0) > first.get(later, len(names)):
            faults.append(f"{later!r} came before {earlier!r}")
    return list(dict.fromkeys(faults))


def rests(marks: Iterable[Milestone], name: str, restart: str) -> bool:
    """Say whether a service has rightly ended: with 0 (an `always` pauses then), or it is never started again."""
    mine = [mark for mark in marks if mark.name in (f"services/{name} start", f"services/{name} exited")]
    if not mine or mine[-1].name.endswith("start"):
        return False
    return restart == "never" or mine[-1].values.get("code") == "0"


def failures(marks: Iterable[Milestone]) -> Counter[str]:
    """Count how often each service has ended with another exit code than 0."""
    ends = (mark for mark in marks if mark.name.startswith("services/") and mark.name.endswith(" exited"))
    return Counter(mark.name[len("services/") : -len(" exited")] for mark in ends if mark.values.get("code") != "0")


def prepared(scripts: str) -> set[str]:
    """Return the places on which the bundles' `prepare` scripts mount what a YAML's `runtime.mounts` declare."""
    rows = (shlex.split(line) for line in scripts.splitlines() if line.startswith("mount "))
    return {row[-1] for row in rows}


def troubles(names: Iterable[str]) -> list[str]:
    """Return the marks that tell of something going wrong."""
    return [name for name in names if name == "unready" or name.rpartition(" ")[2] in ("failed", "timeout", "unready")]


def capabilities(mask: str, last: int) -> set[str]:
    """Return the names in a capability mask (hex) of a kernel whose highest capability is number `last`."""
    bits = int(mask, 16)
    return {f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if number <= last and bits >> number & 1}


def known(names: Collection[str], last: int) -> set[str]:
    """Return those of some capabilities that a kernel whose highest one is number `last` has."""
    return {f"CAP_{name}" for name in CAPABILITIES[: last + 1]} & set(names)


def ports(table: str, state: str) -> set[int]:
    """Return the local ports of the sockets in a state in /proc/net/tcp (LISTEN), udp or raw (UNCONNECTED)."""
    found = set()
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[0].endswith(":") and fields[3] == state:
            found.add(int(fields[1].rpartition(":")[2], 16))
    return found


@dataclass(frozen=True)
class Noise:
    """A kernel message that is not the image's fault: ``arch`` and ``machine`` (a pattern) say where, ``why`` why."""

    pattern: str
    why: str
    arch: str = ""
    machine: str = ""


def kernel_log(kmsg: str) -> str:
    """Return what /dev/kmsg gave as `dmesg -r` shows it: ``<LEVEL>[SECONDS] words``, its fields' lines left out."""
    rows = (_KMSG.match(line) for line in kmsg.splitlines())
    return "\n".join(f"<{row['level']}>[{int(row['us']) / 1e6:12.6f}] {row['words']}" for row in rows if row)


def up_to_ready(log: str, image: Bootable) -> str:
    """Return a kernel log up to the line that says that the system is ready; all of it where that is not in it."""
    ready = next((row.pattern for row in image.milestones if row.name == READY), None)
    if image.milestones and not ready:
        return log
    found = compiled(ready or r"harness: ready( |$)")
    kept: list[str] = []
    for line in log.splitlines():
        kept.append(line)
        if found.search(line.partition(">")[2].encode()):
            break
    return "\n".join(kept)


def complaints(dmesg: str, noise: Iterable[Noise], *, arch: str, machine: str) -> list[str]:
    """Return the kernel's own messages (`dmesg -r`) of level warning or worse, less the known noise."""
    allowed = [
        re.compile(one.pattern)
        for one in noise
        if one.arch in ("", arch) and re.fullmatch(one.machine or ".*", machine)
    ]
    found = []
    for line in dmesg.splitlines():
        match = re.match(r"<(\d+)>(?:\[[^]]*\] ?)?(.*)", line)
        if match is None or int(match[1]) >> 3 != 0 or int(match[1]) & 7 > WARNING:
            continue
        if not any(pattern.search(match[2]) for pattern in allowed):
            found.append(match[2])
    return found


def cpio_names(data: bytes) -> list[str]:
    """Return the names in an uncompressed newc cpio archive, all its segments."""
    names, place = [], 0
    while (place := data.find(b"070701", place)) >= 0:
        head = data[place : place + 110]
        try:
            size, name_size = cpio.number(head[54:62]), cpio.number(head[94:102])
        except ValueError:
            place += 1
            continue
        start = place + 110
        name = data[start : start + name_size - 1].decode(errors="replace")
        names.append(name)
        place = _align(_align(start + name_size) + size)
    return names


def _align(place: int) -> int:
    return place + (-place % 4)
