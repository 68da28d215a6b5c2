"""What travels between hosts: files by the digest of their bytes, which are compared with it on arrival."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness import files
from harness.errors import HostError, UserError
from harness.image import ForeignImage
from harness.run.cells import Cell
from harness.spec.models.base import SHIPPED
from harness.store import SUMS, Store, digest_of, file_digest
from harness.text import of_error

PIECE = 32 << 20  # bytes that travel at once
LARGEST_CASES = 64 << 20  # bytes of all case files
LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", ".cache", ".tox"})
INI = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
CONFTEST = "conftest.py"
Sums = dict[str, str]  # SHA-256 of files by their names


def image_files(cell: Cell) -> dict[str, Path]:
    """Return the files that a cell's image is, by the names that they travel under."""
    image = cell.built
    if isinstance(image, ForeignImage):
        return {f"{part}{path.suffix}": path for part in SHIPPED if (path := getattr(image.spec, part)) is not None}
    return {str(path.relative_to(image.folder)): path for path in sorted(image.folder.rglob("*"))
            if path.is_file() and path.name != SUMS}  # fmt: skip


def sums(named: Mapping[str, Path]) -> Sums:
    """Return the digests of files by their names."""
    return {name: file_digest(path) for name, path in named.items()}


def pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes in pieces that can travel."""
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def there(store: Store, wanted: Sums) -> Path | None:
    """Return the folder of the cache that holds just these files, each found to be what it should; None without one."""
    found = store.find("images", digest_of(wanted))
    return found if found is not None and _is(found, wanted) else None


def arrive(store: Store, wanted: Sums, came: Mapping[str, Sequence[bytes]]) -> Path:
    """Return the folder of the cache with these files, of the pieces that came for them by digest.

    HostError when something else came than what was sent.
    """

    def write(folder: Path) -> None:
        for name, digest in wanted.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_whole(name, digest, came[digest]))

    made = store.make("images", digest_of(wanted), write)
    if not _is(made, wanted):
        raise HostError(f"{made} does not hold what it is named after", hint="remove it, or `harness clean` there")
    return made


def _is(folder: Path, wanted: Sums) -> bool:
    return sums({str(path.relative_to(folder)): path for path in folder.rglob("*")
                 if path.is_file() and path.name != SUMS}) == wanted  # fmt: skip


def _whole(name: str, digest: str, came: Sequence[bytes]) -> bytes:
    content = b"".join(came)
    if hashlib.sha256(content).hexdigest() != digest:
        raise HostError(f"{name} has not arrived as it was sent", hint="look at the network between the hosts")
    return content


def pack_cases(cases: Sequence[Path], root: Path) -> tuple[Path, bytes]:
    """Return the folder that cases lie below, and a tar of them and of what pytest reads beside them.

    A folder goes whole, a file with the Python files beside it; so do the conftest.py above them, and the settings
    of pytest in `root`. UserError when that is too much to send.
    """
    base = Path(os.path.commonpath([root if all(one.is_relative_to(root) for one in cases) else cases[0].parent,
                                    *(one.parent for one in cases)]))  # fmt: skip
    found = sorted({path for path in _with_surroundings(cases, base) if path.is_file()})
    size = sum(path.stat().st_size for path in found)
    if size > LARGEST_CASES:
        hint = "let `cases` of the plan name files, or folders that hold nothing else"
        raise UserError(f"the cases are {size / 1e6:.0f} MB, and at most {LARGEST_CASES >> 20} MiB are sent", hint=hint)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in found:
            member = tarfile.TarInfo(str(path.relative_to(base)))
            content = path.read_bytes()
            member.size, member.mode = len(content), path.stat().st_mode & 0o777
            tar.addfile(member, io.BytesIO(content))
    return base, packed.getvalue()


def _with_surroundings(cases: Iterable[Path], base: Path) -> Iterator[Path]:
    yield from (base / name for name in INI)
    for case in cases:
        if case.is_dir():
            yield from (path for path in case.rglob("*") if not LEFT_OUT & set(path.relative_to(base).parts))
        else:
            yield case
            yield from case.parent.glob("*.py")
        yield from (above / CONFTEST for above in case.parents if above.is_relative_to(base))


def pack(folder: Path) -> bytes:
    """Return a tar, gzipped, of what a folder holds; links stay behind."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                tar.add(path, str(path.relative_to(folder)), recursive=False)
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Unpack a tar below a folder, and nowhere else; HostError when it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            for member in tar:
                _place(tar, member, folder)
    except OSError as error:
        raise HostError(f"cannot unpack what another host sent: {of_error(error)}") from None
    except tarfile.TarError as error:
        raise HostError(f"cannot unpack what another host sent into {folder}: {error}") from None


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    # tarfile's own filters are not in Debian 12's Python
    path = PurePosixPath(member.name)
    stream = tar.extractfile(member) if member.isreg() else None
    if stream is None or path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name[:200]!r} is no file below it")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write(target, stream.read(), mode=member.mode & 0o755)
