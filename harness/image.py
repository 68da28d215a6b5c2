"""What can be booted: a folder of files and one manifest. Build makes it, boot takes it, neither knows the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.arch import Arch, by_name
from harness.errors import UserError

MANIFEST = "manifest.json"
SCHEMA = 1


@dataclass(frozen=True)
class Image:
    """A folder with ``manifest.json`` and the files it lists (``kernel``, ``initrd``, ``probe``)."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest; its keys are described in docs/manifest.md."""
        path = self.folder / MANIFEST
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            raise UserError(f"{self.folder} is no image: it has no {MANIFEST}") from None
        except ValueError as error:
            raise UserError(f"{path}: not a manifest: {error}") from None
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise UserError(f"{path}: manifest of another schema than {SCHEMA}", hint="build the image again")
        return data

    @property
    def name(self) -> str:
        """The image's name: its first YAML's file name without the ending."""
        return str(self.manifest["name"])

    @property
    def arch(self) -> Arch:
        """The architecture it was built for."""
        return by_name(self.manifest["arch"])

    @property
    def kernel(self) -> Path:
        """The kernel file to boot."""
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        """The initrd that carries the root filesystem."""
        return self.folder / "initrd"

    @property
    def probe(self) -> Path:
        """The cpio segment that cases append to get a shell; not part of what is shipped."""
        return self.folder / "probe"

    @property
    def cmdline(self) -> str:
        """The image's own kernel command line; the machine adds its console."""
        return str(self.manifest["cmdline"])

    @property
    def size(self) -> int:
        """Bytes of all that is shipped to boot it."""
        return sum(int(row["size"]) for row in self.manifest["files"] if row["shipped"])
