"""Which revision of somebody's files a run was about, as git tells it."""

from __future__ import annotations

import re
from pathlib import Path

from harness import proc
from harness.errors import HarnessError

Revision = dict[str, str | bool]
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def of(path: Path) -> Revision | None:
    """Return the commit (with its subject) that the folder of `path` is at, and whether it has changes since.

    None where that is not a checkout, or the host has no git.
    """
    folder = path.resolve().parent
    try:
        head = proc.run(["git", "-C", str(folder), "log", "-1", "--format=%H%n%s"], timeout=20)
        changes = proc.run(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"], timeout=60)
    except HarnessError:
        return None
    commit, _, subject = head.stdout.decode(errors="replace").strip().partition("\n")
    return {"commit": commit, "subject": subject, "changed": bool(changes.stdout.strip())}


def between(folder: Path, before: str, after: str) -> list[tuple[str, str]] | None:
    """Return the commits (id and subject) that `after` has and `before` has not, newest first.

    None where `folder` is in no checkout that knows both.
    """
    if not _ID.fullmatch(before) or not _ID.fullmatch(after):
        return None
    try:
        said = proc.run(["git", "-C", str(folder), "log", "--format=%H%x00%s", f"{before}..{after}", "--"], timeout=20)
    except HarnessError:
        return None
    rows = (line.partition("\0") for line in said.stdout.decode(errors="replace").splitlines())
    return [(row[0], row[2]) for row in rows]
