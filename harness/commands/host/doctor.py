"""`harness doctor`: what this host has and lacks, and what follows from it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import paths, proc, tools
from harness.arch import ARCHES, Arch
from harness.errors import EXIT_HOST, EXIT_OK, HarnessError
from harness.retention import entry
from harness.tools import TOOLS, Tool

VERSION = re.compile(r"(?<![\w.])\d[\w.+~:-]*")
EMULATORS = frozenset(row.qemu for row in ARCHES.values())
GUEST_MIB = 256  # what a machine's YAML gives a guest unless it says otherwise
COLOURS = {"ok": "32", "MISSING": "31", "BROKEN": "31"}


@dataclass(frozen=True)
class ToolStatus:
    """A tool as it is on this host. ``status`` is a key of COLOURS; ``needed_for`` says what is wrong when BROKEN."""

    program: str
    package: str
    needed_for: str
    path: str
    version: str
    status: str


def doctor(*, as_json: bool) -> int:
    """Print the findings, as JSON when asked. Returns 0, or 3 when something indispensable is missing."""
    found = [look(tool) for tool in TOOLS.values()]
    facts = {
        "tools": [asdict(row) for row in found],
        "missing": indispensable(found),
        "kvm": kvm(),
        "cache": cache(),
        "host": host(),
        "packages": sources(),
    }
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        width = shutil.get_terminal_size().columns
        for line in lines(found, facts, width):
            print(line)
    return EXIT_HOST if facts["missing"] else EXIT_OK


def look(tool: Tool) -> ToolStatus:
    """Find `tool` on this host and ask it for its version."""
    path = tools.find(tool.program)
    if path is None:
        return ToolStatus(tool.program, tool.package, tool.needed_for, "", "", "MISSING")
    try:
        done = proc.run([path, *tool.version], timeout=20)
    except HarnessError as error:
        needed_for = f"{tool.needed_for}; {error.message}"
        return ToolStatus(tool.program, tool.package, needed_for, path, "", "BROKEN")
    version = version_in((done.stdout + done.stderr).decode(errors="replace"))
    return ToolStatus(tool.program, tool.package, tool.needed_for, path, version, "ok")


def version_in(text: str) -> str:
    """Return the first thing in a program's words that looks like a version, or ``?``."""
    match = VERSION.search(text)
    return match.group().rstrip(".:") if match else "?"


def indispensable(found: Iterable[ToolStatus]) -> list[str]:
    """Return what is missing or broken without which nothing works: any tool, but of the emulators one is enough."""
    found = list(found)
    missing = [row.program for row in found if row.status != "ok"]
    if any(row.status == "ok" for row in found if row.program in EMULATORS):
        missing = [program for program in missing if program not in EMULATORS]
    return missing


def kvm() -> dict[str, dict[str, str]]:
    """Return accelerator and reason per architecture, as `accel: auto` would choose."""
    return {row.name: _accelerator(row) for row in ARCHES.values()}


def _accelerator(row: Arch) -> dict[str, str]:
    from harness.emulator import accel

    reason = accel.unusable(row)
    kernel = None if reason else _built_kernel(row)
    if reason:
        return {"accel": "tcg", "reason": f"no KVM: {reason}"}
    if tools.find(row.qemu) is None:
        return {"accel": "none", "reason": f"{row.qemu} is not installed"}
    if kernel is None:
        return {"accel": "unknown", "reason": "KVM opens; whether a Linux boots under it is tried at the first boot"}
    try:
        choice = accel.verdict(row, kernel)
    except HarnessError as error:
        return {"accel": "unknown", "reason": error.message}
    return {"accel": choice.name, "reason": choice.reason}


def _built_kernel(row: Arch) -> Path | None:
    """Return the kernel of the newest image in the cache for this architecture: a Linux to try KVM with."""
    from harness.image import Image

    found = [entry(folder) for folder in paths.cache_dir().glob("images/*")]
    for folder in (one.path for one in sorted(found, key=lambda one: one.used, reverse=True)):
        try:
            if Image(folder).arch == row and Image(folder).kernel.exists():
                return Image(folder).kernel
        except (HarnessError, KeyError):
            continue  # of another version of the harness: it serves no more
    return None


def cache() -> dict[str, Any]:
    """Return where the cache is, its size and the free space there, in bytes."""
    from harness.store import usage

    folder = paths.cache_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return {
        "folder": str(folder),
        "writable": os.access(there, os.W_OK),
        "bytes": usage(folder) if folder.exists() else 0,
        "free": shutil.disk_usage(there).free,
    }


def host() -> dict[str, int]:
    """Return cores, free memory (MiB), and how many ordinary guests these allow at once."""
    from harness.system import host as this
    from harness.system.limits import guests

    return {"cores": this.cores(), "spare_mib": this.spare_memory(), "guests": guests(GUEST_MIB)}


def sources() -> dict[str, Any]:
    """Return the suite that images are made from, and whether the host's apt sources offer it."""
    from harness.build.settings import Settings
    from harness.build.sources import from_host

    suite = Settings().suite
    try:
        offered = from_host(suite)
    except HarnessError as error:
        return {"suite": suite, "configured": False, "reason": error.message, "hint": error.hint}
    return {"suite": suite, "configured": True, "reason": f"{len(offered)} of the host's apt sources", "hint": ""}


def lines(found: Iterable[ToolStatus], facts: Mapping[str, Any], width: int) -> Iterator[str]:
    """Yield what a person reads, no line wider than `width`."""
    found = list(found)
    yield "tools"
    name, version, package = (max(len(getattr(row, key)) for row in found) for key in ("program", "version", "package"))
    for row in found:
        plain = f"{row.program:{name}}  {row.version or '-':{version}}  {row.package:{package}}  "
        head = f"  {_coloured(row.status)}{' ' * (8 - len(row.status))}{plain}"
        yield from _wrapped(head, 10 + len(plain), row.needed_for, width)
    for title, label, text in _paragraphs(facts):
        if title:
            yield ""
            yield title
        yield from _wrapped(f"  {label:10}", 12, text, width)
    if facts["missing"]:
        packages = sorted({TOOLS[program].package for program in facts["missing"]})
        yield ""
        yield from _wrapped("", 0, f"missing, and nothing works without: {' '.join(facts['missing'])}", width)
        yield f"as root: apt-get install --no-install-recommends {' '.join(packages)}"


def _paragraphs(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (title of a new paragraph or nothing, label, text)."""
    title = "accelerator"
    for arch, row in facts["kvm"].items():
        yield title, arch, f"{row['accel']}: {row['reason']}"
        title = ""
    kept, this, packages = facts["cache"], facts["host"], facts["packages"]
    readonly = "" if kept["writable"] else ", which you may NOT write: set HARNESS_CACHE"
    yield "cache", "where", kept["folder"] + readonly
    yield "", "size", f"{kept['bytes'] / 1e6:,.0f} MB, free there {kept['free'] / 1e6:,.0f} MB"
    yield "host", "cores", str(this["cores"])
    yield "", "memory", f"{this['spare_mib']:,} MiB to spare"
    yield "", "guests", f"{this['guests']} at once ({GUEST_MIB} MiB each)"
    status = "from" if packages["configured"] else "NOT configured:"
    hint = f" ({packages['hint']})" if packages["hint"] else ""
    yield "packages", packages["suite"], f"{status} {packages['reason']}{hint}"


def _wrapped(head: str, indent: int, text: str, width: int) -> Iterator[str]:
    """Yield `head` (which looks `indent` wide) and `text`, folded under itself."""
    room = width - indent
    if room < 16:  # a narrow terminal: the text goes below
        yield head.rstrip()
        head, indent, room = " " * 10, 10, max(width - 10, 16)
    parts = [text] if len(text) <= room else textwrap.wrap(text, room, break_on_hyphens=False)
    for part in parts or [""]:
        yield (head + part).rstrip()
        head = " " * indent


def _coloured(status: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return status
    return f"\x1b[{COLOURS[status]}m{status}\x1b[0m"
