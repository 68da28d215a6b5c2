"""What an OCI image says of how to run it, as an entry's keys: its label over its config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import ImageError
from harness.oci.image import OciImage
from harness.spec.components import checked
from harness.spec.labels import DEFAULT_ENV, merge
from harness.spec.models.container import EntryConfig
from harness.spec.models.forms import MAX_ID
from harness.spec.rules import common as checks
from harness.spec.text.complaints import Problem, SpecError
from harness.spec.text.reader import Document, mapping_of, parse
from harness.tree.tree import Tree, TreeNode

LABEL = "org.mobyproject.config"  # LinuxKit's own
LICENCES = "org.opencontainers.image.licenses"  # image-spec, annotations.md


def labels(image: OciImage) -> Mapping[str, str]:
    """Return an image's labels."""
    found: Mapping[str, str] = _process(image).get("Labels") or {}
    return found


def config_of(image: OciImage) -> EntryConfig:
    """Return the label's keys over Entrypoint and Cmd, Env and WorkingDir. SpecError when the label is wrong."""
    said = _process(image)
    command = (*(said.get("Entrypoint") or ()), *(said.get("Cmd") or ()))
    env = tuple(said.get("Env") or ())
    if env and not any(one.startswith("PATH=") for one in env):
        env += DEFAULT_ENV  # as Docker: its command may be a bare name
    own = EntryConfig(command=command or None, env=env or None, cwd=said.get("WorkingDir") or None)
    text = labels(image).get(LABEL)
    return merge(own, _label(text, image.reference)) if text else own


def user_of(image: OciImage, root: Tree) -> EntryConfig | None:
    """Return what the config's User means as uid, gid and additionalGids, names looked up in the image; None for root.

    As in Docker: a number need not be in /etc/passwd, and a group that is named takes the place of all of the user's.
    Raises ImageError for a name that the image does not know.
    """
    who, _, group = str(_process(image).get("User") or "").partition(":")
    if not who and not group:
        return None
    users, groups = _rows(root, "etc/passwd", image), _rows(root, "etc/group", image)
    user = next((row for row in users if who in (row[0], row[2])), None) if who else ["root", "", "0", "0"]
    uid = _number(user[2] if user else who, who, "etc/passwd", image)
    if group:
        found = next((row[2] for row in groups if group in (row[0], row[2])), group)
        return EntryConfig(uid=uid, gid=_number(found, group, "etc/group", image), additional_gids=())
    gid = _number(user[3], who, "etc/passwd", image) if user else 0
    more = [_number(row[2], row[0], "etc/group", image) for row in groups if user and user[0] in row[3].split(",")]
    return EntryConfig(uid=uid, gid=gid, additional_gids=tuple(dict.fromkeys(more)))


def _process(image: OciImage) -> Mapping[str, Any]:
    found: Mapping[str, Any] = image.config.get("config") or {}
    return found


def _label(text: str, reference: str) -> EntryConfig:
    document = parse(text.encode("utf-8", "surrogatepass"), Path(f"{reference}, label {LABEL}"))
    made, complaints = checked(EntryConfig, document, {}, _problems(document))
    if made is None or complaints:
        raise SpecError(complaints)
    return made


def _problems(document: Document) -> Iterator[Problem]:
    yield from checks.entry(mapping_of(document), (), None, checks.Around())


def _rows(root: Tree, path: str, image: OciImage) -> list[list[str]]:
    """Return the rows of a file of accounts that have all fields asked for here."""
    node: TreeNode | None = root.get(path)
    if node is None or node.content is None:
        return []
    lines = node.content.small(f"{image.reference}: its /{path}").decode("utf-8", "replace").splitlines()
    return [row for line in lines if len(row := line.split(":")) > 3]


def _number(text: str, name: str, path: str, image: OciImage) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID:
        return int(text)
    raise ImageError(
        f"{image.reference}: runs as {name[:64]!r}, which its /{path} does not know",
        hint="give uid and gid in the YAML",
    )
