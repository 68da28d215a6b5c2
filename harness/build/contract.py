"""What lies in a container's bundle beside its root, for the init that runs it: ours, or LinuxKit's. Pure."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Sequence
from typing import Any

from harness.build import namespaces, prepare
from harness.build.bundle import Bundle
from harness.spec.labels import DEFAULT_ENV
from harness.spec.rules.annotations import settings
from harness.tree.tree import TreeNode

NAMESPACES = "namespaces"
HOOK_LIMIT = 30  # seconds


def ours(made: Bundle, prefix: str, top: TreeNode | None = None) -> dict[str, str]:
    """Return the files of a bundle in the folder `prefix` for our own init (guest/init), by name.

    `top` is the folder that the container's root is, where it is not root's own of mode 0755.
    """
    before = prepare.lines(made.runtime, prefix, None if made.readonly else top)
    # runc's when nobody says, and so LinuxKit's: what is mounted later is seen as binds say. crun's is private.
    config = {**made.guarded, "linux": {"rootfsPropagation": "rslave", **made.guarded["linux"]}}
    files = {"config.json": _json(config), "settings": _settings(made, prepares=bool(before))}
    if posixpath.basename(prefix).partition("-")[2] != made.name and not prefix.startswith("containers/services/"):
        files["settings"] += f"label={shlex.quote(made.name)}\n"
    if before:
        files["prepare"] = _lines(before)
    created = namespaces.lines(made.runtime)
    if created:
        # between `create` and `start`, in the root's namespaces (runtime-spec, config.md, createRuntime)
        hook = {
            "path": "/bin/sh",
            "args": ["sh", f"/{prefix}/{NAMESPACES}"],
            "env": list(DEFAULT_ENV),
            "timeout": HOOK_LIMIT,
        }
        files |= {
            "config.json": _json({**config, "hooks": {"createRuntime": [hook]}}),
            NAMESPACES: _lines(created),
        }
    return files


def linuxkits(made: Bundle, prefix: str) -> dict[str, str]:
    """Return the files of a bundle in the folder `prefix` for LinuxKit's init, by name.

    It does what the runtime section says by itself (pkg/init of LinuxKit v1.8), and the mounts before it, which put the
    container's root together.
    """
    runtime = made.runtime.model_dump(by_alias=True, exclude_defaults=True, exclude_none=True)
    runtime["mounts"] = [*_root_mounts(made, f"/{prefix}"), *runtime.get("mounts", ())]
    return {"config.json": _json(made.config), "runtime.json": _json(runtime)}


def _root_mounts(made: Bundle, place: str) -> list[dict[str, Any]]:
    root, tmp = f"{place}/rootfs", f"{place}/tmp"
    if made.readonly:
        return [{"destination": root, "source": root, "options": ["bind"]}]
    layers = [f"lowerdir={place}/lower", f"upperdir={tmp}/upper", f"workdir={tmp}/work"]
    return [
        {"destination": tmp, "type": "tmpfs", "source": "tmpfs"},
        {"destination": root, "type": "overlay", "source": "overlay", "options": layers},
    ]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _settings(made: Bundle, *, prepares: bool) -> str:
    entry = settings(made.annotations)
    rows = {
        "timeout": str(entry.timeout),
        "ready": str(entry.ready),
        "restart": entry.restart,
        "health": entry.health.kind if entry.health else "started",
        "health_arg": entry.health.argument if entry.health else "",
        "overlay": "" if made.readonly else "1",
        "prepare": "1" if prepares else "",
        "console": "1" if entry.log == "console" else "",
        "shared": "" if any(row["type"] == "pid" for row in made.config["linux"]["namespaces"]) else "1",
    }
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in rows.items() if value)
