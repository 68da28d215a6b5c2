"""A container's configuration, and a file of a root: what images and components have in common.

Annotations are evaluated as code here, not from text as elsewhere: pydantic would compile each of 200, 30 ms in all.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.spec.models.base import Model, Strings


class IDMapping(Model):
    """A range of user or group ids and where it lies outside the container."""

    container_id: Annotated[int, Field(alias="containerID")]
    host_id: Annotated[int, Field(alias="hostID")]
    size: int


class Mount(Model):
    """A mount of a container, as in the OCI runtime spec."""

    destination: str = ""
    type: str = ""
    source: str = ""
    options: Strings = ()
    uid_mappings: Annotated[tuple[IDMapping, ...], Field(alias="uidmappings")] = ()
    gid_mappings: Annotated[tuple[IDMapping, ...], Field(alias="gidmappings")] = ()


class Device(Model):
    """A device node of a container; path ``all`` stands for a whole class."""

    path: str
    type: str = ""
    major: int = 0
    minor: int = 0
    mode: str = ""


class Interface(Model):
    """A network interface moved into or made for a container."""

    name: str
    add: str = ""
    peer: str = ""
    create_in_root: Annotated[bool, Field(alias="createInRoot")] = False


class BindNS(Model):
    """Paths on which a container's namespaces are kept."""

    cgroup: str = ""
    ipc: str = ""
    mnt: str = ""
    net: str = ""
    pid: str = ""
    user: str = ""
    uts: str = ""


class Runtime(Model):
    """What is prepared around a container before it starts."""

    cgroups: Strings = ()
    mounts: tuple[Mount, ...] = ()
    mkdir: Strings = ()
    interfaces: tuple[Interface, ...] = ()
    bind_ns: Annotated[BindNS | None, Field(alias="bindNS")] = None
    namespace: str = ""


def _check_resources(value: dict[str, Any]) -> dict[str, Any]:
    from harness.spec.models.resources import Resources

    Resources.model_validate(value, by_alias=True, by_name=False)
    return value


class EntryConfig(Model):
    """All keys of an image entry but its name and image: what a label or a component's `config` may hold.

    None means not written: the label's or the default's value counts.
    """

    capabilities: Strings | None = None
    capabilities_add: Annotated[Strings | None, Field(alias="capabilities.add")] = None
    ambient: Strings | None = None
    mounts: tuple[Mount, ...] | None = None
    binds: Strings | None = None
    binds_add: Annotated[Strings | None, Field(alias="binds.add")] = None
    devices: tuple[Device, ...] | None = None
    tmpfs: Strings | None = None
    command: Strings | None = None
    env: Strings | None = None
    cwd: str | None = None
    net: str | None = None
    pid: str | None = None
    ipc: str | None = None
    uts: str | None = None
    userns: str | None = None
    readonly: bool | None = None
    masked_paths: Annotated[Strings | None, Field(alias="maskedPaths")] = None
    readonly_paths: Annotated[Strings | None, Field(alias="readonlyPaths")] = None
    uid: int | str | None = None
    gid: int | str | None = None
    additional_gids: Annotated[tuple[int | str, ...] | None, Field(alias="additionalGids")] = None
    no_new_privileges: Annotated[bool | None, Field(alias="noNewPrivileges")] = None
    hostname: str | None = None
    oom_score_adj: Annotated[int | None, Field(alias="oomScoreAdj")] = None
    rootfs_propagation: Annotated[str | None, Field(alias="rootfsPropagation")] = None
    cgroups_path: Annotated[str | None, Field(alias="cgroupsPath")] = None
    resources: Annotated[dict[str, Any], AfterValidator(_check_resources)] | None = None
    sysctl: dict[str, str] | None = None
    rlimits: Strings | None = None
    uid_mappings: Annotated[tuple[IDMapping, ...] | None, Field(alias="uidMappings")] = None
    gid_mappings: Annotated[tuple[IDMapping, ...] | None, Field(alias="gidMappings")] = None
    annotations: dict[str, str] | None = None
    runtime: Runtime | None = None


class Entry(EntryConfig):
    """One container of onboot, onshutdown or services."""

    name: Annotated[str, Field(min_length=1)]
    image: Annotated[str, Field(min_length=1)]


class File(Model):
    """A file, folder or link of the root filesystem. ``mode`` is octal text."""

    path: str
    directory: bool = False
    symlink: str = ""
    contents: str | None = None
    source: str = ""
    metadata: Literal["", "yaml", "json"] = ""
    optional: bool = False
    mode: str = ""
    uid: int | str | None = None
    gid: int | str | None = None
