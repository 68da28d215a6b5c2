"""What a reference to an image means, and the lock that says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import UserError
from harness.oci.attached import MOST, AttachedRow
from harness.oci.document import Descriptor


class ReferenceLock(Protocol):
    """What holds references to the digests that they once meant; ``honoured``, or being written."""

    honoured: bool

    def find_image(self, arch: str, reference: str) -> str:
        """Return the digest that a reference is locked to. Raises UserError when it is not."""
        ...

    def add_image(self, arch: str, reference: str, digest: str) -> None:
        """Remember what a reference means."""
        ...

    def find_attached(self, digest: str) -> list[Any] | None:
        """Return what is attached to an image; None where the lock does not say."""
        ...

    def add_attached(self, digest: str, rows: list[Any]) -> None:
        """Remember what is attached to an image."""
        ...


@dataclass(frozen=True)
class ImageResolution:
    """What a reference means: its manifest, and what is attached to it, None where nobody has looked."""

    manifest: Descriptor
    attached: tuple[AttachedRow, ...] | None

    @property
    def digest(self) -> str:
        """The manifest's."""
        return self.manifest.digest

    def to_json(self) -> dict[str, Any]:
        """Return it as it is remembered."""
        rows = None if self.attached is None else [row.model_dump() for row in self.attached]
        return {"manifest": self.manifest.model_dump(mode="json", by_alias=True, exclude_none=True), "attached": rows}

    @classmethod
    def from_json(cls, known: Any) -> ImageResolution:
        """Return what was remembered. ValueError, KeyError or TypeError where it is none."""
        rows = known["attached"]
        attached = None if rows is None else tuple(AttachedRow.model_validate(row) for row in rows)
        return cls(Descriptor.model_validate(known["manifest"]), attached)


def read_rows(rows: list[Any] | None) -> tuple[AttachedRow, ...] | None:
    """Return what a lock says of attachments, None where it says nothing. UserError where that is none of ours."""
    if rows is None:
        return None
    try:
        found = tuple(AttachedRow.model_validate(row) for row in rows[: MOST + 1])
    except ValueError:
        found = ()
    if len(found) != len(rows):
        raise UserError("the lock is not usable: what it says is attached to an image cannot be read",
                        hint="remove it and build again")  # fmt: skip
    return found
