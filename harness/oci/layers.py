"""A layer's blob in, a table of its entries out, with their contents in one file of the store: nothing is unpacked."""

from __future__ import annotations

import hashlib
import json
import tarfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal, NamedTuple

from harness.errors import ImageError
from harness.oci import packing
from harness.oci.image import Blob, OciImage
from harness.oci.tarstream import DEVICES, MAX_PATH, XATTR, BadTarError, Tar, TarMember
from harness.store import Store, digest_of
from harness.tree import versions
from harness.tree.tree import Slice, TreeNode

KIND = "oci-layers"
CONTENT, TABLE, TOTALS = "content", "entries.jsonl", "totals.json"
WHITEOUT, OPAQUE, AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."  # image-spec, layer.md; the last is aufs's own
MAX_NAME = 255  # Linux's NAME_MAX
MAX_ID = 2**32 - 2
ALGORITHMS = ("sha256", "sha512")  # of digests (image-spec, descriptor.md)
GIB = 8  # that an image may unpack to unless it is said otherwise
RATIO = 400  # a layer may unpack to so many times its size: gzip's most is 1032, and a file of zeros is not a program
WORTH = 4096  # bytes from which on equal contents are kept once: smaller ones are not worth being remembered
EMPTY = hashlib.sha256().hexdigest()
UNSUSPECTED = 64 << 20  # bytes below which nobody asks for the ratio
CAPABILITY, USER = (
    f"{XATTR}security.capability",
    f"{XATTR}user.",
)  # others belong to a policy or overlay of the builder's
MAX_XATTR_NAME, MAX_XATTR, MAX_XATTRS = 255, 1 << 16, 1 << 16  # Linux's XATTR_NAME_MAX, XATTR_SIZE_MAX, XATTR_LIST_MAX

_KINDS = {chr(number): bytes((number,)) for number in range(128)}  # tarfile's letters
Action = Literal["put", "folder", "link", "hide", "clear", "drop", "note"]  # told apart by their first letters
Alive = Callable[[], None]


def idle() -> None:
    """Let whatever goes on go on."""


@dataclass(frozen=True)
class Limits:
    """What an image may unpack to: ``size`` in bytes, ``entries`` in members of its layers' tars."""

    size: int = GIB << 30
    entries: int = 500_000
    table: int = 128 << 20  # bytes of the tables of its layers: names, links and attributes

    @classmethod
    def of(cls, gib: int) -> Limits:
        """Return those of a user who lets an image unpack to so many GiB: where it is more, so is all else."""
        most = max(gib, GIB)
        return cls(size=gib << 30, entries=cls.entries * most // GIB, table=cls.table * most // GIB)


class LayerEntry(NamedTuple):
    """What a layer does at ``path``: put something there, a folder, a link to ``target``, hide it, clear it, drop it.

    What is dropped has something at ``path`` that is left out, so that nothing is there. A note says in ``target`` what
    was left out, first of all at ``path``. ``kind`` is tarfile's letter of what is put; ``at`` is for `node`.
    """

    path: str
    action: Action
    target: str
    kind: str
    at: int


class LayerError(ImageError):
    """A layer that is damaged, or that no honest builder makes."""


def refusal(image: OciImage, blob: Blob, what: str, path: str = "") -> LayerError:
    """Return the error for a layer: it names the image, the layer, and the entry when `path` is one."""
    entry = f" {path[:MAX_NAME]!r}:" if path else ""
    return LayerError(
        f"{image.reference}: layer {blob.digest}:{entry} {what}",
        hint="take another version of the image, or tell who publishes it",
    )


def unpack(image: OciImage, number: int, limits: Limits, store: Store, alive: Alive = idle) -> Path:
    """Return the folder of the store with the content and the table of an image's layer, made when it is missing.

    `alive` is called as it is read; what it raises ends that.
    Raises LayerError when the layer is damaged, hostile, beyond `limits`, or not the one that the image's config names.
    """
    blob = image.layers[number]
    diff_id = _diff_ids(image)[number]
    # what was made under higher limits is judged by its table's size
    return store.make(KIND, _key(diff_id), lambda work: _unpack(work, image, blob, diff_id, limits, alive))


def is_unpacked(diff_id: str, store: Store) -> bool:
    """Say whether the store has a layer's content and table, so that `unpack` would not read its blob."""
    return store.find(KIND, _key(diff_id)) is not None


def _key(diff_id: str) -> str:
    return digest_of([versions.OCI_LAYER, diff_id])


def table_size(path: Path) -> int:
    """Return the bytes of an unpacked layer's table."""
    return (path / TABLE).stat().st_size


def totals(path: Path) -> tuple[int, int]:
    """Return how many entries an unpacked layer has, and the bytes of all its files."""
    entries, size = json.loads((path / TOTALS).read_bytes())
    return entries, size


def load(path: Path, *wanted: Action) -> Iterator[LayerEntry]:
    """Yield the entries of an unpacked layer in the order in which its tar has them; those of some actions alone."""
    first = {action[0] for action in wanted}
    at = 0
    with (path / TABLE).open(encoding="ascii", newline="\n") as lines:
        for line in lines:
            if not first or line[2] in first:
                action, place, target, row = json.loads(line)
                yield LayerEntry(place, action, target, row[0] if row else "", at)
            at += len(line)


def node(content: Path, table: IO[bytes], at: int) -> TreeNode:
    """Return what an entry that begins at a byte of an unpacked layer's table puts at its path.

    `content` is the layer's file of that name: one object for all its nodes, for there may be many.
    """
    table.seek(at)
    kind, mode, uid, gid, target, offset, size, digest, pax, mtime = json.loads(table.readline().decode("ascii"))[3]
    return TreeNode(
        _KINDS[kind], mode, uid, gid, target, Slice(content, offset, size) if digest else None, digest,
        pax=tuple((key, value) for key, value in pax), mtime=mtime,
    )  # fmt: skip


def _diff_ids(image: OciImage) -> list[str]:
    rootfs = image.config.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(found, list) or len(found) != len(image.layers):
        said = len(found) if isinstance(found, list) else "no"
        raise LayerError(f"{image.reference}: has {len(image.layers)} layers, and its config names {said} of them")
    return [str(one) for one in found]


def _unpack(work: Path, image: OciImage, blob: Blob, diff_id: str, limits: Limits, alive: Alive) -> None:
    name, size, encode = "", 0, json.JSONEncoder().encode
    try:
        with (
            blob.path.open("rb") as packed,
            packing.unpacked(packed) as raw,
            (work / CONTENT).open("wb") as spool,
            (work / TABLE).open("w", encoding="ascii") as table,
        ):
            source = _Source(raw, blob.size, limits.size, alive, diff_id.partition(":")[0])
            reading = _Reading(Tar(source, source.grow), spool, limits.entries)
            for member in reading.tar.members():
                name = member.name
                row = reading.take(member)
                if row is not None:
                    size += table.write(encode(row) + "\n")
                    if size > limits.table:
                        raise BadTarError("more names than an image may have (HARNESS_OCI_LIMIT)")
            name = ""
            source.finish()
            for row in reading.notes():
                table.write(encode(row) + "\n")
        (work / TOTALS).write_text(json.dumps([reading.entries, reading.size]))
        _refuse_twice(work, reading.paths.twice())
    except (BadTarError, *packing.ERRORS) as error:
        at = getattr(error, "member", "") or name
        raise refusal(image, blob, str(error) or "is cut short", at) from error
    if source.digest != diff_id:
        raise refusal(image, blob, f"unpacks to {source.digest}, and the image's config says {diff_id[:80]!r}")


class _Source:
    """A layer's bytes, unpacked: counted, bounded and hashed on their way."""

    def __init__(self, raw: IO[bytes], packed: int, limit: int, alive: Alive, algorithm: str) -> None:
        self._raw, self._packed, self._limit, self._alive = raw, packed, limit, alive
        self._hash = hashlib.new(algorithm if algorithm in ALGORITHMS else "sha256")
        self._block, self._at, self._size = b"", 0, 0

    @property
    def digest(self) -> str:
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        found = self._block[self._at : self._at + size]
        self._at += len(found)
        while len(found) < size and self._fill():
            more = self._block[: size - len(found)]
            self._at = len(more)
            found += more
        return found

    def finish(self) -> None:
        """Read what nobody has asked for."""
        while self._fill():
            pass

    def _fill(self) -> bool:
        self._alive()
        self._block, self._at = self._raw.read(1 << 18), 0
        self._hash.update(self._block)
        self.grow(len(self._block))
        return bool(self._block)

    def grow(self, size: int) -> None:
        """Count bytes that the layer unpacks to; BadTarError when it is a bomb."""
        self._size += size
        if self._size > self._limit:
            raise BadTarError(f"unpacks to more than {self._limit >> 20} MiB, the limit (HARNESS_OCI_LIMIT)")
        if self._size > UNSUSPECTED and self._size > RATIO * self._packed:
            raise BadTarError(f"unpacks to more than {RATIO} times its size")


class _Paths:
    """The paths of a layer, in eight bytes for each: enough to say which might be there twice."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(64)]

    def add(self, path: str) -> None:
        """Take a path."""
        mark = hash(path)
        self._parts[mark & 63].append(mark)

    def twice(self) -> set[int]:
        """Return the hashes of those that came more than once."""
        return {one for part in self._parts for one, other in pairwise(sorted(part)) if one == other}


def _refuse_twice(path: Path, suspects: set[int]) -> None:
    """Raise BadTarError where a layer says twice what is at a path; only of a folder it may."""
    if not suspects:
        return
    seen: dict[str, bool] = {}
    for entry in load(path, "put", "folder", "link", "drop"):
        if hash(entry.path) in suspects and entry.path:
            folder = entry.action == "folder"
            if entry.path in seen and not (folder and seen[entry.path]):
                raise BadTarError("is there twice", entry.path)
            seen[entry.path] = folder


class _Reading:
    """Turns members into rows of the table; contents go to the spool, large equal ones once."""

    def __init__(self, tar: Tar, spool: IO[bytes], most: int) -> None:
        self.tar, self._spool, self._most = tar, spool, most
        self.entries = self.size = 0
        self.paths = _Paths()
        self._known: dict[str, int] = {}
        self._left_out: dict[str, tuple[str, int]] = {}  # what was, where first, and how often

    def take(self, member: TarMember) -> list[object] | None:
        """Return a member's row; None for what says nothing of the root. BadTarError when it is not to be had."""
        self.entries += 1
        if self.entries > self._most:
            raise BadTarError("more entries than an image may have (HARNESS_OCI_LIMIT)")
        *above, name = _parts(member.name) or [""]
        if not name:
            return ["folder", "", "", self._row(member)] if member.type == tarfile.DIRTYPE else None
        if WHITEOUT in member.name:
            if any(part.startswith(AUFS) for part in above):
                return None
            if any(part.startswith(WHITEOUT) for part in above):
                raise BadTarError("lies below a whiteout")
            if name.startswith(WHITEOUT):
                return _whiteout(name, "/".join(above))
        path = "/".join((*above, name))
        self.paths.add(path)
        if member.type in DEVICES:
            self._leave_out("a device", path)
            return ["drop", path, "", None]
        if member.type == tarfile.LNKTYPE:
            return ["link", path, _link(member.target), None]
        return ["folder" if member.type == tarfile.DIRTYPE else "put", path, "", self._row(member)]

    def _leave_out(self, what: str, path: str) -> None:
        first, count = self._left_out.get(what, (path, 0))
        self._left_out[what] = first, count + 1

    def _row(self, member: TarMember) -> list[object]:
        if max(member.uid, member.gid) > MAX_ID:
            raise BadTarError(f"belongs to {member.uid}:{member.gid}")
        target, offset, size, digest, mode = "", 0, 0, "", member.mode
        if member.type == tarfile.SYMTYPE:
            target, mode = _symlink(member.target), 0o777
        elif member.type == tarfile.REGTYPE:
            offset, size, digest = self._store() if member.size else (0, 0, EMPTY)
            self.size += size
        pax = list(self._xattrs(member)) if member.xattrs else []
        return [member.type.decode(), mode, member.uid, member.gid, target, offset, size, digest, pax, member.mtime]

    def _xattrs(self, member: TarMember) -> Iterator[tuple[str, str]]:
        """Yield the attributes that stay; BadTarError for one that no file system takes."""
        size = 0
        for key, value in member.xattrs:
            name = key.removeprefix(XATTR)
            if key != CAPABILITY and not key.startswith(USER):
                self._leave_out(f"the attribute {name[:MAX_NAME]}", member.name)
                continue
            longest, length = len(_bytes(name)), len(_bytes(value))
            size += longest + 1
            if key == USER or longest > MAX_XATTR_NAME or length > MAX_XATTR or size > MAX_XATTRS:
                raise BadTarError(
                    f"has an attribute beyond what a file system takes: {name[:MAX_NAME]!r} of {length} bytes"
                )
            yield key, value

    def notes(self) -> Iterator[list[object]]:
        """Yield a row for each kind of thing that was left out."""
        for what, (first, count) in self._left_out.items():
            more = f", and {count - 1} more like it" if count > 1 else ""
            yield ["note", first, f"{what} is left out{more}", None]

    def _store(self) -> tuple[int, int, str]:
        """Append the content at hand to the spool; return where it is there, its size and its SHA-256."""
        offset, digest = self._spool.tell(), hashlib.sha256()
        for piece in self.tar.content():
            digest.update(piece)
            self._spool.write(piece)
        size, name = self._spool.tell() - offset, digest.hexdigest()
        if size < WORTH:
            return offset, size, name
        known = self._known.setdefault(name, offset)
        if known != offset:
            self._spool.seek(offset)
            self._spool.truncate()
        return known, size, name


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _whiteout(name: str, above: str) -> list[object] | None:
    if name == OPAQUE:
        return ["clear", above, "", None]
    if name.startswith(AUFS):
        return None
    hidden = name.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise BadTarError("is a whiteout of nothing")
    return ["hide", f"{above}/{hidden}" if above else hidden, "", None]


def _parts(name: str) -> list[str]:
    """Return a path's parts, none for the root; BadTarError when no file may be called so."""
    # most names are plain and short
    plain, short = name.isascii() and name.isprintable(), len(name) <= MAX_NAME
    if not (plain and short) and len(_bytes(name)) >= MAX_PATH:
        raise BadTarError("has a path that is too long")
    if not plain and any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in name):
        raise BadTarError("has a control character in its name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadTarError("leads out of the root")
    if not (plain and short) and any(len(_bytes(part)) > MAX_NAME for part in parts):
        raise BadTarError("has a name that is too long")
    return parts


def _link(target: str) -> str:
    if target.startswith("/"):
        raise BadTarError(f"is a hardlink to the absolute path {target[:MAX_NAME]!r}")
    try:
        path = "/".join(_parts(target))
    except BadTarError as error:
        raise BadTarError(f"is a hardlink to {target[:MAX_NAME]!r}, which {error}") from None
    if not path:
        raise BadTarError("is a hardlink to nothing")
    return path


def _symlink(target: str) -> str:
    if not target or "\0" in target or len(target.encode("utf-8", "surrogateescape")) >= MAX_PATH:
        raise BadTarError("is a symbolic link to what is not a path")
    return target
