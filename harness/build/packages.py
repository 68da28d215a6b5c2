"""Resolved packages as records: what a layer's key, a lock and a manifest are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from pydantic import with_config

from harness.errors import UserError
from harness.store import digest_of

# What manifests and bills of materials say of a package. Mirrors may offer the same bytes as somebody else's.
TOLD = ("name", "version", "arch", "sha256", "source", "source_version", "origin")


@with_config(extra="forbid")  # where a stranger's lock is read
@dataclass(frozen=True)
class DebianPackage:
    """One package in one version. ``size`` is the .deb's bytes; ``filename`` its path in the mirror's pool.

    ``depends`` holds the names in Pre-Depends and Depends, every alternative; ``provides`` its virtual names.
    ``source_version`` is empty where the source package has the package's own version.
    """

    name: str
    version: str
    arch: str  # Debian's name; "all" when it fits every one
    sha256: str
    size: int
    filename: str
    source: str
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    source_version: str = ""
    origin: str = ""  # who publishes the repository that it came from, as that says itself: Debian

    def record(self) -> dict[str, Any]:
        """Return the package as JSON-like data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Resolution:
    """What apt would install for a request on one architecture, in name order.

    ``uris`` says where each package (by digest) was offered; it is not part of the record, for mirrors differ.
    """

    suite: str
    arch: str
    names: tuple[str, ...]
    packages: tuple[DebianPackage, ...]
    uris: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """The key of what is made of these packages: of their bytes, and of what a manifest says of them."""
        said = [[getattr(package, name) for name in TOLD] for package in self.packages]
        return digest_of([self.arch, self.names, said])

    def records(
        self, carried: Mapping[str, int], kept: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    ) -> list[dict[str, Any]]:
        """Return all packages as data, by name: how many of its ``files`` are `carried`, and what was `kept` of it."""
        return [
            {**package.record(), "files": carried.get(package.name, 0), **kept.get(package.name, {})}
            for package in self.packages
        ]

    @cached_property
    def by_name(self) -> dict[str, DebianPackage]:
        """The packages by name, and by each virtual name that no package bears."""
        table = {virtual: package for package in reversed(self.packages) for virtual in package.provides}
        return table | {package.name: package for package in self.packages}


def package_from(record: Mapping[str, Any]) -> DebianPackage:
    """Return the package of a record; UserError when a key is missing or of the wrong type."""
    try:
        package = DebianPackage(
            **{**record, "depends": tuple(record["depends"]), "provides": tuple(record.get("provides", ()))}
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"not a package record: {error}") from error
    if not re.fullmatch(r"[0-9a-f]{64}", str(package.sha256)) or not isinstance(package.size, int):
        raise UserError(f"the record of package {package.name!r} has no usable digest or size")
    return package


def package_from_index(fields: Mapping[str, str]) -> DebianPackage:
    """Return the package of one paragraph of a Packages index."""
    depends = names_in(",".join(filter(None, (fields.get("pre-depends"), fields.get("depends")))))
    source = re.fullmatch(r"(\S+)(?: +\((\S+)\))?", fields.get("source", "")) or ("", fields["package"], None)
    return DebianPackage(
        name=fields["package"],
        version=fields["version"],
        arch=fields["architecture"],
        sha256=fields["sha256"],
        size=int(fields["size"]),
        filename=fields["filename"],
        source=source[1],
        depends=depends,
        provides=names_in(fields.get("provides", "")),
        source_version=source[2] or "",
        origin=fields.get("origin-of-repository", ""),
    )


def names_in(relation: str) -> tuple[str, ...]:
    """Return the package names in a dependency field, every alternative, without versions and repeats."""
    words: Sequence[str] = re.split(r"[,|]", relation)
    names = (re.split(r"[\s(:\[]", word.strip(), maxsplit=1)[0] for word in words)
    return tuple(dict.fromkeys(name for name in names if name))
