"""What an evidence archive holds: the names of its files, how large each may be, and its files once they are unpacked.

One table serves who writes an archive and who reads one: what it does not name is refused on both sides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EvidenceError
from harness.run import folder as run_folder
from harness.system import folder as boot_folder

EVENTS, RESULTS = run_folder.EVENTS, run_folder.RESULTS
RECORD, CONSOLE, TRANSCRIPT = boot_folder.RECORD, boot_folder.CONSOLE, boot_folder.TRANSCRIPT
IMAGE, SPEC, SOURCES, MACHINE, PROFILE, CASES, BOOTS = (
    "image", "spec", "sources", "machine", "profile", "cases", "boots",
)  # fmt: skip
WAIVERS, SBOM, LOCK, REBUILD = "waivers.yml", "sbom.spdx.json", "lock.json", "rebuild.json"
PAGE, BADGE, CERTIFICATE = "certificate.html", "badge.svg", "certificate.json"
EXACT = ("exact/1", "exact/2")  # the folders of a cell's two exact boots
OWN_CASES = f"{CASES}/own"  # case files that lie beside the profile

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MAX_FILES = 2000
MAX_TOKENS = 500_000  # of JSON: each may take some 200 bytes of memory once it is read
# Of all files: sparse disks shrink to nothing, so their size is bounded by what lies packed.
MAX_BYTES = 64 * GIB
FREE_BYTES = 2 * GIB
MOST_SHRUNK = 64
MOST_SEARCHED = 64 * MIB  # of an initrd in which names are looked for

_FILE = r"[\w.,+@=~-][\w.,+@=~ -]*"
_BOOT = r"[a-z]+(-\d{1,4})?(/[12])?"
# Patterns of names, and the most bytes of such a file.
LIMITS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern, re.ASCII), size)
    for pattern, size in (
        (rf"{IMAGE}/manifest\.json", 32 * MIB),
        (rf"{IMAGE}/kernel", GIB),
        (rf"{IMAGE}/initrd", 4 * GIB),
        (rf"{IMAGE}/(disk|iso)", MAX_BYTES),
        (rf"{SPEC}/[1-9]\d?-{_FILE}", MIB),
        (rf"{SOURCES}/\d{{1,4}}", GIB),
        (rf"{PROFILE}/[1-9]\d?-{_FILE}\.ya?ml", MIB),
        (rf"{MACHINE}/{_FILE}\.ya?ml", MIB),
        (rf"{CASES}/({_FILE}/)?{_FILE}\.py", MIB),
        (rf"{BOOTS}/{_BOOT}/record\.json", MIB),
        (rf"{BOOTS}/{_BOOT}/transcript\.txt", 65 * MIB),
        (rf"{BOOTS}/{_BOOT}/console\.raw", 16 * MIB),
        (re.escape(WAIVERS), MIB),
        (re.escape(LOCK), 16 * MIB),
        (re.escape(REBUILD), MIB),
        (re.escape(SBOM), 64 * MIB),
        (re.escape(EVENTS), 8 * MIB),
        (re.escape(RESULTS), 8 * MIB),
        (re.escape(CERTIFICATE), 4 * MIB),
        (re.escape(PAGE), 16 * MIB),
        (re.escape(BADGE), 64 * KIB),
    )
)


@dataclass(frozen=True)
class ArchiveMember:
    """A file of an archive; ``size`` in bytes, ``sha256`` hexadecimal."""

    name: str
    size: int
    sha256: str


def limit(name: str) -> int | None:
    """Return how many bytes a file of this name may have; None when no archive holds such a file."""
    return next((size for pattern, size in LIMITS if pattern.fullmatch(name)), None)


def refusal(members: Iterable[ArchiveMember], packed: int) -> str:
    """Return why no archive of `packed` bytes holds these files; empty when one may."""
    rows = list(members)
    if len(rows) > MAX_FILES:
        return f"{len(rows)} files; at most {MAX_FILES}"
    for one in rows:
        most = limit(one.name)
        if most is None:
            return f"a file {one.name!r}, which no archive has"
        if one.size > most:
            return f"{one.name} with {one.size} bytes; at most {most}"
    total = sum(one.size for one in rows)
    most = min(MAX_BYTES, FREE_BYTES + MOST_SHRUNK * packed)
    return f"{total} bytes in all, of {packed} packed ones; at most {most}" if total > most else ""


def loads(content: bytes, name: str) -> Any:
    """Return what a stranger's JSON says; EvidenceError when it is none, or would take too much memory."""
    tokens = sum(map(content.count, (b",", b"[", b"{")))
    if tokens > MAX_TOKENS:
        raise EvidenceError(f"{name} has {tokens} values: more than any harness writes")
    try:
        return json.loads(content, parse_constant=_no_number, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{name} is not JSON that this harness writes", details=str(error)[:200]) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of two values of one key another reader may take the other one."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


@dataclass(frozen=True)
class EvidenceFiles:
    """The files of an archive in `folder`, with their sizes and digests as they were computed here."""

    folder: Path
    members: Mapping[str, ArchiveMember]

    def below(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of the archive, sorted; numbered ones by their number."""
        found = [name for name in self.members if name.startswith(f"{folder}/")]
        return sorted(found, key=lambda name: (_number(name.removeprefix(f"{folder}/")), name))

    def path(self, name: str) -> Path:
        """Return where a file lies; EvidenceError when the archive has none of this name."""
        if name not in self.members:
            raise EvidenceError(f"the archive has no {name}")
        return self.folder / name

    def content(self, name: str) -> bytes:
        """Return a file's content; EvidenceError when it is not there."""
        return self.path(name).read_bytes()

    def described(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the size and SHA-256 of some files by name."""
        return {name: {"size": self.members[name].size, "sha256": self.members[name].sha256} for name in sorted(names)}


def _number(name: str) -> int:
    match = re.match(r"\d+", name)
    return int(match[0]) if match else 0
