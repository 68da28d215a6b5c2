"""An image entry and its component's config in, an OCI runtime bundle's config.json out. Pure.

Both have passed the spec's checks, which know every rule; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.build.ids import number
from harness.build.reach import Paths, paths_of, reach, seal
from harness.spec.labels import DEFAULT_ENV, merge
from harness.spec.models.container import Device, Entry, EntryConfig, Mount, Runtime
from harness.spec.models.forms import CAPABILITIES

OCI_VERSION = "1.0.2"


# LinuxKit's default mounts; the options that a read-only root adds stand last.
_DEFAULT_MOUNTS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "/proc": ("proc", "proc", ("nosuid", "nodev", "noexec", "relatime"), ()),
    "/dev": ("tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"), ("ro",)),
    "/dev/pts": ("devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"), ()),
    "/sys": ("sysfs", "sysfs", ("nosuid", "noexec", "nodev"), ("ro",)),
    "/sys/fs/cgroup": ("cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro"), ()),
}
_MOUNTPOINTS = {"proc": "/proc", "devpts": "/dev/pts", "sysfs": "/sys", "cgroup": "/sys/fs/cgroup",
                "mqueue": "/dev/mqueue"}  # fmt: skip
# key of the YAML, OCI namespace type, what it is when nobody says (None: the root's own)
_NAMESPACES = (
    ("net", "network", None),
    ("ipc", "ipc", None),
    ("uts", "uts", None),
    ("pid", "pid", ""),
    ("userns", "user", None),
)
_UNLIMITED = 2**64 - 1
_PAGE_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


@dataclass(frozen=True)
class Bundle:
    """A container as it will lie in the image: config.json's content, and what the harness itself must know."""

    name: str
    config: dict[str, Any]
    annotations: Mapping[str, str]
    readonly: bool
    binds: tuple[tuple[str, str], ...]  # (source in the root, destination in the container)
    runtime: Runtime
    sealed: tuple[str, ...] = ()  # what it may only read where our own init runs it
    own_sys: bool = False  # its YAML says what is at /sys

    @property
    def guarded(self) -> dict[str, Any]:
        """Its config.json where our own init runs it: the kernel's settings and devices are only read."""
        if not self.sealed:
            return self.config
        mounts = [
            {**row, "options": [*row["options"], "ro"]} if self._is_default(row) else row
            for row in self.config["mounts"]
        ]
        linux = {**self.config["linux"], "readonlyPaths": list(self.sealed)}
        return {**self.config, "mounts": mounts, "linux": linux}

    def _is_default(self, row: dict[str, Any]) -> bool:
        """Say whether a mount is LinuxKit's default at /sys, and may be written."""
        return (row["type"], row["destination"]) == ("sysfs", "/sys") and not (self.own_sys or "ro" in row["options"])

    @property
    def reach(self) -> list[str]:
        """By what it could act in its init's place."""
        return reach(self.guarded, self.runtime, sealed=bool(self.sealed))

    @property
    def paths(self) -> Paths:
        """What of it the init follows by name, and what it may write."""
        return paths_of(self.config, self.runtime)


def make(
    entry: Entry, label: EntryConfig, ids: Mapping[str, int], volumes: Mapping[str, bool] = MappingProxyType({})
) -> Bundle:
    """Turn an entry into its bundle.

    `ids` are the numbers of the names that uid and gid may use; `volumes` says of each volume whether it is read-only.
    """
    config = merge(label, entry)
    readonly = bool(config.readonly)
    mounts = _mounts(config, readonly, volumes)
    capabilities = kept(config.capabilities)
    ambient = kept(config.ambient)
    bounding = sorted({*capabilities, *ambient})
    uid, gid = number(config.uid, ids), number(config.gid, ids)
    resources = _resources(config)
    process: dict[str, Any] = {
        "terminal": False,
        "user": {"uid": uid, "gid": gid},
        "args": list(config.command or ()),
        "env": list(DEFAULT_ENV if config.env is None else config.env),
        "cwd": config.cwd or "/",
        "capabilities": {
            "bounding": bounding,
            "effective": sorted(capabilities),
            "inheritable": bounding,
            "permitted": bounding,
            "ambient": sorted(ambient),
        },
        "noNewPrivileges": bool(config.no_new_privileges),
    }
    if config.additional_gids:
        process["user"]["additionalGids"] = [number(one, ids) for one in config.additional_gids]
    if config.rlimits:
        process["rlimits"] = [_rlimit(text) for text in config.rlimits]
    if config.oom_score_adj is not None:
        process["oomScoreAdj"] = config.oom_score_adj
    linux: dict[str, Any] = {"namespaces": _namespaces(config), "resources": resources}
    optional = {
        "cgroupsPath": config.cgroups_path,
        "sysctl": config.sysctl,
        "rootfsPropagation": config.rootfs_propagation,
        "maskedPaths": list(config.masked_paths or ()),
        "readonlyPaths": list(config.readonly_paths or ()),
        "uidMappings": [row.model_dump(by_alias=True) for row in config.uid_mappings or ()],
        "gidMappings": [row.model_dump(by_alias=True) for row in config.gid_mappings or ()],
        "devices": [_device(row) for row in config.devices or () if row.path != "all"],
    }
    linux |= {key: value for key, value in optional.items() if value}
    oci: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": "rootfs", "readonly": readonly},
        "mounts": mounts,
        "linux": linux,
    }
    if config.hostname:
        oci["hostname"] = config.hostname
    if config.annotations:
        oci["annotations"] = dict(config.annotations)
    binds = tuple((row["source"], row["destination"]) for row in mounts if row["type"] == "bind")
    return Bundle(
        entry.name,
        oci,
        dict(config.annotations or {}),
        readonly,
        binds,
        config.runtime or Runtime(),
        seal(config, bounding),
        own_sys=any(one.destination == "/sys" or one.source == "sysfs" for one in config.mounts or ()),
    )


def _mounts(config: EntryConfig, readonly: bool, volumes: Mapping[str, bool]) -> list[dict[str, Any]]:
    found = {
        place: _mount_row(place, kind, source, [*options, *(more if readonly else ())])
        for place, (kind, source, options, more) in _DEFAULT_MOUNTS.items()
    }
    for text in config.tmpfs or ():
        place, _, options = text.partition(":")
        found[place] = _mount_row(place, "tmpfs", "tmpfs", options.split(",") if options else [])
    for text in config.binds or ():
        parts = text.split(":")
        chosen = [*parts[2].split(","), "rbind"] if len(parts) == 3 else ["rw", "rbind", "rshared"]
        found[parts[1]] = _mount_row(parts[1], "bind", parts[0], chosen)
    for mount in config.mounts or ():
        row = _mount(mount)
        found[row["destination"]] = row
    for bind in found.values():
        if bind["type"] == "bind":
            # a volume's name stands for the volume's folder
            bind["source"] = f"/{volume_folder(bind['source'])}" if bind["source"] in volumes else bind["source"]
    return [found[place] for place in sorted(found)]


def volume_folder(name: str) -> str:
    """Return where a volume's content is in the root, without a leading slash."""
    return f"containers/volumes/{name}/merged"


def _mount_row(place: str, kind: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": place, "type": kind, "source": source, "options": list(options)}


def _mount(mount: Mount) -> dict[str, Any]:
    kind = mount.type or (mount.source if mount.source in _MOUNTPOINTS else "")
    if not kind and mount.destination == "/dev":
        kind = "tmpfs"
    place = mount.destination or _MOUNTPOINTS[kind]
    row = _mount_row(place, kind, mount.source or kind, mount.options)
    mappings = {"uidMappings": mount.uid_mappings, "gidMappings": mount.gid_mappings}
    return row | {key: [one.model_dump(by_alias=True) for one in rows] for key, rows in mappings.items() if rows}


def _namespaces(config: EntryConfig) -> list[dict[str, str]]:
    rows = []
    for key, kind, default in _NAMESPACES:
        said = getattr(config, key)
        path = default if said in (None, "") else said
        if path is None or path in ("host", "root"):
            continue
        fresh = path in ("", "new") or (key == "net" and path == "none")
        rows.append({"type": kind} if fresh else {"type": kind, "path": path})
    rows.append({"type": "mount"})
    return rows


def kept(names: Sequence[str] | None) -> list[str]:
    """Return the capabilities that an entry's words mean: ``all`` and ``none`` are spelled out."""
    names = list(names or ())
    if len(names) == 1 and names[0].lower() in ("all", "none"):
        return list(CAPABILITIES) if names[0].lower() == "all" else []
    return list(dict.fromkeys(names))


def _rlimit(text: str) -> dict[str, Any]:
    name, *values = (part.strip() for part in text.split(","))
    soft, hard = (_UNLIMITED if value.lower() == "unlimited" else int(value) for value in values)
    return {"type": f"RLIMIT_{name.upper().removeprefix('RLIMIT_')}", "soft": soft, "hard": hard}


def _device(device: Device) -> dict[str, Any]:
    mode = int(device.mode, 8)
    return {"path": device.path, "type": device.type, "major": device.major, "minor": device.minor, "fileMode": mode}


def _resources(config: EntryConfig) -> dict[str, Any]:
    resources = dict(config.resources or {})
    if "blockio" in resources:
        resources["blockIO"] = resources.pop("blockio")
    if "hugepageLimits" in resources:
        resources["hugepageLimits"] = [
            {**row, "pageSize": _page_size(row["pageSize"])} if "pageSize" in row else row
            for row in resources["hugepageLimits"]
        ]
    # a device must be let through by the device cgroup as well; a pipe is not a device to it, and `u` is its `c`
    rules = list(resources.get("devices", ()))
    for device in config.devices or ():
        if device.type == "p":
            continue
        kind = "c" if device.type == "u" else device.type or "a"
        rule: dict[str, Any] = {"allow": True, "type": kind, "access": "rwm"}
        if device.path != "all":
            rule |= {"major": device.major, "minor": device.minor}
        rules.append(rule)
    if rules:
        resources["devices"] = rules
    return resources


def _page_size(size: int) -> str:
    """Spell a number of bytes as the OCI spec has it: 2MB."""
    return next((f"{size // unit}{name}" for unit, name in _PAGE_UNITS if size and size % unit == 0), f"{size}B")
