"""A component: packages and files, and how its container runs."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.spec.models.base import Model, Strings
from harness.spec.models.container import EntryConfig, File


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
