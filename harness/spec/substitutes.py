"""Images of others that a component of the library stands for: what ``--library`` makes of a document.

The table is substitutes.yml. A document is changed before it is judged, so all that follows sees the component, and
each complaint still has its place.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.spec import image_reference as oci
from harness.spec.models.image import Substitution
from harness.spec.rules.image import image_references
from harness.spec.rules.references import PACKAGE, PACKAGE_FILE, library, package_folder
from harness.spec.text.complaints import SpecError, spell
from harness.spec.text.reader import Document, YamlNode, YamlPosition, mapping_of, read

TABLE = Path(__file__).with_suffix(".yml")
LINUXKIT, PUBLIC = "linuxkit", "library"  # the names' first part; the public registry's own images have the latter


@cache
def _table() -> dict[str, Any]:
    return mapping_of(read(TABLE))


def component_for(reference: str, section: str = "services") -> tuple[str, str] | None:
    """Return the image's plain name and the component that stands for it in a section, or None when none does."""
    try:
        named = oci.parse(reference)
    except UserError:  # it is judged later
        return None
    table = _table()
    if not isinstance(named, oci.Named):
        return None
    first, _, name = named.repository.rpartition("/")
    if first == LINUXKIT:
        others = {**table["linuxkit"]["any"], **table["linuxkit"].get(section, {})}
        component = others.get(name, name)
    elif first == PUBLIC or (not first and not named.registry):  # a registry's own nginx may be anything
        component = table["public"].get(name, "")
    else:
        return None
    return (name, component) if component in library() else None


def others(component: str) -> tuple[str, ...]:
    """Return the images that a component stands for under another name than linuxkit/ITS-NAME, tags left out."""
    table = _table()
    public = (name for name, one in table["public"].items() if one == component)
    rows = (row for section in table["linuxkit"].values() for row in section.items())
    return tuple(sorted({*public, *(f"{LINUXKIT}/{name}" for name, one in rows if one == component)}))


def substitute(document: Document) -> tuple[Substitution, ...]:
    """Put the library's components in the place of the images they stand for; return what was done, in file order."""
    return tuple(_substituted(document))


def _substituted(document: Document) -> Iterator[Substitution]:
    for path, written in list(image_references(mapping_of(document))):
        section = str(path[0])
        if written.startswith(PACKAGE):
            found = _of_package(package_folder(written, document.file), section)
        else:
            found = None if written in library() else component_for(written, section)
        if found is None:
            continue
        name, component = found
        place = document.place(path)
        parent = document.find(path[:-1])[0].value
        parent[path[-1]] = YamlNode(component, place)
        done = Substitution(key=spell(path), reference=written, component=component)
        yield _fitted(done, parent, name, section, place) if isinstance(parent, dict) else done


def _of_package(folder: Path, section: str) -> tuple[str, str] | None:
    """Return what stands for the package that a folder of LinuxKit's sources makes; None where it is none, or ours."""
    build = folder / "build.yml"
    if (folder / PACKAGE_FILE).exists() or not build.is_file():
        return None
    try:
        name = mapping_of(read(build)).get("image")
    except SpecError:
        return None
    return component_for(f"{LINUXKIT}/{name}:v1", section) if isinstance(name, str) else None


def _fitted(
    done: Substitution, entry: dict[str, YamlNode], name: str, section: str, place: YamlPosition
) -> Substitution:
    """Make what an entry says besides its image fit the component; return the substitution with what that was."""
    table = _table()
    without = tuple(key for key in table["without"].get(name, ()) if key in entry)
    for key in without:
        del entry[key]
    told = entry.get("command")
    command = () if told else table["listens"].get(name, table["once"].get(name, ()) if section == "onboot" else ())
    if command:
        entry["command"] = YamlNode([YamlNode(word, place, raw=word) for word in command], place)
    program = table["program"].get(name)
    if program and told is not None and isinstance(told.value, list) and told.value:
        first = told.value[0]
        # another program of the image's stays, and is missed when the image is built
        if posixpath.basename(str(first.value)) == name:
            told.value[0] = YamlNode(program, first.place, raw=program)
            command = tuple(str(word.value) for word in told.value)
    writable = "readonly" not in entry and name not in table["readonly"] and _runs_another(told, done.component)
    if writable:
        entry["readonly"] = YamlNode(False, place, raw="false")
    return done.model_copy(update={"without": without, "command": command, "writable": writable})


def _runs_another(told: YamlNode | None, component: str) -> bool:
    """Say whether a command is that of another program than the component's own, which needs no more than it has."""
    if told is None or not isinstance(told.value, list) or not told.value:
        return False
    return component in _table()["runs"] or posixpath.basename(str(told.value[0].value)) not in _programs(component)


@cache
def _programs(component: str) -> frozenset[str]:
    data = mapping_of(read(library()[component]))
    own = (data.get("config") or {}).get("command") or ()
    known = (data.get("command_line") or {}).get("programs") or ()
    return frozenset(posixpath.basename(word) for word in (*own[:1], *known))
