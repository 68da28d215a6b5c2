"""What of a container reaches its init: by which its first process could act in the init's place. Pure.

A program that is root and may write the kernel's settings needs no capability for it: the kernel itself starts what
`kernel.core_pattern` names, outside of all containers and with all rights. So where our own init runs them, containers
may only read those settings, unless they keep the right to change them or their YAML says what they may write.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.spec.models.container import Entry, EntryConfig, Mount, Runtime
from harness.spec.models.image import ImageSpec

SETTINGS = ("/proc/sys", "/proc/sysrq-trigger")
# of those, what who sets up networks has no use for
SETTINGS_BUT_NET = ("/proc/sys/fs", "/proc/sys/kernel", "/proc/sys/vm", "/proc/sysrq-trigger")
# With one of these a program comes to act as the first process may, or boots another kernel.
RIGHTS = frozenset(
    f"CAP_{name}"
    for name in (
        "BPF", "DAC_READ_SEARCH", "MKNOD", "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO",
    )
)  # fmt: skip
# Rights of a program that is not root by which it becomes root, or writes what is root's.
BECOMES_ROOT = frozenset(f"CAP_{name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETFCAP", "SETUID"))
# With one of these it sends frames (one that makes networks has a bridge, or a rule, write them). Beside what silences
# the console or switches off, it says `ready` in the init's place.
FRAMES, SILENCE = frozenset({"CAP_NET_ADMIN", "CAP_NET_RAW"}), "CAP_SYSLOG"
# Character devices by which nobody silences a console or switches off: memory's, terminals of one's own, what networks
# and file systems of programs are made with.
HARMLESS = frozenset({(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (10, 200), (10, 229), (108, 0)})
# Of the root's folders, those that can be written and that init or kernel act by.
PLACES = ("/proc", "/sys", "/dev", "/run", "/containers")
NODES = "/dev"  # whose devices are written however it is mounted
VOLUME = ("/containers/volumes/", "/merged")  # what a volume's name stands for begins and ends so: data
SHARED = "/run/resolvconf"  # what a DHCP client tells a resolver there is data
DATA = ("/var/", "/tmp/", "/mnt/", "/media/", "/srv/")  # where what is mounted is only data
LOGS = "/var/log"  # where the init itself opens files, among those of containers
# File systems that hold data; any other kind may be a way into the kernel, or into a folder that its options name.
DATA_KINDS = frozenset(
    {
        "", "btrfs", "devpts", "erofs", "ext2", "ext3", "ext4", "hugetlbfs", "iso9660", "mqueue", "nfs", "nfs4",
        "ramfs", "squashfs", "tmpfs", "vfat", "xfs", "9p", "virtiofs",
    }
)  # fmt: skip
# Where the root has what kernel and init run, and by what they are told what to run.
RUN = ("/bin", "/sbin", "/lib", "/usr", "/containers", "/init", "/etc/init", "/etc/mod", "/etc/ld.so", "/etc/profile",
       "/dev", "/proc", "/sys", "/run")  # fmt: skip
# Words of the kernel's command line that have it start another program; of a setting, `/` is as good as `.`.
LED = ("init=", "rdinit=", "sysctl.kernel.core_pattern", "sysctl.kernel.hotplug", "sysctl.kernel.modprobe",
       "sysctl.fs.binfmt_misc")  # fmt: skip
SHOWN = "/usr/share/"  # what is there nothing runs
# Keys of an entry by which a component of the library stays what it is.
AS_IT_IS = frozenset({"name", "image", "env", "annotations", "hostname", "resources", "oom_score_adj"})
# Variables that have a program run, or read, something else.
LEADING = ("LD_", "PATH=", "ENV=", "BASH_ENV=", "IFS=", "PYTHON", "PERL", "LUA_")
# Components that run what others bring.
RUNNERS = frozenset({"containerd", "cron", "podman", "runc"})
MOUNTS_AT = "MOUNTPOINT="  # the variable by which a component of the library is told where to mount
HINTS = "run.oci."  # annotations by which crun is told to open files, or to run something else


@dataclass(frozen=True)
class Paths:
    """What of a container the init follows by name before it starts, and what it binds in to be written."""

    follows: tuple[str, ...]
    writes: tuple[str, ...]


def seal(config: EntryConfig, capabilities: Container[str]) -> tuple[str, ...]:
    """Return what a container of our own init may only read, where nobody has said what it may write."""
    apart = config.userns not in (None, "", "host", "root")  # where root is nobody, nothing of it can be written
    if apart or config.readonly_paths is not None or "CAP_SYS_ADMIN" in capabilities:
        return ()
    return SETTINGS_BUT_NET if "CAP_NET_ADMIN" in capabilities else SETTINGS


def reach(oci: Mapping[str, Any], runtime: Runtime, *, sealed: bool) -> list[str]:
    """Return by what a container could act in its init's place: rights, places it may write, namespaces; sorted.

    `runtime` says what is mounted in the root before it starts; `sealed`: it only reads the kernel's settings.
    """
    places = (_plain(mount.destination) for mount in runtime.mounts)
    before = [one for row in map(_before, runtime.mounts) for one in _opened(row)]
    return sorted({*_found(oci, sealed=sealed), *before, *(one for one in places if not one.startswith(DATA))})


def paths_of(oci: Mapping[str, Any], runtime: Runtime) -> Paths:
    """Return what of a container is followed by name, and what it may write."""
    rows = [*oci["mounts"], *map(_before, runtime.mounts)]
    bound = [row for row in rows if _is_bind(row)]
    made = (*(mount.destination for mount in runtime.mounts), *runtime.mkdir)
    told = (one.removeprefix(MOUNTS_AT) for one in oci["process"]["env"] if one.startswith(MOUNTS_AT))
    follows = {_plain(one) for one in (*(row["source"] for row in bound), *made, *told) if one.startswith("/")}
    writes = {_plain(row["source"]) for row in bound if not _is_read(row["options"])}
    alone = _is_apart(oci) or not _may_be_root(oci["process"])
    return Paths(tuple(sorted(follows)), () if alone else tuple(sorted(writes)))


def turned(one: Paths, all_of_them: Iterable[Paths], links: Collection[str]) -> list[str]:
    """Return what lets a container have the init follow a link: to another place than the YAML names.

    That is a folder that it may write, where something lies below that the init follows by name; or a link among the
    image's own files, at `links`, by which the container's own places are named.
    """
    followed = [f"{LOGS}/NAME.log", *(place for each in all_of_them for place in each.follows)]
    above = [place for place in one.writes if any(other.startswith(f"{place.rstrip('/')}/") for other in followed)]
    return sorted({*above, *(place for place in one.follows if leads(place, links))})


def leads(place: str, links: Iterable[str]) -> bool:
    """Say whether a place is one of these links, or lies below one."""
    return any(f"{place}/".startswith(f"{link}/") for link in links)


def acts(kernel: str, cmdline: str, init: Iterable[str], files: Mapping[str, str], known: Container[str]) -> list[str]:
    """Return what of an image acts as its kernel or its init and is none of the library, whose names are `known`.

    `files` are the paths of the image's own files, each with what it is a link to, if it is one.
    """
    found = [f"kernel {kernel}"] if kernel not in known else []
    found += [word for word in cmdline.split() if word.replace('"', "").replace("/", ".").startswith(LED)]
    found += [f"init {one}" for one in init if one not in known]
    links = links_of(files)
    clean = sorted({_plain(one) for one in files})
    led = {one for one in clean if one not in links and leads(one, links)}
    led |= {one for one in links if leads(LOGS, [one]) or leads(one, [LOGS])}
    return [*found, *(one for one in clean if one in led or (one.startswith(RUN) and not one.startswith(SHOWN)))]


def links_of(files: Mapping[str, str]) -> frozenset[str]:
    """Return where among an image's own files there are links."""
    return frozenset(_plain(path) for path, target in files.items() if target)


def _plain(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _found(oci: Mapping[str, Any], *, sealed: bool) -> Iterator[str]:
    process, linux = oci["process"], oci["linux"]
    if any(name.startswith(HINTS) for name in oci.get("annotations", ())):
        yield HINTS.rstrip(".")
    if _is_apart(oci):
        return  # its root is nobody outside
    kept = set(process["capabilities"]["bounding"])
    root = _may_be_root(process)
    yield from (_short(one) for one in kept & RIGHTS)
    if frames := kept & FRAMES:
        ends = [_short(SILENCE)] if SILENCE in kept else []
        ends += ["pid"] if root and not _is_own(linux, "pid") else []
        ends += [row["path"] for row in linux.get("devices", ()) if row["type"] not in ("b", "p") and
                 (row["major"], row["minor"]) not in HARMLESS]  # fmt: skip
        yield from [*map(_short, frames), *ends] if ends else []
    # by a disk, or by the loop that is the root, what init runs may be changed
    yield from (row["path"] for row in linux.get("devices", ()) if row["type"] == "b")
    if not root:
        return
    seen = {*linux.get("readonlyPaths", ()), *linux.get("maskedPaths", ())}
    if not (sealed or {"/proc", SETTINGS[0]} & seen):
        yield SETTINGS[0]
    for row in oci["mounts"]:
        if row["type"] == "proc" and row["destination"] == "/proc":
            continue
        if row["type"] == "sysfs" and {_plain(row["destination"])} & seen:
            continue
        yield from _opened(row)


def _opened(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of the kernel or of the init a mount lets be written."""
    options, source, kind = row["options"], _plain(row["source"]), row["type"]
    if _is_bind(row):
        # what is mounted below another place stays as it is when that is read only
        open_still = (source == "/" and "rbind" in options) or leads(source, [NODES])
        if _acts(source) and (open_still or not _is_read(options)):
            yield source
    elif kind not in DATA_KINDS and not _is_read(options):
        yield {"proc": SETTINGS[0], "sysfs": "/sys"}.get(kind, kind)


def _before(mount: Mount) -> dict[str, Any]:
    """Return a mount of the root as one of a container."""
    return {"type": mount.type, "source": mount.source or mount.type, "destination": mount.destination,
            "options": list(mount.options)}  # fmt: skip


def _is_bind(row: Mapping[str, Any]) -> bool:
    return row["type"] in ("bind", "rbind") or bool({"bind", "rbind"} & set(row["options"]))


def _is_read(options: Sequence[str]) -> bool:
    """Say whether a mount is read only: of two words the last counts."""
    return ([one for one in options if one in ("ro", "rro", "rw", "rrw")] or [""])[-1] in ("ro", "rro")


def _acts(source: str) -> bool:
    if source.startswith(SHARED) or _is_volume(source):
        return False
    return source == "/" or any(f"{source}/".startswith(f"{place}/") for place in PLACES)


def _is_volume(source: str) -> bool:
    before, after = VOLUME
    name = source.removeprefix(before).removesuffix(after)
    return source == f"{before}{name}{after}" and "/" not in name


def _is_own(linux: Mapping[str, Any], kind: str) -> bool:
    """Say whether a container has a namespace of a kind to itself: a path may name the root's, or another's."""
    return any(row["type"] == kind and "path" not in row for row in linux["namespaces"])


def _is_apart(oci: Mapping[str, Any]) -> bool:
    """Say whether a container's root is nobody outside: with ids of its own, none of which is root's."""
    rows = oci["linux"].get("uidMappings", ())
    return _is_own(oci["linux"], "user") and bool(rows) and all(row["hostID"] > 0 for row in rows)


def _may_be_root(process: Mapping[str, Any]) -> bool:
    """Say whether a program is root, or may become it, as by a setuid file of its own image."""
    kept = set(process["capabilities"]["bounding"])
    return process["user"]["uid"] == 0 or not process["noNewPrivileges"] or bool(kept & BECOMES_ROOT)


def _short(capability: str) -> str:
    return capability.removeprefix("CAP_")


def acts_of(spec: ImageSpec, known: Container[str]) -> list[str]:
    """Return the same of a whole image."""
    return acts(spec.kernel.image, spec.kernel.cmdline, spec.init, own_paths(spec), known)


def own_paths(spec: ImageSpec) -> dict[str, str]:
    """Return the paths of an image's own files, each with what it is a link to."""
    return {one.path: one.symlink for one in spec.files}


def is_ours(entry: Entry, known: Mapping[str, object], links: Collection[str] = ()) -> bool:
    """Say whether an entry is a component of the library, `known` by name, and runs nothing but what is in it.

    Nor may it be told to mount something that is no data, or elsewhere than where data is: `links` are those of the
    image's own files.
    """
    said = {key for key in entry.model_fields_set if getattr(entry, key) is not None}
    env = entry.env or ()
    led = any(one.startswith(LEADING) or not _is_data(*one.partition("=")[::2], links) for one in env)
    hinted = any(name.startswith(HINTS) for name in entry.annotations or ())
    return entry.image in known and entry.image not in RUNNERS and said <= AS_IT_IS and not led and not hinted


def _is_data(name: str, value: str, links: Collection[str]) -> bool:
    """Say whether a variable that tells what is mounted, and where, names data."""
    place = _plain(value)
    if name == MOUNTS_AT.rstrip("="):
        return place.startswith(DATA) and not leads(place, links)
    if name == "TYPE":
        return value in DATA_KINDS
    if name == "OPTIONS":
        return not {"bind", "rbind", "move"} & set(value.split(","))
    return True
