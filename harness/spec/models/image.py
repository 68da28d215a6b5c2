"""An image: one YAML file of it, and the whole that the files are merged to. Defaults here are LinuxKit's."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import IMAGE_REFERENCE, Model, NonEmptyText, Strings
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

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]*$", description="a-z, 0-9, `-` and `_`")]
    image: str = Field("", description=f"{IMAGE_REFERENCE}: what it holds; nothing unless said")
    readonly: bool = Field(False, description="containers may bind it with `ro` only")
    format: Literal["", "filesystem", "oci"] = Field(
        "", description="`filesystem`: its files; `oci`: an OCI image as a layout"
    )
    platforms: Strings = Field(
        (), description="of an OCI layout, the platforms in it, such as linux/arm64; that which is built unless said"
    )


class KernelKeys(Model):
    """What one file of an image says of the kernel: a later file's keys win."""

    image: str | None = Field(None, description=f"{IMAGE_REFERENCE}; needed in one of the files")
    cmdline: str | None = Field(None, description="the kernel's command line; the machine adds its console")
    binary: str | None = Field(
        None, description="the kernel's file in an OCI image, `kernel` unless said; a component has one kernel"
    )
    tar: str | None = Field(
        None,
        description="the archive of its modules in an OCI image, `kernel.tar` unless said; `none` or empty: no modules",
    )
    ucode: str | None = Field(
        None,
        description="the cpio of CPU microcode that begins the initrd, on x86_64: in the OCI image, or one of `files`",
    )


class Trust(Model):
    """LinuxKit's former trust settings: accepted and ignored, as LinuxKit does."""

    image: Strings = Field((), description="ignored")
    org: Strings = Field((), description="ignored")


class Expect(Model):
    """How a boot of the image ends when all is well."""

    end: Literal["ready", "off"] = Field(
        "ready", description="`ready`, or `off`: its own work done, it switches the machine off"
    )
    console: tuple[NonEmptyText, ...] = Field(
        (), description="texts that stand on the console by then, each in one line"
    )


class ImageFile(Model):
    """One YAML file of an image, before files are merged."""

    kernel: KernelKeys = Field(default_factory=KernelKeys, description="the kernel and its command line")
    init: Strings = Field((), description=f"what is unpacked into the root itself, in order: each {IMAGE_REFERENCE}")
    onboot: tuple[Entry, ...] = Field((), description="containers that run one after another before the services")
    onshutdown: tuple[Entry, ...] = Field((), description="containers that run one after another at power-off")
    services: tuple[Entry, ...] = Field(
        (), description="containers that run side by side until power-off; each name once"
    )
    files: tuple[File, ...] = Field((), description="files, folders and links of the root")
    volumes: tuple[Volume, ...] = Field((), description="named volumes that containers bind; each name once")
    trust: Trust = Field(default_factory=Trust, description="accepted and ignored, as by LinuxKit")
    expect: Literal["ready", "off"] | Expect | None = Field(
        None, description="ours, and not LinuxKit's: how a boot ends when all is well; `off` is short for `end: off`"
    )
    log: Literal["file", "console"] | None = Field(
        None, description="ours, and not LinuxKit's: `harness.log` of all containers that do not say it"
    )


class Substitution(Model):
    """An image of others whose place a component of the library takes (``--library``)."""

    key: str  # where it is named, as in services[0].image
    reference: str  # as the file has it
    component: str
    without: Strings = ()  # keys beside it that count no more: they are for the other's program
    command: Strings = ()  # what the component runs there, where that is not its own command
    writable: bool = False  # its root may be written to, as that of the image, where the component's own may not

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
    expect: Expect | None = None
    log: Literal["file", "console"] = "file"

    @property
    def references(self) -> tuple[str, ...]:
        """What it is made of, in the order of boot, repeats included: the kernel first, no layouts of volumes."""
        entries = (*self.onboot, *self.onshutdown, *self.services)
        volumes = (volume.image for volume in self.volumes if volume.image and volume.format != "oci")
        return self.kernel.image, *self.init, *(entry.image for entry in entries), *volumes
