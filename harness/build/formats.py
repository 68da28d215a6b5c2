"""Trees in, bootable files out: the squashfs root, the initrd that carries it, and the probe segment."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import paths, proc
from harness.arch import Arch
from harness.build import cpio
from harness.build.tree import Tree, write

# lz4's high compression unpacks as fast as its low one and saves a tenth
_COMPRESSION_OPTIONS = {"lz4": ("-X", "hc"), "zstd": ("-X", "level=19"), "gzip": (), "xz": ()}


def squashfs(tree: Tree, out: Path, compression: str) -> None:
    """Write `tree` as a squashfs: the same bytes for every user and number of cores."""
    with tempfile.TemporaryFile(dir=out.parent) as stream:
        write(tree, stream)
        stream.seek(0)
        proc.run(
            ["tar2sqfs", "-q", "-f", "-c", compression, *_COMPRESSION_OPTIONS[compression],
             "-d", "uid=0,gid=0,mode=0755,mtime=0", str(out)],
            stdin=stream,
        )  # fmt: skip


def initrd(out: Path, arch: Arch, modules: Sequence[Path], root: Path) -> None:
    """Write the initrd: the first stage, the modules it loads in order, and the root."""
    stage1 = paths.GUEST / "native/bin" / arch.name / "stage1"
    with out.open("wb") as stream:
        cpio.write(
            stream,
            [
                cpio.Member("dev", 0o755),
                cpio.Member("modules", 0o755),
                cpio.Member("newroot", 0o755),
                cpio.Member("init", 0o755, stage1),
                *(cpio.Member(f"modules/{number:02d}.ko", 0o644, path) for number, path in enumerate(modules)),
                cpio.Member("root.squashfs", 0o400, root),
            ],
        )


def probe(out: Path, modules: Sequence[Path], busybox: bytes) -> None:
    """Write the probe segment: its first process, its agent, a busybox of its own and the modules of its channel."""
    guest = paths.GUEST / "probe"
    with out.open("wb") as stream:
        cpio.write(
            stream,
            [
                cpio.Member("probe", 0o755),
                cpio.Member("probe/modules", 0o755),
                cpio.Member("probe/busybox", 0o755, busybox),
                cpio.Member("probe/init", 0o755, guest / "init"),
                cpio.Member("probe/agent", 0o644, guest / "agent"),
                *(cpio.Member(f"probe/modules/{path.name}", 0o644, path) for path in modules),
            ],
        )
