"""Which revision of somebody's files a run was about, as git tells it."""

from __future__ import annotations

import re
from pathlib import Path

from harness import proc
from harness.errors import HarnessError

Revision = dict[str, str | bool]
PROJECT = 12  # letters of a first commit
# https://user@host:port/path.git, ssh://…, and user@host:path; a path on this host says nothing to another one
_REMOTE = re.compile(
    r"(?:[a-z+]+://(?:[^@/]*@)?(?P<h>[^/:@]+)(?::\d+)?/|(?:[^@/:]+@)?(?P<s>[^/:@]+):(?!//))(?P<path>.+)"
)
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def of(path: Path) -> Revision | None:
    """Return the commit (with its subject) that the folder of `path` is at, whether it has changes since, the project.

    None where that is not a checkout, or the host has no git.
    """
    folder = path.resolve().parent
    try:
        head = proc.run(["git", "-C", str(folder), "log", "-1", "--format=%H%n%s"], timeout=20)
        changes = proc.run(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"], timeout=60)
    except HarnessError:
        return None
    commit, _, subject = head.stdout.decode(errors="replace").strip().partition("\n")
    changed = bool(changes.stdout.strip())
    return {"commit": commit, "subject": subject, "changed": changed, "project": project(folder)}


def project(folder: Path) -> str:
    """Return what the project that a folder is of is called on every host: HOST/PATH of the remote that it came from.

    Else the first commit, where all of the history is there; empty where neither is known.
    """
    remote = _said(folder, "config", "--get", "remote.origin.url")
    if found := _REMOTE.fullmatch(remote):
        return f"{(found['h'] or found['s']).lower()}/{found['path'].strip('/').removesuffix('.git')}"
    if _said(folder, "rev-parse", "--is-shallow-repository") != "false":
        return ""
    return min(_said(folder, "rev-list", "--max-parents=0", "HEAD").split() or [""])[:PROJECT]


def in_project(folder: Path, file: Path) -> str:
    """Return where a file lies in the project that `folder` is of; empty where it lies elsewhere."""
    top = _said(folder, "rev-parse", "--show-toplevel")
    full = file.resolve()
    return str(full.relative_to(top)) if top and full.is_relative_to(top) else ""


def _said(folder: Path, *words: str) -> str:
    try:
        return proc.run(["git", "-C", str(folder), *words], timeout=20).stdout.decode(errors="replace").strip()
    except HarnessError:
        return ""


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
