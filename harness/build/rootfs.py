"""Layers and an ImageSpec in, the root filesystem's tree out. Pure: it reads layers and writes nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from harness import paths
from harness.arch import Arch
from harness.build import bundle as bundles
from harness.build import contract, prepare
from harness.build.files import content
from harness.build.ids import labels, named_ids, number
from harness.build.prepare import MADE_AT_BOOT
from harness.errors import UserError
from harness.spec import executable
from harness.spec.models.container import Entry, EntryConfig, File
from harness.spec.models.image import ImageSpec, Volume
from harness.spec.rules.annotations import LOG
from harness.spec.rules.common import SECTIONS
from harness.tree.tree import Tree, TreeNode, clean, folder, plain, symlink

# What the root always has, whatever its init images bring: mount points and the places programs expect.
_FOLDERS = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": 0o1777, "var": 0o755, "mnt": 0o755,
            "root": 0o700, "etc": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "usr/lib": 0o755}  # fmt: skip
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_MERGED = ("etc/passwd", "etc/group", "etc/shadow")
_WHO = ("uid", "gid", "additional_gids")
_CONTAINER_FOLDERS = ("dev", "proc", "sys", "tmp", "run", "etc")


@dataclass(frozen=True)
class ResolvedImage:
    """One image reference resolved: its files and the config that comes with it."""

    reference: str
    tree: Tree
    config: EntryConfig = field(default_factory=EntryConfig)
    packages: tuple[str, ...] = ()
    guest: bool = False
    user: EntryConfig | None = None  # as whom an OCI image runs where nobody says

    def config_for(self, entry: Entry) -> EntryConfig:
        """Return the config that `entry` goes over: the image's own user counts as a whole or not at all."""
        if self.user is None or any(getattr(one, key) is not None for one in (entry, self.config) for key in _WHO):
            return self.config
        return self.config.model_copy(update={key: getattr(self.user, key) for key in _WHO})


@dataclass
class RootTree:
    """The finished tree, with the paths that each component brought: (section, name, reference) -> prefix.

    ``ours``: the harness's own init runs the containers, else one of an OCI image: LinuxKit's, or one that knows its
    layout.
    """

    tree: Tree
    owners: list[tuple[str, str, str, str]] = field(default_factory=list)
    ours: bool = True
    made_up: list[tuple[str, str]] = field(default_factory=list)  # who binds what nothing brings


def assemble(
    spec: ImageSpec,
    arch: Arch,
    parts: Mapping[str, ResolvedImage],
    modules: Tree,
    loads: Sequence[str] = (),
    layouts: Mapping[str, Tree] = MappingProxyType({}),
) -> RootTree:
    """Build the root: init images merged, bundles under /containers, modules, volumes and the YAML's own files.

    `loads` are the modules that its components want loaded at boot, `layouts` the OCI layouts that volumes hold.
    """
    tree = Tree()
    ours = any(parts[reference].guest for reference in spec.init)
    root = RootTree(tree, ours=ours)
    for path, node in _bare().items():
        tree.put(path, node)
    for reference in spec.init:
        part = parts[reference]
        kept = {path: tree.get(path) for path in _MERGED}
        tree.merge(part.tree)
        for path, old in kept.items():
            _merge_lines(tree, path, old)
        if part.guest:
            _add_guest(tree, arch)
        root.owners.append(("init", reference, reference, ""))
    tree.merge(modules)
    root.owners.append(("kernel", spec.kernel.image, spec.kernel.image, "usr/lib/modules"))
    for path, node in _defaults(spec).items():
        if tree.nodes.get(path) is None:
            tree.put(path, node)
    ids = named_ids(spec)
    for volume in spec.volumes:
        files = layouts[volume.name] if volume.format == "oci" else _tree(parts, volume.image)
        _add_volume(tree, volume, files, ours=ours)
        if volume.image:
            root.owners.append(("volumes", volume.name, volume.image, f"containers/volumes/{volume.name}"))
    volumes = {volume.name: volume.readonly for volume in spec.volumes}
    # before the bundles, which look whether what they bind is a file or a folder
    late = [file for file in spec.files if clean(file.path).split("/", 1)[0] == "containers"]
    _add_files(tree, [file for file in spec.files if file not in late], spec, ids)
    for section in SECTIONS:
        entries = getattr(spec, section)
        for index, (entry, label) in enumerate(zip(entries, labels([one.name for one in entries]), strict=True)):
            place = entry.name if section == "services" else f"{index:03d}-{entry.name}"
            prefix = f"containers/{section}/{clean(place)}"
            try:
                named = entry.model_copy(update={"name": label})
                made_up = _add_bundle(tree, prefix, named, parts[entry.image], ids, volumes, ours=ours, log=spec.log)
            except UserError as error:
                raise UserError(f"{section}: {entry.name}: {entry.image}: {error.message}", hint=error.hint) from error
            root.owners.append((section, entry.name, entry.image, prefix))
            root.made_up += [(f"{section}: {entry.name}", source) for source in made_up if _is_its_own(entry, source)]
    _add_files(tree, [_in_container(tree, file) for file in late], spec, ids)
    _add_loads(tree, loads)
    if ours:
        _move_var(tree)
    return root


def _is_its_own(entry: Entry, source: str) -> bool:
    """Say whether an entry itself binds `source`, and not what its image brings along."""
    binds = [text.split(":")[0] for text in (*(entry.binds or ()), *(entry.binds_add or ()))]
    return source in (*binds, *(mount.source for mount in entry.mounts or ()))


def _bare() -> dict[str, TreeNode]:
    """Return what every root has."""
    links = {path: symlink(target) for path, target in _LINKS.items()}
    return links | {path: folder(mode) for path, mode in _FOLDERS.items()}


def _defaults(spec: ImageSpec) -> dict[str, TreeNode]:
    """Return what the root has when neither an init image nor the YAML's files bring it."""
    host = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in spec.name).strip("-")
    return {
        "etc/resolv.conf": symlink("/run/resolvconf/resolv.conf"),
        "etc/hostname": plain(f"{host[:63] or 'harness'}\n".encode()),
        "etc/hosts": plain(b"127.0.0.1 localhost\n::1 localhost\n"),
    }


def _merge_lines(tree: Tree, path: str, old: TreeNode | None) -> None:
    new = tree.get(path)
    if old is None or new is None or old is new or old.content is None or new.content is None:
        return
    rows: dict[bytes, bytes] = {}
    for line in (old.content.small(path) + b"\n" + new.content.small(path)).splitlines():
        if line:
            rows.setdefault(line.split(b":", 1)[0], line)
    tree.put(path, plain(b"\n".join(rows.values()) + b"\n", new.mode, new.uid, new.gid))


def _add_guest(tree: Tree, arch: Arch) -> None:
    for source in sorted((paths.GUEST / "init").iterdir()):
        place = "etc/inittab" if source.name == "inittab" else f"usr/lib/harness/{source.name}"
        mode = 0o755 if executable(source) else 0o644
        tree.put(place, plain(source.read_bytes(), mode))
    for program in ("mark", "await", "power"):
        tree.put(
            f"usr/lib/harness/{program}", plain((paths.GUEST / "native/bin" / arch.name / program).read_bytes(), 0o755)
        )


def _add_bundle(
    tree: Tree,
    prefix: str,
    entry: Entry,
    part: ResolvedImage,
    ids: Mapping[str, int],
    volumes: Mapping[str, bool],
    *,
    ours: bool,
    log: str,
) -> list[str]:
    """Put a container's bundle together; returns what it binds that nothing brings."""
    made = bundles.make(entry, part.config_for(entry), ids, volumes)
    made = replace(made, annotations={LOG: log, **made.annotations})
    base = "rootfs" if made.readonly else "lower"
    inner = Tree(dict(part.tree.nodes), part.tree.top)
    for path in _CONTAINER_FOLDERS:
        if inner.get(path) is None:
            inner.put(path, folder())
    made_up = []
    for mount in made.config["mounts"]:
        if _bind_source(tree, mount, made):
            made_up.append(mount["source"])
        _mount_point(tree, inner, mount, made)
    prepare.make_places(tree, inner, made.runtime)
    _make_cwd(inner, made.config["process"]["cwd"])
    # LinuxKit's containers find these two even where the image has none
    for path in ("etc/resolv.conf", "etc/hosts"):
        if inner.get(path) is None and inner.nodes.get(path) is None:
            inner.put(path, plain(b""))
    tree.put(f"{prefix}/{base}", inner.top)
    tree.merge(inner, f"{prefix}/{base}")
    if not made.readonly:
        tree.put(f"{prefix}/rootfs", folder())
        tree.put(f"{prefix}/tmp", folder())
    files = contract.ours(made, prefix, inner.top) if ours else contract.linuxkits(made, prefix)
    for name, text in files.items():
        tree.put(f"{prefix}/{name}", plain(text.encode()))
    return made_up


def _mount_point(root: Tree, inner: Tree, mount: Mapping[str, str], made: bundles.Bundle) -> None:
    """Make sure that a mount has something to stand on: a read-only root cannot grow it later."""
    place = clean(mount["destination"])
    if place.split("/", 1)[0] in ("dev", "proc", "sys") and "/" in place:
        return
    if inner.get(place) is not None:
        return
    node = folder()
    if mount["type"] == "bind":
        source = mount["source"].strip("/")
        found = root.get(source) if source else None
        is_file = not found.is_dir if found else _named_as_file(mount["source"], made)
        node = plain(b"") if is_file else node
    if inner.nodes.get(inner.resolve_parent(place)) is not None:
        # a link that leads nowhere yet: the mount would follow it
        inner.nodes.pop(inner.resolve_parent(place))
    inner.put(place, node)


def _make_cwd(inner: Tree, path: str) -> None:
    """Make the folder in which the container starts, as Docker does: an image need not have it."""
    if path.strip("/") and path.strip("/").split("/", 1)[0] not in MADE_AT_BOOT and inner.get(path) is None:
        inner.put(path, folder())


def _named_as_file(path: str, made: bundles.Bundle) -> bool:
    """Guess from its name whether what is not there yet will be a file: etc/my.conf, but not root/.ssh or conf.d."""
    name = posixpath.basename(path)
    return "." in name[1:] and not name.endswith(".d") and path not in made.runtime.mkdir


def _bind_source(root: Tree, mount: Mapping[str, str], made: bundles.Bundle) -> bool:
    """Make the file or folder that a bind names, when the root lacks it: a read-only root cannot grow it at boot.

    Says whether nobody can make it then.
    """
    if mount["type"] != "bind" or not mount["source"].strip("/"):
        return False
    source = root.resolve(clean(mount["source"]))
    if source.split("/", 1)[0] not in MADE_AT_BOOT and source not in root.nodes:
        mode = 0o700 if source.startswith("root/") else 0o755
        root.put(source, plain(b"") if _named_as_file(mount["source"], made) else folder(mode))
        return not source.startswith("var/") and mount["source"] not in made.runtime.mkdir
    return False


def _tree(parts: Mapping[str, ResolvedImage], reference: str) -> Tree | None:
    return parts[reference].tree if reference else None


def _add_volume(tree: Tree, volume: Volume, files: Tree | None, *, ours: bool) -> None:
    """Lay out a volume with its content: `merged` is what containers bind.

    A writable one is mounted at boot: an overlay over `lower` where it has content, else memory alone. LinuxKit's init
    mounts each one, and needs all three folders for it.
    """
    merged = bundles.volume_folder(volume.name)
    prefix = posixpath.dirname(merged)
    mounted = not volume.readonly or not ours
    tree.put(merged, folder())
    if mounted:
        tree.put(f"{prefix}/tmp", folder())
    if files is not None or not ours:
        content = f"{prefix}/lower" if mounted else merged
        tree.put(content, files.top if files else folder())
        tree.merge(files or Tree(), content)


def _add_files(tree: Tree, files: Sequence[File], spec: ImageSpec, ids: Mapping[str, int]) -> None:
    for file in files:
        _add_file(tree, file, spec, ids)


def _in_container(tree: Tree, file: File) -> File:
    """Let a file for a container's folder arrive where its files are: in `lower`, or in `rootfs` where it is read-only.

    LinuxKit's users know from an entry which it is; a component may be read-only where the entry says nothing.
    """
    parts = clean(file.path).split("/")
    if len(parts) > 4 and parts[3] == "lower" and tree.get("/".join(parts[:4])) is None:
        parts[3] = "rootfs"
        if tree.get("/".join(parts[:4])) is not None:
            return file.model_copy(update={"path": "/".join(parts)})
    return file


def _add_file(tree: Tree, file: File, spec: ImageSpec, ids: Mapping[str, int]) -> None:
    uid, gid = number(file.uid, ids), number(file.gid, ids)
    if file.directory:
        tree.put(file.path, folder(int(file.mode or "0700", 8), uid, gid))
        return
    if file.symlink:
        tree.put(file.path, symlink(file.symlink))
        return
    data = content(file, spec)
    if data is not None:
        tree.put(file.path, plain(data, int(file.mode or "0600", 8), uid, gid))


def _add_loads(tree: Tree, names: Sequence[str]) -> None:
    """Let the boot load the modules that components need, after those that the YAML's own list names."""
    if names:
        own = tree.get("etc/modules")
        text = own.content.small("etc/modules") + b"\n" if own is not None and own.content is not None else b""
        tree.put("etc/modules", plain(text + "".join(f"{name}\n" for name in names).encode()))


def _move_var(tree: Tree) -> None:
    """Move what lies under /var aside: a tmpfs is mounted there, and `boot` copies it back."""
    for path in [path for path in tree.nodes if path.startswith("var/")]:
        tree.put_at(f"usr/lib/harness/{path}", tree.nodes.pop(path))
