"""What differs between two bills of materials. Pure: works on SPDX 2 and CycloneDX documents, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# what of a document is no package: the image itself and its files, in SPDX's words and in CycloneDX's
NO_PACKAGES = ("OPERATING_SYSTEM", "FILE", "operating-system", "file")
UNSAID = ("NOASSERTION", "NONE", "")


@dataclass(frozen=True)
class ListedPackage:
    """A package as one document has it, under one name: its versions and licences, several where it is there twice."""

    versions: tuple[str, ...]
    licences: tuple[str, ...]


@dataclass(frozen=True)
class PackageChange:
    """A package that is not the same in both; ``before`` is None when it was added, ``after`` when it was removed."""

    name: str
    before: ListedPackage | None
    after: ListedPackage | None

    @property
    def kind(self) -> str:
        """``added``, ``removed``, ``version``, or ``licence`` when only that changed."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "version" if self.before.versions != self.after.versions else "licence"


def entries(document: Mapping[str, Any]) -> dict[str, ListedPackage]:
    """Return a document's packages by name; what has no version, the image itself and its files are none of them."""
    found: dict[str, list[tuple[str, str]]] = {}
    key = rows_of(document)
    for row in document[key]:
        if row.get("primaryPackagePurpose", row.get("type")) in NO_PACKAGES:
            continue
        version, licence = _cyclonedx(row) if key == "components" else _spdx(row)
        if isinstance(version, str) and version:
            found.setdefault(row["name"], []).append((version, licence))
    return {
        name: ListedPackage(*(tuple(sorted({pair[which] for pair in pairs})) for which in (0, 1)))
        for name, pairs in sorted(found.items())
    }


def rows_of(document: Mapping[str, Any]) -> str:
    """Return the key under which a document has its packages; empty when it is of no kind that is known."""
    if str(document.get("spdxVersion", "")).startswith("SPDX-2."):
        return "packages"
    return "components" if document.get("bomFormat") == "CycloneDX" else ""


def _spdx(row: Mapping[str, Any]) -> tuple[Any, str]:
    said = (row.get(key) for key in ("licenseConcluded", "licenseDeclared"))
    return row.get("versionInfo"), next((one for one in said if isinstance(one, str) and one not in UNSAID), "")


def _cyclonedx(row: Mapping[str, Any]) -> tuple[Any, str]:
    licences = row.get("licenses")
    said = [_said(one) for one in licences if isinstance(one, dict)] if isinstance(licences, list) else []
    return row.get("version"), " AND ".join(filter(None, said))


def _said(choice: Mapping[str, Any]) -> str:
    licence = choice.get("license")
    named = [licence.get("id"), licence.get("name")] if isinstance(licence, dict) else []
    return next((one for one in (choice.get("expression"), *named) if isinstance(one, str)), "")


def changes(before: Mapping[str, ListedPackage], after: Mapping[str, ListedPackage]) -> list[PackageChange]:
    """Return every package that differs, by name."""
    names = sorted({*before, *after})
    return [
        PackageChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def lines(found: Iterable[PackageChange]) -> Iterator[str]:
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
