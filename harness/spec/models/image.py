"""An image: one YAML file of it, and the whole that the files are merged to. Defaults here are LinuxKit's."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Model, Strings
from harness.spec.models.component import ComponentSpec
from harness.spec.models.container import Entry, File


class Kernel(Model):
    """The kernel: a component's name or an OCI reference, and its command line."""

    image: str
    cmdline: str = ""
    binary: str = "kernel"
    tar: str | None = None  # "kernel.tar" unless said; "none" leaves the modules out
    ucode: str | None = None


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
