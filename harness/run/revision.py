"""Which revision of somebody's files a run was about, as git tells it."""

from __future__ import annotations

from pathlib import Path

from harness import proc
from harness.errors import HarnessError

Revision = dict[str, str | bool]


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
