"""A foreign OS: one that the harness has not built, described by a YAML beside its files."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Login, LoosePath, Model
from harness.spec.models.forms import ArchName, OsName, OsPlace
from harness.spec.models.image import Substitution

OsPort = Annotated[int, Field(ge=1, le=65535)]


class Os(Model):
    """Which OS it is."""

    name: OsName = Field(description="its name: up to 40 letters, digits and `_.-`")
    arch: ArchName = Field(description="`x86_64`, `arm64` or `s390x`")


class MilestonePattern(Model):
    """A milestone, and how its console line looks, or which packet it is."""

    name: OsName = Field(description="its name, likewise; `ready` is what the boot time means")
    pattern: str | None = Field(
        default=None,
        description="a regular expression (RE2's syntax) that is found in its console line, of at most 200 characters",
    )
    packet: str | None = Field(
        default=None,
        description="in its place, the first packet that the OS sends of a protocol (`arp`, `icmp`, `icmp6`, `tcp`, "
        "`udp`), for the last two perhaps with the port that it goes to: `udp 67`; its time is the emulator's, which "
        "no OS can set",
    )


class OsSpec(Model):
    """A foreign OS: its files, its milestones in order, and its login. `path` is the YAML, `digest` its SHA-256."""

    given = ("path", "digest")

    path: Path
    digest: str
    os: Os = Field(description="which OS it is")
    kernel: LoosePath | None = Field(
        None, description="the kernel's file; without it the firmware boots `iso`, or else `disk`"
    )
    initrd: LoosePath | None = Field(None, description="the initrd's file")
    disk: LoosePath | None = Field(
        None,
        description="a disk in raw or qcow2 format; never written to: what the OS writes lives as long as the boot",
    )
    iso: LoosePath | None = Field(None, description="an ISO image, as a CD")
    firmware: Literal["uefi"] | None = Field(None, description="`uefi`, in the place of the machine's own firmware")
    cmdline: str = Field("", description="the kernel's command line; the machine adds its console")
    milestones: tuple[MilestonePattern, ...] = Field(
        description="what shows on the console, in order; the last one is `ready`"
    )
    login: Login | None = Field(None, description="how to get a root shell on the console; needed for `--run`")
    volumes: tuple[OsPlace, ...] = Field(
        (), description="where the OS may keep what is written: mount points; for certificates"
    )
    ports: tuple[OsPort, ...] = Field((), description="TCP ports that it may listen on; for certificates")
    udp: tuple[OsPort, ...] = Field((), description="UDP ports likewise")

    @property
    def name(self) -> str:
        """Its name, as an image's spec has one."""
        return self.os.name

    @property
    def arch(self) -> str:
        """The architecture it is for."""
        return self.os.arch

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files it was read from."""
        return (self.path,)

    @property
    def substitutions(self) -> tuple[Substitution, ...]:
        """None: nothing of it is of the library."""
        return ()
