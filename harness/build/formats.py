"""Trees in, bootable files out: the squashfs root, the initrd that carries it, and the probe segment."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tarfile
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from harness import paths, proc
from harness.arch import Arch
from harness.build.crowds import Crowds
from harness.build.squashlinks import amend
from harness.errors import HarnessError
from harness.image import ROOT_IN_INITRD
from harness.tree import cpio
from harness.tree.tree import Tree, write

_PIPE = 1 << 20  # bytes
_BLOCK = 131_072  # tar2sqfs's block, unless told otherwise
# lz4's high compression unpacks as fast as its low one and saves a tenth
_COMPRESSION = {
    "lz4": ("-c", "lz4", "-X", "hc"),
    "lz4-fast": ("-c", "lz4"),
    "zstd": ("-c", "zstd", "-X", "level=19"),
    "gzip": ("-c", "gzip"),
    "xz": ("-c", "xz"),
}


def squashfs(tree: Tree, out: Path, compression: str, turn: int = 0) -> None:
    """Write `tree` as a squashfs: the same bytes for every user and number of cores.

    Files that containers share are one file on the disk, and have the link count of each container's own image.
    """
    defaults = "uid=0,gid=0,mode=0755,mtime=0"
    argv = ["-q", "-f", *_COMPRESSION[compression], "-d", defaults, str(out)]
    crowds = Crowds(tree.nodes)
    try:
        # -T: the ends of large files are in no block that others share, so that a file more or less elsewhere does
        # not change what reading them costs
        counts = _fed(["tar2sqfs", "-T", *argv], tree, turn, crowds)
        if any(not _readable(out, crowds.place(path)) for path in _hard_ends(tree)):
            counts = _fed(["tar2sqfs", *argv], tree, turn, crowds)
    except proc.CommandError as error:
        # all that it says of a full disk is "I/O error"
        size = sum(node.content.size for _, node in tree.files() if node.content is not None)
        if "I/O error" in error.stderr and shutil.disk_usage(out.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
        raise
    amend(out, {crowds.place(path): count for path, count in counts.items()}, crowds.folders)


def place_of(path: str) -> str:
    """Return the container or volume that a path of the root lies in, "" for the root itself."""
    parts = path.split("/", 3)
    return "/".join(parts[:3]) if parts[0] == "containers" and len(parts) > 3 else ""


class _Pipe:
    """A pipe's end as tarfile wants it: one that knows how far it is."""

    def __init__(self, end: IO[bytes]) -> None:
        self._end, self._written = end, 0

    def write(self, data: bytes) -> int:
        self._written += len(data)
        return self._end.write(data)

    def tell(self) -> int:
        return self._written


def _fed(argv: Sequence[str], tree: Tree, turn: int, crowds: Crowds) -> Mapping[str, int]:
    """Run a program whose input is the tree as a tar, which never lies on the disk; return what `write` does."""
    read_end, write_end = os.pipe()
    with contextlib.suppress(OSError):  # a kernel that grants no more has it smaller
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE)
    failures: list[Exception] = []
    counts: dict[str, int] = {}

    def feed() -> None:
        try:
            with os.fdopen(write_end, "wb", _PIPE) as end:
                counts.update(write(tree, cast(IO[bytes], _Pipe(end)), turn, place_of, crowds.place))
        except BrokenPipeError:
            pass  # the program has ended: its exit code and words say why
        except (HarnessError, OSError, tarfile.TarError) as error:
            failures.append(error)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        with os.fdopen(read_end, "rb") as stream:  # closed before the feeder is waited for: else it could wait for ever
            proc.run(argv, stdin=stream)
    finally:
        feeder.join()
        if failures:
            raise failures[0]
    return counts


def _hard_ends(tree: Tree) -> Iterator[str]:
    """Yield the large files whose end hardly shrinks: a module's signature, or what is compressed already.

    tar2sqfs 1.2 with -T and lz4 stores such an end as compressed although it has grown, and no kernel reads that.
    """
    for path, node in tree.files():
        if node.content is not None and node.content.size > _BLOCK and node.content.size % _BLOCK:
            length = node.content.size % _BLOCK
            with node.content.opened() as stream:
                stream.seek(node.content.size - length, os.SEEK_CUR)
                end = stream.read(length)
            # lz4 finds repetitions only, zlib frequent letters too: what zlib cannot halve may be too hard for lz4
            if len(zlib.compress(end, 1)) > len(end) // 2:
                yield path


def _readable(image: Path, path: str) -> bool:
    with Path(os.devnull).open("wb") as nowhere:  # a file of the image may be larger than memory
        return proc.run(["rdsquashfs", "-c", path, str(image)], stdout=nowhere, ok=(0, 1)).returncode == 0


def initrd(
    out: Path, arch: Arch, modules: Sequence[Path], root: Path | None, ucode: Path | None = None, *, bare: bool = False
) -> None:
    """Write the initrd: microcode where the kernel looks for it first, the first stage, its modules, and the root.

    Without a root the first stage is the one that looks for a verified root on the machine's disks.
    `bare`: an init that is not the harness's own mounts by itself what it wants beside the root and /dev.
    """
    name = "_".join(["stage1", *([] if root else ["verity"]), *(["bare"] if bare else [])])
    stage1 = paths.GUEST / "native/bin" / arch.name / name
    with out.open("wb") as stream:
        if ucode is not None:
            data = ucode.read_bytes()
            stream.write(data + b"\0" * (-len(data) % cpio.ALIGN))
        cpio.write(
            stream,
            [
                cpio.CpioMember("dev", 0o755),
                cpio.CpioMember("modules", 0o755),
                cpio.CpioMember("newroot", 0o755),
                cpio.CpioMember("init", 0o755, stage1),
                *(cpio.CpioMember(f"modules/{number:02d}.ko", 0o644, path) for number, path in enumerate(modules)),
                *([cpio.CpioMember(ROOT_IN_INITRD, 0o400, root)] if root else []),
            ],
        )


def probe(out: Path, modules: Sequence[Path], busybox: bytes) -> None:
    """Write the probe segment: its first process, its agent, a busybox of its own and the modules of its channel."""
    guest = paths.GUEST / "probe"
    with out.open("wb") as stream:
        cpio.write(
            stream,
            [
                cpio.CpioMember("probe", 0o755),
                cpio.CpioMember("probe/modules", 0o755),
                cpio.CpioMember("probe/busybox", 0o755, busybox),
                cpio.CpioMember("probe/init", 0o755, guest / "init"),
                cpio.CpioMember("probe/agent", 0o644, guest / "agent"),
                *(cpio.CpioMember(f"probe/modules/{path.name}", 0o644, path) for path in modules),
            ],
        )
