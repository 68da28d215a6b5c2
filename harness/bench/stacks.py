"""Random stacks of layers, made by the kernel's own overlay: what a merged image must look like, from a real oracle.

Each layer is made as a builder makes one: the stack so far is mounted, changed at random, and what the overlay has
written to its upper folder becomes a layer's tar. What the whole stack shows when it is mounted is the truth.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError, ImageError
from harness.oci.image import Blob, OciImage, Platform
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.store import Store
from harness.tree.tree import Tree

EXIT_NO_OVERLAY = 99
NAMES = ("a", "b", "c", "lib", "x\udcff")
OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
WHITEOUT, OPAQUE_MARK = ".wh.", ".wh..wh..opq"
TAR = "application/vnd.oci.image.layer.v1.tar"
TIME = 1_600_000_000

Row = tuple[object, ...]
View = dict[str, Row]  # what there is to see of each path; "" is the root


@dataclass(frozen=True)
class Stack:
    """Layers as tars, and what they look like one over another."""

    layers: tuple[bytes, ...]
    view: View


def can_mount(folder: Path) -> bool:
    """Say whether this process may mount overlays."""
    try:
        with _mounted([folder / "l"], folder / "try"):
            return True
    except HostError:
        return False


def make(seed: int, folder: Path) -> Stack:
    """Return the stack of a seed; `folder` is empty, on a filesystem that an overlay takes. HostError without one."""
    dice = random.Random(seed)
    lower: list[Path] = []
    tars = []
    for number in range(dice.randint(1, 4)):
        layer = folder / f"{number}"
        layer.mkdir()
        if lower:
            with _mounted(lower, layer) as (merged, upper):
                _change(merged, dice, seed + number)
        else:
            upper = layer / "upper"
            upper.mkdir()
            _change(upper, dice, seed)
        tars.append(_tar(upper, dice))
        lower = [upper, *lower]
    if len(lower) == 1:
        return Stack(tuple(tars), look(lower[0]))
    last = folder / "last"
    last.mkdir()
    with _mounted(lower, last) as (merged, _):
        return Stack(tuple(tars), look(merged))


@contextmanager
def _mounted(lower: Sequence[Path], work: Path) -> Iterator[tuple[Path, Path]]:
    """Mount an overlay over `lower`, topmost first; give the merged folder and the upper one."""
    merged, upper = work / "merged", work / "upper"
    for path in (*lower, merged, upper, work / "work"):
        path.mkdir(parents=True, exist_ok=True)
    root = lower[0].stat()  # what is made for the mount is not a change
    os.chown(upper, root.st_uid, root.st_gid)
    upper.chmod(stat.S_IMODE(root.st_mode))
    os.utime(upper, ns=(root.st_mtime_ns, root.st_mtime_ns))
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work / 'work'}"
    argv = ["mount", "-t", "overlay", "-o", options, "overlay", str(merged)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostError(f"cannot mount an overlay: {done.stderr.strip()}", hint="run as root, or in a user namespace")
    try:
        yield merged, upper
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def _change(root: Path, dice: random.Random, seed: int) -> None:
    """Change a tree at random, as somebody who builds an image might."""
    for number in range(dice.randint(2, 14)):
        there = [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]
        above = dice.choice(there)
        path = above / dice.choice(NAMES)
        action = dice.choice(_ACTIONS)
        with suppress(OSError):  # a name that is taken, a folder that is not empty: another number falls next time
            action(path, dice, f"{seed}.{number}")
    if dice.random() < 0.2:
        root.chmod(dice.choice((0o700, 0o755, 0o1777)))
    for path in (*root.rglob("*"), root):
        if path.lstat().st_mtime_ns > TIME * 10**9 * 1.05:  # made or changed just now
            when = TIME + dice.randint(0, 10**6)
            os.utime(path, (when, when), follow_symlinks=False)


def _file(path: Path, dice: random.Random, what: str) -> None:
    path.write_text(what * dice.randint(0, 3))
    path.chmod(dice.choice((0o644, 0o755, 0o4755, 0o600)))


def _folder(path: Path, dice: random.Random, what: str) -> None:
    path.mkdir()


def _link(path: Path, dice: random.Random, what: str) -> None:
    path.symlink_to(dice.choice((*NAMES, "../a", "/lib", "a/b", "nowhere")))


def _hardlink(path: Path, dice: random.Random, what: str) -> None:
    others = [one for one in path.parent.rglob("*") if one.is_file() and not one.is_symlink()]
    if others:
        os.link(dice.choice(others), path)


def _remove(path: Path, dice: random.Random, what: str) -> None:
    if path.is_dir() and not path.is_symlink():
        for below in path.iterdir():
            _remove(below, dice, what)
        path.rmdir()
    else:
        path.unlink()


def _replace(path: Path, dice: random.Random, what: str) -> None:
    with suppress(FileNotFoundError):
        _remove(path, dice, what)
    dice.choice((_file, _folder, _link))(path, dice, what)


def _move(path: Path, dice: random.Random, what: str) -> None:
    path.rename(path.parent / dice.choice(NAMES))


def _own(path: Path, dice: random.Random, what: str) -> None:
    os.chown(path, dice.randint(0, 2), dice.randint(0, 2), follow_symlinks=False)


def _mode(path: Path, dice: random.Random, what: str) -> None:
    if not path.is_symlink():
        path.chmod(dice.choice((0o700, 0o2755, 0o644)))


_ACTIONS: tuple[Callable[[Path, random.Random, str], None], ...] = (
    _file, _file, _folder, _folder, _link, _hardlink, _remove, _remove, _replace, _replace, _replace, _move, _own, _mode
)  # fmt: skip


def _tar(upper: Path, dice: random.Random) -> bytes:
    """Return an overlay's upper folder as an OCI layer (image-spec, layer.md)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if dice.random() < 0.8:
            archive.add(upper, "./", recursive=False)
        else:
            archive.add(upper, "", recursive=False)
        for path in sorted(upper.rglob("*")):
            name = str(path.relative_to(upper))
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                _mark(archive, str(Path(name).with_name(f"{WHITEOUT}{path.name}")))
                continue
            archive.add(path, name, recursive=False)
            if path.is_dir() and not path.is_symlink() and _is_opaque(path):
                _mark(archive, f"{name}/{OPAQUE_MARK}")
    return out.getvalue()


def _is_opaque(path: Path) -> bool:
    for name in OPAQUE:
        with suppress(OSError):
            if os.getxattr(path, name) == b"y":
                return True
    return False


def _mark(archive: tarfile.TarFile, name: str) -> None:
    archive.addfile(tarfile.TarInfo(name))


def look(root: Path) -> View:
    """Return what a program sees of a tree."""
    return {("" if path == root else str(path.relative_to(root))): _row(path) for path in (root, *root.rglob("*"))}


def _row(path: Path) -> Row:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    mode = 0o777 if stat.S_ISLNK(kind) else stat.S_IMODE(status.st_mode)
    content: object = ""
    if stat.S_ISLNK(kind):
        content = str(path.readlink())
    elif stat.S_ISREG(kind):
        content = path.read_bytes()
    return stat.filemode(kind)[0], mode, status.st_uid, status.st_gid, int(status.st_mtime), content


_LETTERS = {tarfile.DIRTYPE: "d", tarfile.REGTYPE: "-", tarfile.SYMTYPE: "l"}


def view_of(tree: Tree) -> View:
    """Return the same of a merged image."""
    return {
        path: (
            _LETTERS[node.type], node.mode, node.uid, node.gid, node.mtime,
            node.content.read() if node.content else node.target,
        )
        for path, node in {"": tree.top, **tree.nodes}.items()
    }  # fmt: skip


def ours(stack: Stack, folder: Path) -> View:
    """Return what the harness makes of a stack's layers; `folder` is for its files. ImageError where it refuses."""
    blobs = []
    for data in stack.layers:
        digest = hashlib.sha256(data).hexdigest()
        path = folder / digest
        path.write_bytes(data)
        blobs.append(Blob(path, TAR, f"sha256:{digest}", len(data)))
    config = {"rootfs": {"diff_ids": [blob.digest for blob in blobs]}}
    image = OciImage("random stack", blobs[0].digest, Platform("linux", "amd64"), config, tuple(blobs))
    return view_of(merge(image, Limits(), Store(folder / "cache")))


def wrong(seed: int, folder: Path) -> str:
    """Return how the harness's view of a seed's stack differs from the overlay's; "" when it does not."""
    work = folder / f"stack-{seed}"
    work.mkdir()
    try:
        stack = make(seed, work)
        try:
            found = ours(stack, work)
        except ImageError as error:
            return f"stack {seed} is refused: {error}"
        rows = [path for path in sorted({*found, *stack.view}) if found.get(path) != stack.view.get(path)]
        shown = [f"  {path!r}: {found.get(path)}, the overlay has {stack.view.get(path)}" for path in rows]
        return "\n".join([f"stack {seed}", *shown]) if rows else ""
    finally:
        shutil.rmtree(work)


def argv(folder: Path, seeds: range) -> list[str]:
    """Return a command that tries seeds in a mount namespace of its own, with `folder` as its place of work.

    It prints what is wrong of each, and ends with 0 when nothing is, 1 when something is, else with
    ``EXIT_NO_OVERLAY`` or unshare's own code: no overlay can be mounted here. Its mounts end with it.
    """
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm", "--map-auto"]
    return [*unshare, sys.executable, "-m", __name__, str(folder), str(seeds.start), str(seeds.stop)]


def main(words: Sequence[str]) -> int:
    """Do what `argv` says."""
    folder = Path(words[0])
    # an overlay takes no upper folder that lies in an overlay, as /tmp of a container does
    mounted = subprocess.run(["mount", "-t", "tmpfs", "stacks", str(folder)], check=False).returncode == 0
    if not mounted or not can_mount(folder):
        return EXIT_NO_OVERLAY
    bad = False
    for seed in range(int(words[1]), int(words[2])):
        if text := wrong(seed, folder):
            bad = True
            # a name in a stack may be no text
            print(text.encode("utf-8", "backslashreplace").decode(), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
