"""What differs between the last good run and the first bad one, by the digests of what they were made of. Pure.

A commit's subject is what somebody wrote; it is told where that commit is the only one between the two runs, and it
excuses nobody: what is blamed are the inputs that are not the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.measure.series import Point

SHORT = 8  # letters of a commit or a digest
SHOWN = 4  # packages, or commits, in a line
PACKAGE, IMAGE = "package ", "image "
BYTES = "bytes"  # the digest of all that is shipped: it follows from the others
CALLED = {
    "YAML": "the image's YAML", "files": "the files that the image's YAML takes in", "machine": "the machine's YAML",
    "lock": "the lock", "kernel": "the kernel", "suite": "the suite", "compression": "the compression",
    "format": "the format",
}  # fmt: skip


@dataclass(frozen=True)
class Commit:
    """A commit of the project."""

    id: str
    subject: str

    def __str__(self) -> str:
        return f"{self.id[:SHORT]} {self.subject}".strip()


@dataclass(frozen=True)
class RunInputSets:
    """What two runs were made of (None: that is not recorded), and the commits between them (None: not known here)."""

    before: Mapping[str, str] | None = None
    after: Mapping[str, str] | None = None
    commits: Sequence[Commit] | None = None


def span(before: Point | None, after: Point) -> str:
    """Return the two runs that a change lies between, as dates and commits."""
    since = f"{after.when[:10]} {state(after)}".strip()
    return f"{before.when[:10]} {state(before)}".strip() + f" → {since}" if before else since


def state(point: Point) -> str:
    """Return a run's commit; ``+`` where files were changed since."""
    return point.commit[:SHORT] + "+" * (point.changed and bool(point.commit))


def told(before: Point | None, after: Point, known: RunInputSets) -> tuple[str, ...]:
    """Return in words what differs between two runs, the most telling first; nothing of a series' first run."""
    if before is None:
        return ()
    inputs = tuple(_inputs(before, after, known))
    commits = tuple(_commits(before, after, known.commits))
    dirty = before.changed or after.changed
    return (*commits, *inputs) if dirty and commits else (*inputs, *commits)


def _inputs(before: Point, after: Point, known: RunInputSets) -> Iterator[str]:
    if before.harness != after.harness and before.harness and after.harness:
        yield f"the harness: {before.harness} → {after.harness}"
    if known.before is None or known.after is None:
        if before.spec != after.spec:
            yield f"the image's YAML changed: {_digest(before.spec)} → {_digest(after.spec)}"
        else:
            yield "the image's YAML is the same; its packages are not recorded"
        return
    differ = list(inputs_apart(known.before, known.after))
    yield from differ
    if not differ and before.harness == after.harness:
        same = known.before.get(BYTES) == known.after.get(BYTES)
        yield (
            "the same bytes on the same machine: what differs is this host's, or the harness's own files"
            if same
            else "the image's bytes, though its YAML, files, packages and lock are the same: the harness's own files"
        )


def inputs_apart(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what differs of what two boots were made of, in words; nothing of the bytes, which follow from the rest."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    for name in names:
        if not name.startswith((PACKAGE, IMAGE)) and name != BYTES:
            old, new = before.get(name, ""), after.get(name, "")
            yield f"{CALLED.get(name, name)} changed: {_digest(old)} → {_digest(new)}"
    for kind, called in ((PACKAGE, "packages"), (IMAGE, "OCI images")):
        moved = [name for name in names if name.startswith(kind)]
        if moved:
            rows = [f"{name.removeprefix(kind)} {_digest(before.get(name, ''))} → {_digest(after.get(name, ''))}"
                    for name in moved[:SHOWN]]  # fmt: skip
            more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
            yield f"{called}: {', '.join(rows)}{more}"


def _digest(text: str) -> str:
    """Return a digest cut short, a version as it is."""
    digest = text.removeprefix("sha256:")
    whole = len(digest) >= 32 and all(letter in "0123456789abcdef" for letter in digest)
    return digest[:SHORT] if whole else text or "none"


def _commits(before: Point, after: Point, between: Sequence[Commit] | None) -> Iterator[str]:
    if not after.commit or not before.commit:
        yield "no commit is known"
    elif before.commit == after.commit:
        here = after.commit[:SHORT]
        yield {
            (False, False): f"the same commit {here}",
            (False, True): f"uncommitted changes on {here}",
            (True, True): f"the same commit {here}, with uncommitted changes before and after",
            (True, False): f"the uncommitted changes on {here} are gone",
        }[before.changed, after.changed]
    else:
        dirty = ", and uncommitted changes" if after.changed else ""
        yield f"commits {before.commit[:SHORT]}..{after.commit[:SHORT]}: {_listed(between)}{dirty}"


def _listed(between: Sequence[Commit] | None) -> str:
    if between is None:
        return "what lies between is not known here"
    if not between:
        return "the later run is of an older commit"
    shown = "; ".join(map(str, between[:SHOWN]))
    more = f"; and {len(between) - SHOWN} more" if len(between) > SHOWN else ""
    return f"{len(between)} commit{'s' * (len(between) > 1)}: {shown}{more}"
