"""What of a container reaches its init: by which its first process could act in the init's place. Pure.

A program that is root and may write the kernel's settings needs no capability for it: the kernel itself starts what
`kernel.core_pattern` names, outside of all containers and with all rights. So where our own init runs them, containers
may only read those settings, unless they keep the right to change them or their YAML says what they may write.
"""

from __future__ import annotations

import posixpath
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from harness.spec.models.container import Entry, EntryConfig
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
# One of these alone sends frames or silences the console; both, or one with the host's processes, say `ready` for it.
FRAMES, SILENCE = "CAP_NET_RAW", "CAP_SYSLOG"
# Of the root's folders, those that can be written and that init or kernel act by.
PLACES = ("/proc", "/sys", "/dev", "/run")
SHARED = "/run/resolvconf"  # what a DHCP client tells a resolver there is data
DATA = ("/var/", "/tmp/", "/mnt/", "/media/", "/srv/")  # where what is mounted is only data
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


def seal(config: EntryConfig, capabilities: Container[str]) -> tuple[str, ...]:
    """Return what a container of our own init may only read, where nobody has said what it may write."""
    apart = config.userns not in (None, "", "host", "root")  # where root is nobody, nothing of it can be written
    if apart or config.readonly_paths is not None or "CAP_SYS_ADMIN" in capabilities:
        return ()
    return SETTINGS_BUT_NET if "CAP_NET_ADMIN" in capabilities else SETTINGS


def reach(oci: Mapping[str, Any], mounted: Iterable[str] = (), *, sealed: bool) -> list[str]:
    """Return by what a container could act in its init's place: rights, places it may write, namespaces; sorted.

    `mounted` are the places in the root at which something is mounted before it starts.
    """
    places = (posixpath.normpath("/" + one.lstrip("/")) for one in mounted)
    return sorted({*_found(oci, sealed=sealed), *(one for one in places if not one.startswith(DATA))})


def acts(kernel: str, cmdline: str, init: Iterable[str], paths: Iterable[str], known: Container[str]) -> list[str]:
    """Return what of an image acts as its kernel or its init and is none of the library, whose names are `known`."""
    found = [f"kernel {kernel}"] if kernel not in known else []
    found += [word for word in cmdline.split() if word.replace('"', "").replace("/", ".").startswith(LED)]
    found += [f"init {one}" for one in init if one not in known]
    clean = sorted({posixpath.normpath("/" + one.lstrip("/")) for one in paths})
    return [*found, *(one for one in clean if one.startswith(RUN) and not one.startswith(SHOWN))]


def _found(oci: Mapping[str, Any], *, sealed: bool) -> Iterator[str]:
    process, linux = oci["process"], oci["linux"]
    kept = set(process["capabilities"]["bounding"])
    apart = {row["type"] for row in linux["namespaces"]}
    if "user" in apart:
        return  # its root is nobody outside
    yield from (one.removeprefix("CAP_") for one in kept & RIGHTS)
    root = process["user"]["uid"] == 0 or "CAP_DAC_OVERRIDE" in kept
    if FRAMES in kept and (SILENCE in kept or (root and "pid" not in apart)):
        yield FRAMES.removeprefix("CAP_")
        yield "pid" if "pid" not in apart else SILENCE.removeprefix("CAP_")
    if not root:
        return
    seen = {*linux.get("readonlyPaths", ()), *linux.get("maskedPaths", ())}
    if not (sealed or {"/proc", SETTINGS[0]} & seen):
        yield SETTINGS[0]
    for row in oci["mounts"]:
        if row["type"] == "proc" and row["destination"] != "/proc" and "ro" not in row["options"]:
            yield SETTINGS[0]
        source = posixpath.normpath("/" + row["source"].lstrip("/"))
        if row["type"] == "bind" and "ro" not in row["options"] and _acts(source):
            yield source


def _acts(source: str) -> bool:
    if source.startswith(SHARED):
        return False
    return source == "/" or any(f"{source}/".startswith(f"{place}/") for place in PLACES)


def acts_of(spec: ImageSpec, known: Container[str]) -> list[str]:
    """Return the same of a whole image."""
    return acts(spec.kernel.image, spec.kernel.cmdline, spec.init, (one.path for one in spec.files), known)


def is_ours(entry: Entry, known: Mapping[str, object]) -> bool:
    """Say whether an entry is a component of the library, `known` by name, and runs nothing but what is in it."""
    said = {key for key in entry.model_fields_set if getattr(entry, key) is not None}
    led = any(one.startswith(LEADING) for one in entry.env or ())
    return entry.image in known and entry.image not in RUNNERS and said <= AS_IT_IS and not led
