"""What the shell offers for a word, from the table's rows, and the script that makes it ask."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from harness import paths
from harness.arch import ALIASES, ARCHES
from harness.errors import UserError
from harness.options import Completes, Option

VARIABLE = "_HARNESS_COMPLETE"  # by which the shell asks, and in which language
YAML = (".yml", ".yaml")


def script(app: click.Command, shell: str) -> str:
    """Return the script for a shell; UserError when there is none."""
    made = get_completion_class(shell)
    if made is None:
        raise UserError(f"no completion for {shell!r}", hint="one of: bash, zsh, fish")
    return made(app, {}, "harness", VARIABLE).source().strip()


def complete(row: Option, incomplete: str) -> list[CompletionItem]:
    """Return what a value of `row` may be that begins with `incomplete`."""
    done, plus, word = incomplete.rpartition("+") if row.completes in MERGED else ("", "", incomplete)
    names = [name for name in (*row.words, *_NAMES.get(row.completes, list)()) if name.startswith(word)]
    found = [CompletionItem(f"{done}{plus}{name}") for name in names]
    if row.completes in FILES:
        found += [CompletionItem(f"{done}{plus}{one}", type=kind) for one, kind in files(word)]
    return found


def files(word: str) -> Iterable[tuple[str, str]]:
    """Yield the folders and YAML files that begin with `word`, as a shell would; hidden ones where asked for."""
    folder, slash, name = word.rpartition("/")
    try:
        there = sorted(Path(f"{folder}{slash}" or ".").iterdir())
    except OSError:
        return
    for path in there:
        if path.name.startswith(name) and (name or not path.name.startswith(".")):
            if path.is_dir():
                yield f"{folder}{slash}{path.name}/", "plain"
            elif path.suffix in YAML:
                yield f"{folder}{slash}{path.name}", "plain"


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yml"))


def _runs() -> list[str]:
    """Return the runs of the history; none where there is no history, or none that answers."""
    return _asked("SELECT uid FROM run ORDER BY at DESC LIMIT 20")


def _stored_images() -> list[str]:
    return _asked("SELECT DISTINCT image FROM boot ORDER BY image LIMIT 100")


def _asked(query: str) -> list[str]:
    place = os.environ.get("HARNESS_HISTORY") or str(paths.data_dir() / "history.db")
    try:  # what opens a history for good takes longer to load than a person waits for a word
        with closing(sqlite3.connect(f"{Path(place).absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as opened:
            return [row[0] for row in opened.execute(query)]
    except (sqlite3.Error, ValueError):
        return []


MERGED = ("images", "sides")  # A.yml+B.yml
FILES = ("images", "machines", "plans", "files", "profiles", "baselines", "sides")
_NAMES: dict[Completes, Callable[[], list[str]]] = {
    "images": lambda: _stems(paths.CASES / "images"),
    "machines": lambda: _stems(paths.MACHINES),
    "components": lambda: _stems(paths.COMPONENTS),
    "profiles": lambda: _stems(paths.PROFILES),
    "architectures": lambda: ["all", "host", *ARCHES, *ALIASES],
    "runs": lambda: ["latest", *_runs()],
    "formats": lambda: [path.stem.replace("_", "+") for path in sorted(paths.FORMATS.glob("[!_]*.py"))],
    "kinds": lambda: [*sorted(path.stem for path in paths.SCHEMAS.glob("*.json")), "results"],
    "sides": lambda: [*_stems(paths.CASES / "images"), "latest", "latest-baseline", *_runs()],
    "history": lambda: ["latest", *_runs(), *_stored_images()],
    "baselines": lambda: ["latest-baseline", *_runs()],
}
