"""LinuxKit's own tests of whole images, booted from a checkout of its repository: do they say that they have passed?

Nothing of them is kept here: what is built, which disks it gets and which words it must say stand in its files. The
library's components stand for its images.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.api import build_image
from harness.bench.context import ARCHES, Context, FigureOrTable
from harness.bench.figures import BenchFigure, Table
from harness.build.settings import Settings
from harness.errors import HarnessError
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions

GROUPS = ("000_build", "030_security", "040_packages")
PATIENCE = 4.0
LIMIT_S = 120.0
MEMORY, MIB = 1024, 1 << 20
SLOT = re.compile(r"(/dev/)s(d[a-z])")  # LinuxKit's QEMU gives SCSI disks, and ours virtio's
# What cannot be tried here, by the test's folder, and why.
EXCUSED = {
    "000_build/070_volumes/002_rw_on_ro": "is refused when it is built, as by LinuxKit: that is the test",
    "030_security/000_docker-bench": "takes Docker and an image of LinuxKit's registry",
    "040_packages/002_bcc": "takes an image of LinuxKit's registry, of a kernel of 2021",
    "040_packages/002_binfmt": "asks for emulators of arm and ppc64le: the library's has those of its architectures",
    "040_packages/002_bpftrace": "takes an image of LinuxKit's registry: LLVM alone has 200 MB",
    "040_packages/003_containerd": "takes an image of LinuxKit's registry, and an hour",
    "040_packages/007_getty-containerd": "a person looks at it",
    "040_packages/009_init_containerd": "configures LinuxKit's containerd: refused when it is read",
    "040_packages/011_kmsg": "looks for a line of a kernel with SCSI built in",
    "040_packages/012_logwrite": "looks for files that LinuxKit's logwrite makes of containers' output",
    "040_packages/013_mkimage": "builds an image inside the machine, for a BIOS",
}


@dataclass(frozen=True)
class KitTest:
    """One test: its folder, its name, and its YAMLs in the order in which they boot, of one disk."""

    folder: Path
    name: str
    yamls: tuple[str, ...]
    disks: tuple[int, ...]  # MiB
    words: tuple[str, ...]
    grown: int = 0  # MiB that the disk gains before the last boot


def linuxkit(context: Context) -> Iterator[FigureOrTable]:
    """Boot all tests of the checkout on each architecture; count those that did not say that they have passed."""
    subject = "LinuxKit's own tests that do not pass"
    if context.checkout is None:
        yield BenchFigure(subject, "tests", goal=0, skipped="--checkout DIR names a checkout of its repository")
        return
    found = list(tests(context.checkout))
    arches = ARCHES[1:2] if context.quick else ARCHES
    rows, failed = [], dict.fromkeys(arches, 0)
    for test in found:
        ends = []
        for arch in arches:
            context.say(f"{test.name} on {arch}")
            why = _run(test, arch, context)
            failed[arch] += why != ""
            ends.append(why or "passed")
        rows.append((test.name, *ends))
    for arch in arches:
        yield BenchFigure(f"{subject}, of {len(found)} on {arch}", "tests", (float(failed[arch]),), goal=0)
    there = [(name, why) for name, why in EXCUSED.items() if (context.checkout / "test/cases" / name).is_dir()]
    yield Table("what each came to", ("test", *arches), tuple(rows))
    yield Table("not tried", ("test", "why"), tuple(there))


def tests(checkout: Path) -> Iterator[KitTest]:
    """Yield the tests of a checkout that boot a whole image and look for words, but for those that are excused."""
    top = checkout / "test/cases"
    for script in sorted(one for group in GROUPS for one in (top / group).rglob("test.sh")):
        name = str(script.parent.relative_to(top))
        text = script.read_text(errors="replace")
        words = tuple(re.findall(r'^[^#\n]*grep -q "([^"]+)"', text, re.M))
        if name in EXCUSED or not re.search(r"linuxkit ?run", text) or not words:
            continue
        yamls = tuple(dict.fromkeys(re.findall(r"[\w-]+\.yml", "\n".join(_builds(text)))))
        disks = tuple(_mib(size) for size in re.findall(r"--disk \S*size=(\w+)", text))
        disks += (8,) * text.count("file=${ISOFILE}")
        grown = 256 if "dd if=/dev/zero bs=1048576 count=256" in text else 0
        yield KitTest(script.parent, name, yamls, disks, words, grown)


def _builds(script: str) -> list[str]:
    return [line for line in script.splitlines() if "linuxkit build" in line]


def _mib(size: str) -> int:
    return int(size.rstrip("MG")) * (1024 if size.endswith("G") else 1)


def _run(test: KitTest, arch: str, context: Context) -> str:
    """Boot a test; return why it has not passed, empty when it has."""
    folder = context.folder("linuxkit", test.name.replace("/", "-"), arch)
    work, disks = folder / "test", folder / "disks"
    disks.mkdir()
    shutil.copytree(test.folder, work)
    for file in (one for one in work.iterdir() if one.suffix in (".yml", ".in", ".sh")):
        text = SLOT.sub(r"\1v\2", file.read_text()).replace("@DEVICE@", "/dev/vda")
        (work / file.name.removesuffix(".in")).write_text(text)
    if (work / "geniso.sh").exists():
        _cidata(work, disks / f"disk{len(test.disks) - 1}.raw")
    machine = _machine(folder, arch, test)
    try:
        for index, name in enumerate(test.yamls):
            last = index == len(test.yamls) - 1
            ours = work / "ours.yml"
            ours.write_text(f"log: console\nexpect: {{end: 'off', console: {list(test.words) if last else []!r}}}\n")
            image = build_image([str(work / name), str(ours)], arch, settings=Settings(library=True))
            if last and test.grown:
                _grow(disks / "disk0.raw", test.grown)
            if why := _judged(image, machine, BootOptions(mode="wall", out=folder / name, disks=disks, timeout=LIMIT_S,
                                                          timeout_multiplier=PATIENCE)):  # fmt: skip
                return why
    except HarnessError as error:
        return error.message
    finally:
        shutil.rmtree(disks)
    return ""


def _judged(image: Image, machine: Path, options: BootOptions) -> str:
    """Boot until the machine is off; its own check alone decides, as in LinuxKit's tests."""
    with boot(image, load_machine(machine), options) as system:
        system.wait_off()
        missing = list(system.listener.missing.values())
        return f"never said {missing[0]!r}" if missing else ""


def _machine(folder: Path, arch: str, test: KitTest) -> Path:
    base = (paths.MACHINES / f"qemu-{arch}.yml").read_text()
    text = re.sub(r"memory: \d+", f"memory: {MEMORY}", base)
    path = folder / f"kit-{arch}.yml"
    disks = f"  disks: {list(test.disks)}\n" if test.disks else ""
    path.write_text(f"{text.rstrip()}\n{disks}")
    return path


def _grow(disk: Path, mib: int) -> None:
    with disk.open("ab") as file:
        file.truncate(disk.stat().st_size + mib * MIB)


def _cidata(work: Path, disk: Path) -> None:
    """Make the CD that the test's script makes with tools of an image: the same two files, under the same label."""
    (work / "meta-data").write_text("instance-id: iid-local01\nlocal-hostname: cloudimg\n")
    (work / "user-data").write_text('{"file2": {"perm": "0700", "content": "supersecret"}}')
    subprocess.run(["bsdtar", "-cf", str(disk), "--format=iso9660", "--options=volume-id=cidata", "user-data",
                    "meta-data"], cwd=work, check=True, capture_output=True)  # fmt: skip
