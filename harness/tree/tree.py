"""A root filesystem as a table of paths: read from layer tars, merged, and written as one tar stream.

Nothing is unpacked onto the host: a file's content stays where it is (a slice of a layer's tar) until it is copied.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from harness.errors import HostError, UserError

CHUNK = 1 << 20
SMALL = 1 << 20
OPENED = 64  # files at once
ELF = b"\x7fELF"
MAX_LINKS = 40  # as the kernel: one path that follows more has gone in a circle


@dataclass(frozen=True, slots=True)
class Slice:
    """A file's content: bytes at hand, or a piece of a file on the host."""

    path: Path | None
    offset: int
    size: int
    data: bytes = b""

    def read(self) -> bytes:
        """Return the content."""
        if self.path is None:
            return self.data
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open the content from its beginning; who reads beyond its size reads what follows it on the host."""
        with io.BytesIO(self.data) if self.path is None else self.path.open("rb") as stream:
            stream.seek(self.offset)
            yield stream

    def digest(self, algorithm: str) -> str:
        """Return the content's digest (hex) by an algorithm of hashlib's, without having all of it in memory."""
        found, left = hashlib.new(algorithm), self.size
        with self.opened() as stream:
            while left and (piece := stream.read(min(left, CHUNK))):
                found.update(piece)
                left -= len(piece)
        return found.hexdigest()

    def small(self, what: str) -> bytes:
        """Return the content of a file that a person might have written; UserError when it is larger, `what` it is."""
        if self.size > SMALL:
            raise UserError(f"{what} is larger than {SMALL >> 20} MiB")
        return self.read()


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One path. ``type`` is tarfile's letter; ``digest`` is the SHA-256 of a plain file's content.

    One node at two paths is one file with two names, a hardlink. ``mtime`` is in seconds since 1970; ``shared`` marks
    a file that other containers may have as well, on the same pages of memory.
    """

    type: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    target: str = ""
    content: Slice | None = None
    digest: str = ""
    device: tuple[int, int] = (0, 0)
    pax: tuple[tuple[str, str], ...] = ()
    mtime: int = 0
    shared: bool = False

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.type == tarfile.DIRTYPE


def folder(mode: int = 0o755, uid: int = 0, gid: int = 0) -> TreeNode:
    """Make a folder."""
    return TreeNode(tarfile.DIRTYPE, mode, uid, gid)


def plain(data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> TreeNode:
    """Make a file with the given content."""
    digest = hashlib.sha256(data).hexdigest()
    return TreeNode(tarfile.REGTYPE, mode, uid, gid, content=Slice(None, 0, len(data), data), digest=digest)


def symlink(target: str) -> TreeNode:
    """Make a symbolic link."""
    return TreeNode(tarfile.SYMTYPE, 0o777, target=target)


def clean(path: str) -> str:
    """Return `path` relative to the root, without ``.`` parts; UserError when it leads out of the root."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise UserError(f"{path!r} is not a path inside the root filesystem")
    return "/".join(parts)


@dataclass
class Tree:
    """Paths without a leading slash, each with its node. The root itself is not among them: `top` is its folder."""

    nodes: MutableMapping[str, TreeNode] = field(default_factory=dict)
    top: TreeNode = field(default_factory=folder)

    def put(self, path: str, node: TreeNode) -> None:
        """Put `node` at `path`, following links of the tree among its folders, making missing folders."""
        self.put_at(self.resolve_parent(clean(path)), node)

    def put_at(self, path: str, node: TreeNode) -> None:
        """Put `node` at exactly `path`, making missing folders; UserError when something is in the way."""
        old = self.nodes.get(path)
        if old and old.is_dir and not node.is_dir and any(name.startswith(f"{path}/") for name in self.nodes):
            raise UserError(f"/{path}: a folder with content is in the way of a file")
        missing = []
        above = posixpath.dirname(path)
        while above and above not in self.nodes:
            missing.append(above)
            above = posixpath.dirname(above)
        if above and not self.nodes[above].is_dir:
            raise UserError(f"/{path}: /{above} is in the way, which is not a folder")
        for parent in missing:
            self.nodes[parent] = folder()
        self.nodes[path] = node

    def resolve_parent(self, path: str) -> str:
        """Return `path` with the links among its folders followed, never out of the root."""
        above, name = posixpath.split(path)
        return posixpath.join(self.resolve(above), name) if above else name

    def resolve(self, path: str) -> str:
        """Return where `path` leads when every link is followed inside the root; what is missing stays as it is."""
        done: list[str] = []
        todo = path.split("/")[::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done[:-1]
                continue
            node = self.nodes.get("/".join([*done, part]))
            if node is None or node.type != tarfile.SYMTYPE:
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise UserError(f"/{path}: the links go in a circle")
            if node.target.startswith("/"):
                done = []
            todo += node.target.split("/")[::-1]
        return "/".join(done)

    def get(self, path: str) -> TreeNode | None:
        """Return the node that `path` leads to, links followed; None when there is none."""
        return self.nodes.get(self.resolve(path.strip("/")))

    def look(self, path: str) -> TreeNode | None:
        """Return the same of a stranger's tree, whose links may go in a circle: nothing is there then."""
        try:
            return self.get(path)
        except UserError:
            return None

    def merge(self, other: Tree, at: str = "") -> None:
        """Put all of `other` below `at`; a later folder gives way to an earlier one, a later file wins."""
        for path, node in other.nodes.items():
            place = self.resolve_parent(posixpath.join(at, path) if at else path)
            old = self.nodes.get(place)
            if node.is_dir and old is not None and (old.is_dir or self._leads_to_dir(place)):
                continue
            self.put_at(place, node)

    def _leads_to_dir(self, path: str) -> bool:
        node = self.get(path)
        return node is not None and node.is_dir

    def files(self) -> Iterator[tuple[str, TreeNode]]:
        """Yield the plain files, in path order."""
        for path in sorted(self.nodes):
            if self.nodes[path].type == tarfile.REGTYPE:
                yield path, self.nodes[path]


def read_layer(path: Path, *, shared: bool = False) -> Tree:
    """Read a layer's tar into a tree; file contents stay in the tar. HostError when the tar is damaged.

    `shared` marks the programs and libraries in it (ELF files) as such.
    """
    tree = Tree()
    try:
        with tarfile.open(path, "r:") as archive, path.open("rb") as raw:
            for member in archive:
                if set(member.name.split("/")) - {"", "."}:
                    tree.put(member.name, _node(member, path, raw, tree, shared=shared))
    except tarfile.TarError as error:
        raise HostError(f"{path} is damaged: {error}", hint="`harness clean`, then build again") from error
    return tree


def _node(member: tarfile.TarInfo, path: Path, raw: IO[bytes], tree: Tree, *, shared: bool) -> TreeNode:
    pax = tuple(sorted((key, value) for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")))
    base = TreeNode(member.type, member.mode, member.uid, member.gid, pax=pax, mtime=int(member.mtime))
    if member.islnk():
        # the same content under another name; `write` makes it a hardlink again
        twin = tree.nodes.get(tree.resolve_parent(clean(member.linkname)))
        if twin is None or twin.is_dir:
            raise UserError(
                f"/{member.name} is a hardlink to {member.linkname!r}, which is not a file that comes before it"
            )
        return twin
    if member.issym():
        return replace(base, target=member.linkname)
    if member.isfile():
        raw.seek(member.offset_data)
        elf = shared and raw.read(len(ELF)) == ELF
        raw.seek(member.offset_data)
        digest = _digest(raw, member)
        content = Slice(path, member.offset_data, member.size)
        return replace(base, type=tarfile.REGTYPE, content=content, digest=digest, shared=elf)
    return replace(base, device=(member.devmajor, member.devminor))


def _digest(raw: IO[bytes], member: tarfile.TarInfo) -> str:
    digest, left = hashlib.sha256(), member.size
    while left:
        data = raw.read(min(left, CHUNK))
        if not data:
            raise tarfile.ReadError(f"{member.name} is cut short")
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


def _order(tree: Tree, turn: int) -> list[str]:
    """Return the paths as they are written: sorted, with the contents of the first `turn` hundredths of files last.

    Neighbours stay neighbours, as they do when somebody adds a file; but all lie elsewhere.
    """
    paths = sorted(tree.nodes)
    if not turn:
        return paths
    files = [path for path in paths if tree.nodes[path].content is not None]
    first = len(files) * turn // 100
    return [path for path in paths if tree.nodes[path].content is None] + files[first:] + files[:first]


class Links:
    """Which paths are names of one file: those of one node, and of equal nodes that are `shared`.

    `place_of` says in which container or volume a path lies. Two files of one place are never made one: a program
    there would take them for one file.
    """

    def __init__(self, tree: Tree, place_of: Callable[[str], str] | None = None) -> None:
        self._place_of = place_of
        self._names = Counter((self._place(path), id(node)) for path, node in tree.nodes.items() if not node.is_dir)
        self._first: dict[tuple[str, int], str] = {}
        self._shared: dict[tuple[object, ...], list[tuple[str, set[str]]]] = {}
        self.counts: dict[str, int] = {}  # of files that several places have: how many names each place has for it

    def _place(self, path: str) -> str:
        return self._place_of(path) if self._place_of else ""

    def target(self, path: str, node: TreeNode) -> str:
        """Return the path, written before, of which `path` is another name; "" when it is the first."""
        if node.is_dir:
            return ""
        place = self._place(path)
        own = place, id(node)
        if own in self._first:
            return self._first[own]
        first = self._share(path, place, node, self._names[own]) if self._place_of and node.shared else ""
        self._first[own] = first or path
        return first

    def _share(self, path: str, place: str, node: TreeNode, names: int) -> str:
        same = (node.digest, node.mode, node.uid, node.gid, node.pax, node.mtime, names)
        known = self._shared.setdefault(same, [])
        for first, places in known:
            if place not in places:
                places.add(place)
                self.counts[first] = names
                return first
        known.append((path, {place}))
        return ""


def write(
    tree: Tree,
    out: IO[bytes],
    turn: int = 0,
    place_of: Callable[[str], str] | None = None,
    shown: Callable[[str], str] = str,
) -> Mapping[str, int]:
    """Write the tree as a tar: paths in order, numeric owners, the names of one file as hardlinks to the first.

    With `place_of` files of several containers may be one (`Links`); returns the paths of these, each with how many
    names it has in one container. `shown` gives the name that a path has in the tar.
    """
    links = Links(tree, place_of)
    with (
        ExitStack() as opened,
        tarfile.TarFile(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, copybufsize=CHUNK) as archive,
    ):
        sources: dict[Path, IO[bytes]] = {}
        for path in _order(tree, turn):
            archive.getmembers().clear()  # else it keeps every header
            node = tree.nodes[path]
            info = tarfile.TarInfo(shown(path))
            info.type, info.mode, info.uid, info.gid = node.type, node.mode, node.uid, node.gid
            info.devmajor, info.devminor = node.device
            info.linkname, info.mtime = node.target, node.mtime
            info.pax_headers = dict(node.pax)
            first = links.target(path, node)
            if first:
                info.type, info.linkname, info.pax_headers = tarfile.LNKTYPE, shown(first), {}
            if first or node.content is None:
                archive.addfile(info)
                continue
            info.size = node.content.size
            source = node.content.path
            if source is None:
                archive.addfile(info, io.BytesIO(node.content.data))
            else:
                if source not in sources:
                    if len(sources) == OPENED:
                        opened.close()
                        sources.clear()
                    sources[source] = opened.enter_context(source.open("rb"))
                sources[source].seek(node.content.offset)
                archive.addfile(info, sources[source])
    return links.counts
