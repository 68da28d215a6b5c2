"""What a person may write, as frozen objects: image, component, machine and plan. Defaults here are LinuxKit's.

Annotations are evaluated as code here, not from text as elsewhere: pydantic would compile each of 200, 30 ms in all.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.spec.models.base import Limit, LoosePath, Model, Strings
from harness.spec.models.board import Board

__all__ = ["Limit", "LoosePath", "Model", "Strings"]  # every model's, so also this file's


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


class Kernel(Model):
    """The kernel: a component's name or an OCI reference, and its command line."""

    image: str
    cmdline: str = ""
    binary: str = "kernel"
    tar: str | None = None  # "kernel.tar" unless said; "none" leaves the modules out
    ucode: str | None = None


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


class Volume(Model):
    """A named volume that containers may bind."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]*$")]
    image: str = ""
    readonly: bool = False
    format: Literal["", "filesystem", "oci"] = ""
    platforms: Strings = ()


class KernelKeys(Model):
    """What one file of an image says of the kernel: a later file's keys win."""

    image: str | None = None
    cmdline: str | None = None
    binary: str | None = None
    tar: str | None = None
    ucode: str | None = None


class Trust(Model):
    """LinuxKit's former trust settings: accepted and ignored, as LinuxKit does."""

    image: Strings = ()
    org: Strings = ()


class ImageFile(Model):
    """One YAML file of an image, before files are merged."""

    kernel: KernelKeys = Field(default_factory=KernelKeys)
    init: Strings = ()
    onboot: tuple[Entry, ...] = ()
    onshutdown: tuple[Entry, ...] = ()
    services: tuple[Entry, ...] = ()
    files: tuple[File, ...] = ()
    volumes: tuple[Volume, ...] = ()
    trust: Trust = Field(default_factory=Trust)


class User(Model):
    """A user (and the group of the same name) that a maintainer script would have made."""

    name: str
    uid: int
    gid: int
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"


class Concatenate(Model):
    """A file made by joining the component's files that match a glob, in name order."""

    path: str
    glob: str


class KernelPart(Model):
    """Makes a component a kernel: which modules it carries, with what they need."""

    modules: Strings  # shipped in the root; a name that is built in, or absent on one architecture, is left out
    stage1: Strings = ("loop", "squashfs")  # loaded before the root can be mounted
    probe: Strings = ()  # only in the probe segment


class ComponentSpec(Model):
    """One component of the library: which packages, which of their files, and how it runs."""

    name: str  # the file's name without its ending
    path: Path
    digest: str  # SHA-256 of the YAML and of every local file its `files` name
    description: str
    packages: Strings = ()
    packages_for: dict[str, Strings] = Field(default_factory=dict)  # more packages, by architecture
    keep: Strings = ()  # globs of the packages' files to carry; all (less docs, man pages, locales) when empty
    drop: Strings = ()  # globs to leave out of what keep allows
    stand_ins: Strings = ()  # sonames for which the harness's own small stand-in (harness/guest/native) is enough
    libraries: Strings = ()  # sonames or library file globs that are dlopened, so in no NEEDED entry
    users: tuple[User, ...] = ()
    files: tuple[File, ...] = ()  # `source` is relative to the component's YAML
    concatenate: tuple[Concatenate, ...] = ()
    # symlinks to make, by their target: {/usr/bin/busybox: [usr/bin/sh, …]}
    links: dict[str, Strings] = Field(default_factory=dict)
    modules: Strings = ()  # kernel modules to carry in images that use it, and to load at boot
    kernel: KernelPart | None = None
    guest: bool = False  # it brings the harness's own init scripts and boot marks (harness/guest)
    section: Literal["", "init", "onboot", "onshutdown", "services"] = ""  # see `place`
    config: EntryConfig = Field(default_factory=EntryConfig)

    @property
    def place(self) -> str:
        """The section of an image that it is for: a kernel's, what it says, or by whether it has a command."""
        if self.kernel is not None:
            return "kernel"
        return self.section or ("services" if self.config.command else "init")


class Substitution(Model):
    """An image of others whose place a component of the library takes (``--library``)."""

    key: str  # where it is named, as in services[0].image
    reference: str  # as the file has it
    component: str
    without: Strings = ()  # keys beside it that count no more: they are for the other's program
    command: Strings = ()  # what the component runs there, where that is not its own command

    def __str__(self) -> str:
        without = f", without its {' and '.join(self.without)}" if self.without else ""
        command = f", as {' '.join(self.command)}" if self.command else ""
        return f"{self.key}: {self.reference} is the library's {self.component}{without}{command}"


class ImageSpec(Model):
    """A whole image as its YAML files say, merged in order."""

    name: str  # the first file's name without its ending
    sources: tuple[Path, ...]  # the files it was read from, in order
    digest: str  # SHA-256 of the files' bytes in order: the spec's digest
    kernel: Kernel
    init: Strings = ()
    onboot: tuple[Entry, ...] = ()
    onshutdown: tuple[Entry, ...] = ()
    services: tuple[Entry, ...] = ()
    files: tuple[File, ...] = ()
    volumes: tuple[Volume, ...] = ()
    components: dict[str, ComponentSpec] = Field(default_factory=dict)  # what it is made of, by reference
    substitutions: tuple[Substitution, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """What it is made of, in the order of boot, repeats included: the kernel first, no layouts of volumes."""
        entries = (*self.onboot, *self.onshutdown, *self.services)
        volumes = (volume.image for volume in self.volumes if volume.image and volume.format != "oci")
        return self.kernel.image, *self.init, *(entry.image for entry in entries), *volumes


class Qemu(Model):
    """How QEMU makes this machine."""

    machine: str
    cpu: str
    memory: Annotated[int, Field(ge=64)] = 256  # MiB
    accel: Literal["auto", "tcg", "kvm"] = "auto"
    virtio: Literal["pci", "ccw", "device"]
    network: bool = True
    rng: bool = True
    disks: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = ()  # MiB each, empty at first
    args: Strings = ()  # further arguments, as they are
    exact: bool = True  # whether instruction counting works on it
    exact_cmdline: str = ""  # what the kernel is told in exact boots, besides `cmdline`


class MachineSpec(Model):
    """A machine that boots images."""

    name: str
    path: Path
    digest: str
    description: str = ""
    arch: str
    console: str  # the kernel's name of the console that the harness reads
    cmdline: str = ""  # what this machine needs on the kernel's command line, besides its console
    tags: Strings = ()
    qemu: Qemu | None = None
    board: Board | None = None  # instead of `qemu`

    @property
    def counts(self) -> bool:
        """Whether it can count instructions, as exact time needs."""
        return not self.why_not_exact

    @property
    def why_not_exact(self) -> str:
        """Why there is no exact time on it; empty where there is."""
        if self.qemu is None:
            return "a board has no instruction counter"
        if self.qemu.disks:
            return "a disk answers when the host gets to it"
        return "" if self.qemu.exact else "its YAML says `exact: false`"

    @property
    def network(self) -> bool:
        """Whether this host can reach its services."""
        return self.qemu.network if self.qemu else bool(self.board and self.board.address)

    @property
    def hears_off(self) -> bool:
        """Whether it is heard to the last: a console is, and the log of the system itself is not."""
        return self.board is None or not self.board.console.log

    @property
    def tries(self) -> int:
        """How often a boot is tried in which the machine fails as a machine."""
        return self.board.tries if self.board else 1

    @property
    def host_memory(self) -> int:
        """How much of this host's memory its system takes, in MiB."""
        return self.qemu.memory if self.qemu else 0
