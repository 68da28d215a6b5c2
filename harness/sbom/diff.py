"""What differs between two bills of materials. Pure: works on SPDX 2 documents, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UNSAID = ("NOASSERTION", "NONE", "")


@dataclass(frozen=True)
class Entry:
    """A package as one document has it, under one name: its versions and licences, several where it is there twice."""

    versions: tuple[str, ...]
    licences: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A package that is not the same in both; ``before`` is None when it was added, ``after`` when it was removed."""

    name: str
    before: Entry | None
    after: Entry | None

    @property
    def kind(self) -> str:
        """``added``, ``removed``, ``version``, or ``licence`` when only that changed."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "version" if self.before.versions != self.after.versions else "licence"


def entries(document: Mapping[str, Any]) -> dict[str, Entry]:
    """Return a document's packages by name; what has no version, such as the image itself, is none of them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in document["packages"]:
        version = row.get("versionInfo")
        if isinstance(version, str) and version:
            found.setdefault(row["name"], []).append((version, _licence(row)))
    return {
        name: Entry(*(tuple(sorted({pair[which] for pair in pairs})) for which in (0, 1)))
        for name, pairs in sorted(found.items())
    }


def _licence(row: Mapping[str, Any]) -> str:
    said = (row.get(key) for key in ("licenseConcluded", "licenseDeclared"))
    return next((one for one in said if isinstance(one, str) and one not in UNSAID), "")


def changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[Change]:
    """Return every package that differs, by name."""
    names = sorted({*before, *after})
    return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def lines(found: Iterable[Change]) -> Iterator[str]:
    """Yield what changed, a line each; what an unchanged licence is, is not repeated."""
    for change in found:
        old, new = change.before, change.after
        parts = [f"{change.kind:8}{change.name}"]
        if old is None or new is None:
            one = new or old
            assert one is not None
            parts += [_joined(one.versions), f"({_joined(one.licences)})"]
        else:
            if old.versions != new.versions:
                parts.append(f"{_joined(old.versions)} → {_joined(new.versions)}")
            if old.licences != new.licences:
                parts.append(f"licence: {_joined(old.licences)} → {_joined(new.licences)}")
        yield "  ".join(parts)


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(text or "no licence said" for text in texts)
