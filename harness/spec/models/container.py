"""A container's configuration, and a file of a root: what images and components have in common."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.spec.models.base import IMAGE_REFERENCE, Model, Strings
from harness.spec.models.forms import (
    Bind,
    Capability,
    DeviceKind,
    EntryName,
    Identity,
    InterfaceKind,
    InterfaceName,
    Mode,
    Namespace,
    NetNamespace,
    Rlimit,
    Tmpfs,
)

_NAMESPACE = "`root` or `host` (the root's), `new`, or a path"


class IDMapping(Model):
    """A range of user or group ids and where it lies outside the container."""

    container_id: Annotated[int, Field(alias="containerID", description="first id in the container")]
    host_id: Annotated[int, Field(alias="hostID", description="first id outside")]
    size: int = Field(description="how many")


class Mount(Model):
    """A mount of a container, as in the OCI runtime spec."""

    destination: str = Field(
        "", description="where, in the container; may be left out for proc, devpts, sysfs, cgroup and mqueue"
    )
    type: str = Field("", description="the filesystem's type, or `bind`")
    source: str = Field("", description="what is mounted: a path, a volume's name, a device; the type unless said")
    options: Strings = Field((), description="mount options")
    uid_mappings: Annotated[
        tuple[IDMapping, ...], Field(alias="uidmappings", description="user ids on an id-mapped mount")
    ] = ()
    gid_mappings: Annotated[
        tuple[IDMapping, ...], Field(alias="gidmappings", description="group ids on an id-mapped mount")
    ] = ()


class Device(Model):
    """A device node of a container; path ``all`` stands for a whole class."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"properties": {"path": {"const": "all"}}}, {"required": ["type", "mode"]}]}
    )

    path: str = Field(description="the node's path; `all` allows a whole class")
    type: DeviceKind = Field("", description="`b`, `c`, `u` or `p`; of a class `a` (as without it), `b` or `c`")
    major: int = Field(0, description="major number")
    minor: int = Field(0, description="minor number")
    mode: Mode = Field("", description='octal digits in quotes, as in `"0666"`; needed unless the path is `all`')


class Interface(Model):
    """A network interface moved into or made for a container."""

    name: InterfaceName = Field(description="the interface's name in the container")
    add: InterfaceKind = Field("", description="make it, of this type, as in `veth`")
    peer: str = Field("", description="the other end's name")
    create_in_root: Annotated[
        bool, Field(alias="createInRoot", description="make it in the root's namespace, then move it")
    ] = False


class BindNS(Model):
    """Paths on which a container's namespaces are kept."""

    cgroup: str = Field("", description="path for its cgroup namespace")
    ipc: str = Field("", description="path for its ipc namespace")
    mnt: str = Field("", description="path for its mnt namespace")
    net: str = Field("", description="path for its net namespace")
    pid: str = Field("", description="path for its pid namespace")
    user: str = Field("", description="path for its user namespace")
    uts: str = Field("", description="path for its uts namespace")


class Runtime(Model):
    """What is prepared around a container before it starts."""

    cgroups: Strings = Field((), description="control groups to make")
    mounts: tuple[Mount, ...] = Field((), description="mounts in the root before the container starts")
    mkdir: Strings = Field((), description="folders to make in the root before the container starts")
    interfaces: tuple[Interface, ...] = Field((), description="network interfaces to move into it, or to make for it")
    bind_ns: Annotated[BindNS | None, Field(alias="bindNS", description="paths to keep its namespaces at")] = None
    namespace: str = Field("", description="containerd's namespace of a service, where LinuxKit's own init runs it")


class _ResourcesSchema:
    """Lets a JSON Schema say of `resources` what its own model says: that is loaded where a file has the key."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        from harness.spec.models.resources import Resources

        Resources.model_rebuild()
        return handler(Resources.__pydantic_core_schema__)


def _check_resources(value: dict[str, Any]) -> dict[str, Any]:
    from harness.spec.models.resources import Resources

    kept: dict[str, Any] = _frozen(value)
    Resources.model_validate(kept, by_alias=True, by_name=False)
    return kept


def _frozen(value: Any) -> Any:
    """Return plain data with tuples for lists: JSON, by which specs go to other processes, has no tuples."""
    if isinstance(value, dict):
        return {key: _frozen(one) for key, one in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


class EntryConfig(Model):
    """All keys of an image entry but its name and image: what a label or a component's `config` may hold.

    None means not written: the label's or the default's value counts.
    """

    capabilities: tuple[Capability, ...] | None = Field(
        None, description="capabilities it keeps, as `CAP_NET_ADMIN`; `[all]`, `[none]`; none unless said"
    )
    capabilities_add: Annotated[
        tuple[Capability, ...] | None,
        Field(alias="capabilities.add", description="capabilities besides those of the component"),
    ] = None
    ambient: tuple[Capability, ...] | None = Field(
        None, description="capabilities that a program without root's id gets"
    )
    mounts: tuple[Mount, ...] | None = Field(None, description="mounts in the container")
    binds: tuple[Bind, ...] | None = Field(
        None,
        description="`SOURCE:/path[:options]`; SOURCE is a path or a volume's name; `rw,rbind,rshared` unless said",
    )
    binds_add: Annotated[
        tuple[Bind, ...] | None, Field(alias="binds.add", description="binds besides those of the component")
    ] = None
    devices: tuple[Device, ...] | None = Field(None, description="device nodes in the container")
    tmpfs: tuple[Tmpfs, ...] | None = Field(None, description="`/path[:options]`, each a tmpfs of its own")
    command: Strings | None = Field(None, description="the program and its arguments")
    env: Strings | None = Field(None, description="`NAME=value`, each")
    cwd: str | None = Field(None, description="the folder it starts in; `/` unless said")
    net: NetNamespace | None = Field(
        None, description=f"network namespace: {_NAMESPACE}; also `none`; the root's unless said"
    )
    pid: Namespace | None = Field(None, description=f"process namespace: {_NAMESPACE}; a new one unless said")
    ipc: Namespace | None = Field(None, description=f"IPC namespace: {_NAMESPACE}; the root's unless said")
    uts: Namespace | None = Field(None, description=f"host name namespace: {_NAMESPACE}; the root's unless said")
    userns: Namespace | None = Field(None, description=f"user namespace: {_NAMESPACE}; the root's unless said")
    readonly: bool | None = Field(
        None, description="its root cannot be written; otherwise changes go to an overlay in memory"
    )
    masked_paths: Annotated[Strings | None, Field(alias="maskedPaths", description="paths it cannot see")] = None
    readonly_paths: Annotated[Strings | None, Field(alias="readonlyPaths", description="paths it cannot write")] = None
    uid: Identity | None = Field(
        None, description="its user: a number, or a container's name that stands for a number given out from 100 up"
    )
    gid: Identity | None = Field(None, description="its group, likewise")
    additional_gids: Annotated[
        tuple[Identity, ...] | None, Field(alias="additionalGids", description="further groups, likewise")
    ] = None
    no_new_privileges: Annotated[
        bool | None, Field(alias="noNewPrivileges", description="no setuid program gives it more rights")
    ] = None
    hostname: str | None = Field(None, description="its host name, in a UTS namespace of its own")
    oom_score_adj: Annotated[
        int | None, Field(alias="oomScoreAdj", description="-1000 to 1000: how soon it is killed when memory runs out")
    ] = None
    rootfs_propagation: Annotated[
        str | None,
        Field(alias="rootfsPropagation", description="how mounts in it spread: `private`, `slave`, `shared`"),
    ] = None
    cgroups_path: Annotated[str | None, Field(alias="cgroupsPath", description="its control group")] = None
    resources: Annotated[dict[str, Any], AfterValidator(_check_resources), _ResourcesSchema()] | None = Field(
        None, description="limits of memory, CPU and the like"
    )
    sysctl: dict[str, str] | None = Field(None, description="kernel settings of its namespaces, values as text")
    rlimits: tuple[Rlimit, ...] | None = Field(
        None, description="`NAME,SOFT,HARD`, as in `nofile,1024,4096`; `unlimited` is a value"
    )
    uid_mappings: Annotated[
        tuple[IDMapping, ...] | None, Field(alias="uidMappings", description="user ids of its user namespace")
    ] = None
    gid_mappings: Annotated[
        tuple[IDMapping, ...] | None, Field(alias="gidMappings", description="group ids of its user namespace")
    ] = None
    annotations: dict[str, str] | None = Field(None, description="free text by name; `harness.*` is ours, see below")
    runtime: Runtime | None = Field(None, description="what is prepared around it before it starts")


class Entry(EntryConfig):
    """One container of onboot, onshutdown or services."""

    name: Annotated[
        EntryName, Field(min_length=1, description="the container's name: its folder, and the word in the boot marks")
    ]
    image: Annotated[str, Field(min_length=1, description=IMAGE_REFERENCE)]


class File(Model):
    """A file, folder or link of the root filesystem. ``mode`` is octal text."""

    path: str = Field(description="where, in the root; a leading `/` counts for nothing")
    directory: bool = Field(False, description="make a folder")
    symlink: str = Field("", description="make a symbolic link to this")
    contents: str | None = Field(None, description="the file's text")
    source: str = Field(
        "",
        description="a file of the host, beside the YAML or else in the current folder (`~/` is your home); a "
        "component's lies in its own folder",
    )
    metadata: Literal["", "yaml", "json"] = Field("", description="let the file hold this image's own configuration")
    optional: bool = Field(False, description="leave the file out when its source is missing")
    mode: Mode = Field("", description='octal digits in quotes; `"0600"`, of a folder `"0700"` unless said')
    uid: Identity | None = Field(None, description="owner: a number, or a container's name")
    gid: Identity | None = Field(None, description="group, likewise")
