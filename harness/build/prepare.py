"""What an entry's ``runtime`` asks for before its container starts: shell lines for the image, and their folders."""

from __future__ import annotations

import shlex

from harness.spec.models.container import Mount, Runtime
from harness.tree.tree import Tree, TreeNode, clean, folder, plain

MADE_AT_BOOT = ("dev", "proc", "sys", "run", "tmp")  # mounted before any container runs


def lines(runtime: Runtime, prefix: str, top: TreeNode | None = None) -> list[str]:
    """Return the script of the bundle in the folder `prefix`, in LinuxKit's order; none when there is nothing to do.

    A relative path lies in the container's root. A service that starts again finds its mounts done. `top` is the
    folder that the root is, where it is an overlay: that has mode and owner of its upper layer.
    """

    def place(path: str) -> str:
        return shlex.quote(f"/{clean(path)}" if path.startswith("/") else f"/{prefix}/rootfs/{clean(path)}")

    mounts: list[str] = []
    for mount in runtime.mounts:
        made = [option.split("=", 1)[1] for option in mount.options if option.startswith(("upperdir=", "workdir="))]
        target = place(mount.destination)
        mounts.append(" ".join(["mkdir -p", target, *map(shlex.quote, made)]))
        mounts += _mount(mount, target)
    if mounts:
        done = shlex.quote(f"/run/harness/{prefix.replace('/', '-')}.mounted")
        mounts = [f"if [ ! -e {done} ]; then", *mounts, f": >{done}", "fi"]
    folders = [f"mkdir -p {place(path)}" for path in runtime.mkdir]
    groups = [f"mkdir -p {shlex.quote('/sys/fs/cgroup/' + clean(path))}" for path in runtime.cgroups]
    found = [*_root(prefix, top), *mounts, *folders, *groups]
    return ["set -e", *found] if found else []


def _root(prefix: str, top: TreeNode | None) -> list[str]:
    if top is None or (top.mode, top.uid, top.gid) == (0o755, 0, 0):
        return []
    root = shlex.quote(f"/{prefix}/rootfs")
    return [f"chown {top.uid}:{top.gid} {root}", f"chmod {top.mode:o} {root}"]


def _mount(mount: Mount, target: str) -> list[str]:
    options = [option for option in mount.options if option != "defaults"]
    if mount.type in ("bind", "rbind") and not {"bind", "rbind"} & set(options):
        options.insert(0, mount.type)
    bind = bool({"bind", "rbind"} & set(options))
    kind = [] if bind else ["-t", shlex.quote(mount.type or "none")]
    chosen = ["-o", shlex.quote(",".join(options))] if options else []
    command = " ".join(["mount", *kind, *chosen, "--", shlex.quote(mount.source or mount.type or "none"), target])
    # the kernel takes `ro` for a bind only in a second step
    return [command, f"mount -o remount,bind,ro -- {target}"] if bind and "ro" in options else [command]


def make_places(root: Tree, inner: Tree, runtime: Runtime) -> None:
    """Make what the scripts would, where a read-only root cannot grow it at boot: folders, and namespaces' files.

    `inner` is the container's root, which relative paths lie in.
    """
    for path in (*(mount.destination for mount in runtime.mounts), *runtime.mkdir):
        tree = root if path.startswith("/") else inner
        place = tree.resolve(clean(path))
        at_boot = tree is root and place.split("/", 1)[0] in (*MADE_AT_BOOT, "var")
        if not at_boot and place not in tree.nodes:
            tree.put(place, folder())
    kept = runtime.bind_ns.model_dump() if runtime.bind_ns else {}
    for path in filter(None, kept.values()):
        place = root.resolve(clean(path))
        if place.split("/", 1)[0] not in (*MADE_AT_BOOT, "var") and place not in root.nodes:
            root.put(place, plain(b""))
