"""What a mirror can do wrong, told apart by apt's words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UserError
from harness.patience import NetworkError

if TYPE_CHECKING:
    from harness.proc import CommandError


class MirrorError(NetworkError):
    """A mirror failed. ``kind`` is a row of TROUBLES; only some are worth another attempt."""

    def __init__(self, message: str, *, kind: str, hint: str = "", details: str = "") -> None:
        passing = any(row.kind == kind and row.passing for row in TROUBLES)
        super().__init__(message, hint=hint, details=details, passing=passing)
        self.kind = kind


@dataclass(frozen=True)
class MirrorFailure:
    """A kind of failure: what apt says, what it means, what to do, and whether it may pass by itself."""

    kind: str
    words: str
    meaning: str
    hint: str
    passing: bool = False


# The first row whose words appear counts: what is certain stands before what may be its consequence.
TROUBLES = (
    MirrorFailure(
        "full", r"No space left on device|write error.*28:", "the disk is full", "free space, or set HARNESS_CACHE"
    ),
    MirrorFailure(
        "signature",
        r"NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|is not signed|invalid signature|signatures (couldn't|were invalid)"
        r"|Clearsigned file isn't valid|no longer signed|NOSPLIT",
        "the mirror's index is not signed by a trusted key",
        "check the mirror, and that its key (Signed-By) is installed: apt-get install debian-archive-keyring",
    ),
    MirrorFailure(
        "expired",
        r"Release file .* (is expired|is not valid yet)|is not valid yet",
        "the mirror's index is out of date, or this host's clock is wrong",
        "check the clock; name another mirror, or a snapshot one, in the mirror setting",
    ),
    MirrorFailure(
        "gone",
        r"\b(404|410)\s|File not found|does not have a Release file|Unable to stat|no such file|No such file",
        "the mirror does not have it (any more)",
        "resolve anew (refresh), name a snapshot mirror in the mirror setting, or import an exported cache",
    ),
    MirrorFailure(
        "denied", r"\b(401|403|407)\s", "the mirror refuses to give it", "check the mirror's and the proxy's login"
    ),
    MirrorFailure(
        "mismatch",
        r"Hash Sum mismatch|unexpected size|Mirror sync in progress|Data left behind|Unexpected EOF|xz: |corrupt",
        "what the mirror sent does not match its signed index",
        "wait for the mirror to be whole again, or name another mirror in the mirror setting",
        passing=True,
    ),
    MirrorFailure(
        "silent",
        r"Could not connect|[Uu]nable to connect|Connection (failed|timed out|refused|reset)|[Tt]imed out|timeout"
        r"|resolv|Error reading from server|Remote end closed|closed the connection|Undetermined|\b5\d\d\s"
        r"|Network is unreachable|No route to host|Bad header|Failed to fetch",
        "the mirror does not answer",
        "check the network and the proxy; name another mirror in the mirror setting, or import an exported cache",
        passing=True,
    ),
)

UNKNOWN_NAMES = re.compile(
    r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate|Couldn't find any package by"
)
UNMET = re.compile(r"unmet dependencies|held broken packages|pkgProblemResolver")


def explain(error: CommandError, stdout: str, *, suite: str, arch: str) -> HarnessError:
    """Return what a failed apt command means for a person: suite, architecture, file, and what to do."""
    where = f"suite {suite}, {arch}"
    said = "\n".join(line for line in error.stderr.splitlines() if not line.startswith("W: Download is performed"))
    unknown = UNKNOWN_NAMES.search(said)
    if unknown:
        name = next(filter(None, unknown.groups()), "a package")
        return UserError(
            f"{where} has no package {name}",
            details=said,
            hint="check its spelling; a name that is new in the suite needs new indexes (refresh)",
        )
    if UNMET.search(said):
        return UserError(f"{where}: these packages cannot be installed together", details=f"{stdout}{said}")
    for row in TROUBLES:
        if re.search(row.words, said):
            message = f"{where}: {row.meaning}"
            return MirrorError(message, kind=row.kind, hint=row.hint, details=said.strip())
    return error
