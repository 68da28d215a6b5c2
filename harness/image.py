"""What can be booted. It has two makers, which boot does not tell apart: our build, whose image is a folder of files
and one manifest, and whoever wrote a short YAML beside the files of a foreign OS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.arch import Arch, by_name
from harness.errors import UserError
from harness.files import read_json
from harness.spec.models.base import SHIPPED
from harness.spec.rules.images import MANIFEST
from harness.store import file_digest

if TYPE_CHECKING:
    from harness.spec.models.base import Login
    from harness.spec.models.foreign import MilestonePattern, OsSpec

__all__ = [
    "MANIFEST",
    "OFF_WORDS",
    "OWN_INIT",
    "ROOT_IN_INITRD",
    "Bootable",
    "End",
    "ForeignImage",
    "Image",
    "Parts",
    "end_of",
]
SCHEMA = 1
_KERNEL_AND_INITRD = {part: part for part in ("kernel", "initrd", "probe")}  # of manifests that say nothing of it
OFF_WORDS = ("harness.then=poweroff",)
ROOT_IN_INITRD = "root.squashfs"  # the root's name in an initrd
OWN_INIT = "harness"


@dataclass(frozen=True)
class Parts:
    """The files that a machine is given; without a kernel its firmware boots the CD or the disk. None is written to."""

    kernel: Path | None = None
    initrd: Path | None = None
    disk: Path | None = None
    iso: Path | None = None
    probe: Path | None = None  # a cpio segment that brings a shell
    firmware: Literal["uefi"] | None = None  # in the place of the machine's own
    digests: Mapping[str, str] = field(default_factory=dict)  # what is known of their SHA-256, by part

    @property
    def shipped(self) -> dict[str, Path]:
        """The files that the image is, by part."""
        return {part: path for part in SHIPPED if (path := getattr(self, part))}

    @property
    def has_medium(self) -> bool:
        """Whether it has a disk or CD, which answers when the host gets to it: no time is exact then."""
        return bool(self.disk or self.iso)


@dataclass(frozen=True)
class End:
    """How a boot ends when all is well: at ``ready`` or ``off`` by itself; the texts that the console shows by then."""

    end: Literal["ready", "off"] = "ready"
    console: tuple[str, ...] = ()


class Bootable(Protocol):
    """What boot needs to know of an image."""

    @property
    def name(self) -> str:
        """The name that records and messages use."""

    @property
    def arch(self) -> Arch:
        """The architecture it is for."""

    @property
    def parts(self) -> Parts:
        """Its files."""

    @property
    def cmdline(self) -> str:
        """Its own kernel command line; the machine adds its console."""

    @property
    def off_words(self) -> tuple[str, ...]:
        """Words on the kernel's command line that make it power off once it is ready; () when it has none."""

    @property
    def milestones(self) -> tuple[MilestonePattern, ...]:
        """How its milestones look on the console, in order; () when it writes the harness's boot marks."""

    @property
    def login(self) -> Login | None:
        """How to get a root shell on its console; None when there is none."""

    @property
    def expect(self) -> dict[str, Any]:
        """What its YAML declares of onboot, onshutdown and services, by name."""

    @property
    def manifest(self) -> dict[str, Any]:
        """What the harness's build says of it (docs/manifest.md); empty where the harness has not built it."""

    @property
    def path(self) -> Path:
        """What names it on the command line: the folder of a built image, a foreign OS's YAML."""

    @property
    def foreign(self) -> bool:
        """Whether another than the harness's build has made it."""


def end_of(image: Bootable) -> End:
    """Return how a boot of `image` is to end."""
    said = image.manifest.get("end", {})
    return End(said.get("end", "ready"), tuple(said.get("console", ())))


@dataclass(frozen=True)
class Image:
    """A folder with ``manifest.json`` and the files it lists (``kernel``, ``initrd``, ``probe``).

    ``qemu``: the program that boots it, in the place of its architecture's.
    """

    folder: Path
    qemu: str = ""

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest; its keys are described in docs/manifest.md."""
        path = self.folder / MANIFEST
        if not path.exists():
            raise UserError(f"{self.folder} is not an image: it has no {MANIFEST}")
        data = read_json(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise UserError(f"{path}: manifest of another schema than {SCHEMA}", hint="build the image again")
        return data

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder

    @property
    def foreign(self) -> bool:
        """No: the harness has built it."""
        return False

    @property
    def name(self) -> str:
        """The image's name: its first YAML's file name without the ending."""
        return str(self.manifest["name"])

    @property
    def arch(self) -> Arch:
        """The architecture it was built for."""
        return _booted_by(self.manifest["arch"], self.qemu)

    @property
    def kernel(self) -> Path:
        """The kernel file to boot."""
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        """The initrd that carries the root filesystem."""
        return self.folder / "initrd"

    @property
    def probe(self) -> Path:
        """The cpio segment that cases append to get a shell; not part of what is shipped."""
        return self.folder / "probe"

    @property
    def cmdline(self) -> str:
        """The image's own kernel command line; the machine adds its console."""
        return str(self.manifest["cmdline"])

    @property
    def parts(self) -> Parts:
        """Its files, as its format boots them; none of a format that nothing boots as it is."""
        boot = self.manifest.get("boot", _KERNEL_AND_INITRD)
        digests = {row["name"]: row["sha256"] for row in self.manifest["files"]}
        files = {part: self.folder / name for part, name in boot.items()}
        made = Parts(**files, digests={part: digests[name] for part, name in boot.items() if name in digests})
        return replace(made, firmware="uefi") if self.manifest.get("firmware") == "uefi" else made

    @property
    def off_words(self) -> tuple[str, ...]:
        """What makes it power off once it is ready."""
        return OFF_WORDS

    @property
    def milestones(self) -> tuple[MilestonePattern, ...]:
        """None: it writes boot marks."""
        return ()

    @property
    def login(self) -> Login | None:
        """None: the probe is its shell."""
        return None

    @property
    def size(self) -> int:
        """Bytes of all that is shipped to boot it."""
        return sum(int(row["size"]) for row in self.manifest["files"] if row["shipped"])

    @property
    def evidence(self) -> dict[str, Path]:
        """What it takes to boot it again elsewhere: its files, by their names in evidence."""
        return {name: self.folder / name for name in (*self.digests, MANIFEST)}

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file that is shipped, by its name."""
        return {row["name"]: row["sha256"] for row in self.manifest["files"] if row["shipped"]}

    @property
    def spec_digest(self) -> str:
        """The digest of the YAML that it was built from."""
        return str(self.manifest["spec"]["sha256"])

    @property
    def expect(self) -> dict[str, Any]:
        """What its YAML declares of onboot, onshutdown and services, by name."""
        return dict(self.manifest.get("expect", {}))


@dataclass(frozen=True)
class ForeignImage:
    """A foreign OS as its YAML describes it; ``qemu`` as of an `Image`."""

    spec: OsSpec
    qemu: str = ""

    @property
    def foreign(self) -> bool:
        """Yes."""
        return True

    @property
    def manifest(self) -> dict[str, Any]:
        """None: the harness has not built it."""
        return {}

    @property
    def path(self) -> Path:
        """Its YAML."""
        return self.spec.path

    @property
    def name(self) -> str:
        """The name in its YAML."""
        return self.spec.os.name

    @property
    def arch(self) -> Arch:
        """The architecture in its YAML."""
        return _booted_by(self.spec.os.arch, self.qemu)

    @property
    def parts(self) -> Parts:
        """Its files."""
        files = {part: getattr(self.spec, part) for part in SHIPPED}
        return Parts(**files, firmware=self.spec.firmware)

    @property
    def cmdline(self) -> str:
        """The kernel command line in its YAML."""
        return self.spec.cmdline

    @property
    def off_words(self) -> tuple[str, ...]:
        """None: nothing is known of its words."""
        return ()

    @property
    def milestones(self) -> tuple[MilestonePattern, ...]:
        """Those of its YAML; the last one is ready."""
        return self.spec.milestones

    @property
    def login(self) -> Login | None:
        """The login in its YAML."""
        return self.spec.login

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in self.parts.shipped.values())

    @property
    def evidence(self) -> dict[str, Path]:
        """What it takes to boot it again elsewhere: its files, which evidence names by their part."""
        return {str(part): path for part, path in self.parts.shipped.items()}

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each of its files, by its own name."""
        return {path.name: file_digest(path) for path in self.parts.shipped.values()}

    @property
    def spec_digest(self) -> str:
        """The digest of its YAML."""
        return self.spec.digest

    @property
    def expect(self) -> dict[str, Any]:
        """Nothing: its YAML declares no containers."""
        return {"onboot": {}, "onshutdown": {}, "services": {}}


def _booted_by(arch: str, qemu: str) -> Arch:
    return replace(by_name(arch), qemu=qemu) if qemu else by_name(arch)
