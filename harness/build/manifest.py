"""What an image's manifest says: every file that boots, every component, every package, and where the bytes went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.build.outputs import OutputFiles
from harness.build.rootfs import RootTree
from harness.image import SCHEMA
from harness.store import file_digest, file_digests
from harness.text import one_line


@dataclass(frozen=True)
class KernelFacts:
    """What the manifest says of the kernel."""

    reference: str
    version: str
    packages: Sequence[Mapping[str, Any]]


def make(
    facts: Mapping[str, Any],
    folder: Path,
    output: OutputFiles,
    squashfs: Path,
    root: RootTree,
    brought: Mapping[str, Sequence[str]],
    packages: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """Put the manifest together. `facts` are its plain top-level keys; no path of this host is in it.

    `brought` are the names of the packages that brought files, by reference of a component.
    """
    return {
        "schema": SCHEMA,
        **facts,
        "files": [
            *(_file(folder / name, shipped=True) for name in output.shipped),
            *(_file(folder / name, shipped=False) for name in output.beside),
        ],
        "boot": dict(output.boot),
        **({"holds": dict(output.holds)} if output.holds else {}),
        **({"firmware": output.firmware} if output.firmware else {}),
        "root": {
            "sha256": file_digest(squashfs),
            "size": squashfs.stat().st_size,
            "paths": len(root.tree.nodes),
            "file": output.root,
            "stored": output.root_size,
            **({"hash": output.root_hash} if output.root_hash else {}),
        },
        "components": _components(root, brought),
        "packages": sorted(packages, key=lambda row: (str(row["name"]), str(row["version"]))),
    }


def _file(path: Path, *, shipped: bool) -> dict[str, Any]:
    sha256, sha512 = file_digests(path, "sha256", "sha512")
    return {"name": path.name, "size": path.stat().st_size, "sha256": sha256, "sha512": sha512, "shipped": shipped}


def _components(root: RootTree, brought: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """One row a component, in the order of boot. ``own`` counts the bytes no earlier row has: equal files are one."""
    seen: set[str] = set()
    rows = []
    held = _by_prefix(root)
    for section, name, reference, prefix in root.owners:
        size = own = 0
        files = []
        for path, length, digest in held.get(prefix, ()):
            size += length
            if digest not in seen:
                seen.add(digest)
                own += length
            files.append([_shown(path), length, digest])
        rows.append({"section": section, "name": name, "reference": reference, "size": size, "own": own,
                     "packages": list(brought.get(reference, ())), "files": files})  # fmt: skip
    return rows


def _shown(path: str) -> str:
    """Return a path as text that can be printed anywhere: a stranger has chosen it, and it may not even be UTF-8."""
    return one_line(path, None)


def _by_prefix(root: RootTree) -> dict[str, list[tuple[str, int, str]]]:
    """Return path, bytes and digest of every file by the prefix that it lies under, "" where it is not a bundle's."""
    bundles = {prefix for *_, prefix in root.owners if prefix}
    found: dict[str, list[tuple[str, int, str]]] = {}
    for path, node in root.tree.files():
        if node.content is not None:
            above = [path[:at] for at, letter in enumerate(path) if letter == "/"]
            prefix = next((one for one in above if one in bundles), "")
            found.setdefault(prefix, []).append((path, node.content.size, node.digest))
    return found


def package_rows(made: Iterable[tuple[Iterable[Mapping[str, Any]], bool]]) -> list[dict[str, Any]]:
    """Return every resolved package once, with how many of its files are shipped; what is not is the probe's."""
    keys = ("name", "version", "arch", "sha256", "source")
    rows: dict[str, dict[str, Any]] = {}
    for packages, shipped in made:
        for package in packages:
            row = rows.setdefault(package["sha256"], {**{key: package[key] for key in keys},
                                                      "source_version": package["source_version"] or package["version"],
                                                      "origin": package.get("origin", ""),
                                                      "licence": "", "copyright": "", "sha512": "",
                                                      "files": 0})  # fmt: skip
            if shipped and package["files"]:
                row |= {key: package[key] for key in ("licence", "copyright", "sha512")}
                row["files"] += package["files"]
    return list(rows.values())
