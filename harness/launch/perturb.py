"""Exact boots of one image under perturbations: of what has no meaning, but moves where things lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HostError, ImageError
from harness.image import Bootable, Parts
from harness.launch.exact import exact_boot
from harness.spec.models.machine import MachineSpec
from harness.store import file_digest
from harness.system.record import BootRecord
from harness.system.segments import join
from harness.tree import cpio

if TYPE_CHECKING:
    from harness.arch import Arch
    from harness.build.turned import TurnedRoot
    from harness.spec.models.base import Login
    from harness.spec.models.foreign import MilestonePattern

BALLAST = "ballast"  # a file of the initramfs, which nobody reads
MADE = ("turned", "ballast.cpio", "initrd")  # files in a boot's folder that go after it


@dataclass(frozen=True)
class Perturbation:
    """QEMU's seed, characters more on the kernel's command line, bytes more in the initramfs, and by how many per cent
    the files of the root are turned (`harness.build.turned`)."""

    seed: int = 1
    padding: int = 0
    ballast: int = 0
    turn: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The padding as one word, which means nothing to anybody."""
        return ("x" * (self.padding - 1),) if self.padding else ()


PLAIN = Perturbation()
# The order of the root's files first: a new file, or another size, moves what lies behind it, and what is moved the
# same way in each pair looks like a cause.
PERTURBATIONS = (
    Perturbation(seed=2, turn=37),
    Perturbation(padding=8, turn=75),
    Perturbation(ballast=5_000, turn=12),
    Perturbation(ballast=30_000, turn=62),
    Perturbation(padding=100, turn=25),
    Perturbation(ballast=12_000, turn=87),
    Perturbation(seed=3, padding=32, ballast=20_000, turn=50),
    Perturbation(ballast=45_000, turn=6),
    Perturbation(seed=4, padding=300, turn=68),
    Perturbation(ballast=61_000, turn=31),
    Perturbation(padding=64, ballast=9_000, turn=93),
    Perturbation(seed=5, ballast=37_000, turn=56),
)


@dataclass(frozen=True)
class OtherInitrd:
    """An image whose initrd is another file: the same to all who ask but for that."""

    image: Bootable
    initrd: Path

    @property
    def name(self) -> str:
        """The image's."""
        return self.image.name

    @property
    def arch(self) -> Arch:
        """The image's."""
        return self.image.arch

    @property
    def parts(self) -> Parts:
        """The image's files, but for the initrd."""
        parts = self.image.parts
        # the image's own was compared with its manifest before; what it was joined with is not the image's
        rest = {part: digest for part, digest in parts.digests.items() if part != "initrd"}
        return replace(parts, initrd=self.initrd, digests=rest)

    @property
    def cmdline(self) -> str:
        """The image's."""
        return self.image.cmdline

    @property
    def off_words(self) -> tuple[str, ...]:
        """The image's."""
        return self.image.off_words

    @property
    def milestones(self) -> tuple[MilestonePattern, ...]:
        """The image's."""
        return self.image.milestones

    @property
    def login(self) -> Login | None:
        """The image's."""
        return self.image.login

    @property
    def expect(self) -> dict[str, Any]:
        """The image's."""
        return self.image.expect

    @property
    def manifest(self) -> dict[str, Any]:
        """The image's."""
        return self.image.manifest

    @property
    def path(self) -> Path:
        """The image's."""
        return self.image.path

    @property
    def foreign(self) -> bool:
        """The image's."""
        return self.image.foreign


def perturbed_boot(
    image: Bootable, machine: MachineSpec, out: Path, how: Perturbation, turned: TurnedRoot | None = None
) -> BootRecord:
    """Boot once in exact time under a perturbation, as far as the image can be perturbed so; raises as `exact_boot`.

    Who boots without a kernel of its own has no command line to pad, and who has no initrd no place for ballast.
    `turned` is the image's own; without it the files of its root stay in their order.
    """
    words = how.words if image.parts.kernel else ()
    initrd = image.parts.initrd
    if initrd is not None and (how.ballast or (how.turn and turned)):
        wanted = image.parts.digests.get("initrd")
        if wanted is not None and file_digest(initrd) != wanted:
            raise ImageError(f"{initrd} is not the file that its manifest names", hint="build the image again")
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
            other = turned.initrd(how.turn, out / "turned") if turned and how.turn else initrd
            other = _with_ballast(other, out, how.ballast) if how.ballast else other
        image = OtherInitrd(image, other)
    record = exact_boot(image, machine, out, append=words, seed=how.seed)
    for name in MADE:
        (out / name).unlink(missing_ok=True)
    return record


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"cannot write to {out}: {error.strerror}", hint="give TMPDIR another folder") from error


def _with_ballast(initrd: Path, out: Path, size: int) -> Path:
    segment, joined = out / "ballast.cpio", out / "initrd"
    with segment.open("wb") as stream:
        cpio.write(stream, [cpio.CpioMember(BALLAST, 0o644, b"x" * size)])
    join([initrd, segment], joined)
    return joined
