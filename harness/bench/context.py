"""What every bench is given: the images, the machines, a folder to write in, and how thorough to be."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import paths
from harness.arch import Arch, by_name
from harness.bench.figures import BenchFigure, Table
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import HostError, UserError
from harness.image import Image
from harness.spec import load_image, load_machine
from harness.spec.models.machine import MachineSpec

IMAGES = {name: paths.CASES / "images" / f"{name}.yml" for name in ("minimal", "default")}
ARCHES = ("x86_64", "arm64", "s390x")
MACHINES = ("qemu-x86_64-microvm", "qemu-x86_64", "qemu-arm64", "qemu-s390x")
LONGEST_S = 1800.0  # for any one command
FigureOrTable = BenchFigure | Table


@dataclass
class Context:
    """The setting of a run of benches. ``quick``: few repetitions; ``out``: scratch; ``say``: progress."""

    out: Path
    say: Callable[[str], None]
    quick: bool = False
    checkout: Path | None = None  # of LinuxKit's repository
    journal: Path | None = None  # keeps the answers of a bench that takes hours
    _images: dict[tuple[str, str], Image] = field(default_factory=dict)

    def times(self, thorough: int, quick: int) -> int:
        """Return how often to repeat."""
        return quick if self.quick else thorough

    def image(self, name: str, arch: Arch) -> Image:
        """Return a shipped image, built when the cache lacks it."""
        if (name, arch.name) not in self._images:
            self._images[name, arch.name] = Builder(Settings(), progress=self.say).build(
                load_image([IMAGES[name]]), arch
            )
        return self._images[name, arch.name]

    def cell(self, image: str, machine: str) -> tuple[Image, MachineSpec]:
        """Return a shipped image for a machine, and the machine."""
        spec = load_machine(machine)
        return self.image(image, by_name(spec.arch)), spec

    def folder(self, *parts: str) -> Path:
        """Return a fresh scratch folder."""
        path = self.out.joinpath(*parts)
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True)
class Measurement:
    """A way to measure something: `run` yields what it finds as it finds it."""

    name: str
    what: str
    run: Callable[[Context], Iterator[FigureOrTable]]


@dataclass(frozen=True)
class Ran:
    """A command that was timed: wall and CPU seconds, exit code, and what it said."""

    seconds: float
    cpu: float  # of it and all it waited for: what the wall time would be at best on one idle core
    code: int
    stdout: str
    words: str  # the end of what it said on stderr, else on stdout


def program() -> str:
    """Return the path of the harness command; UserError when it is not installed."""
    path = Path(sys.executable).parent / "harness"
    if not path.exists():
        raise UserError(f"there is no {path}", hint="install the project: ./run harness --help does it")
    return str(path)


def command(words: Sequence[str], env: Mapping[str, str] | None = None, starter: Sequence[str] = ()) -> Ran:
    """Run `harness WORDS` as a user would, in a process of its own, and time it; HostError after half an hour.

    `starter` is what starts it, as another user, say.
    """
    start, before = time.monotonic(), _cpu()
    try:
        done = subprocess.run([*starter, program(), *words], stdin=subprocess.DEVNULL, capture_output=True, env=env,
                              timeout=LONGEST_S, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HostError(f"harness {' '.join(words)} took longer than {LONGEST_S:g} s") from None
    seconds = time.monotonic() - start
    said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
    return Ran(
        seconds,
        _cpu() - before,
        done.returncode,
        done.stdout.decode(errors="replace"),
        "\n".join(said.splitlines()[-15:]),
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
