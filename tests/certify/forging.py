"""Forges evidence as a hostile vendor would: an honest archive, some of it changed, signed anew with their own key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from harness.certify import archive, contents, derive, expect, keys, outcomes, records, sources, statement, verify
from harness.certify.certificate import validated
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.expect import Expectations
from harness.certify.show import badge
from harness.certify.verify import Unpacked, as_json
from harness.commands.certificates import verify as command
from harness.commands.certificates.certify import rendered
from harness.store import digest_of, file_digest

Change = Callable[[dict[str, bytes], dict[str, Any]], None]
Path_ = tuple[str | int, ...]
PAGES = (contents.PAGE, contents.BADGE, contents.CERTIFICATE)


@dataclass(frozen=True)
class Honest:
    """An honest archive, unpacked, and the key that signed it."""

    found: Unpacked
    key: keys.SigningKey

    @property
    def certificate(self) -> dict[str, Any]:
        """A copy of its certificate."""
        return copy.deepcopy(self.found.certificate)

    def files(self, *leave: str) -> dict[str, bytes]:
        """Its files' contents by name."""
        return {name: self.found.content(name) for name in self.found.files.members if name not in leave}


def honest(path: Path, key: keys.SigningKey, folder: Path) -> Honest:
    """Unpack an honest archive."""
    return Honest(verify.unpack(path, folder), key)


def forged(one: Honest, change: Change, out: Path) -> Path:
    """Write the archive with something changed, its pages after the changed certificate, and all of it signed."""
    files, made = one.files(), one.certificate
    change(files, made)
    return signed(files, made, one.key, out)


def signed(files: dict[str, bytes], made: dict[str, Any], key: keys.SigningKey, out: Path) -> Path:
    """Write an archive of files and a certificate; pages that nobody changed are those of the certificate."""
    out.parent.mkdir(parents=True, exist_ok=True)
    body = archive.pack(files | pages(made, key), out.with_suffix(".body"))
    archive.join(statement.envelope(body, made, key), out.with_suffix(".body"), out)
    return out


def pages(made: dict[str, Any], key: keys.SigningKey) -> dict[str, bytes]:
    """A certificate as the files that show it."""
    return {contents.CERTIFICATE: as_json(made), contents.PAGE: rendered(made, key.public.id),
            contents.BADGE: badge(made).encode()}  # fmt: skip


def rederived(files: dict[str, bytes], folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return files and certificate made anew from changed records and events, as a careful liar makes them."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    rows = {name: ArchiveMember(name, len(content), file_digest(folder / name)) for name, content in files.items()}
    found = EvidenceFiles(folder, rows)
    read = sources.read_all(found)
    told = {boot: records.read(found, boot) for boot in records.boots_of(found)}
    word = outcomes.read(found)
    events = outcomes.events(word, read, told)
    made = {**files, contents.EVENTS: outcomes.as_lines(events), contents.RESULTS: outcomes.folded(events)}
    qemu = validated(json.loads(files[contents.CERTIFICATE])).qemu
    return made, derive.derive(found, read, told, word, qemu).to_json()


def leaves(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield the paths of all values in plain data that hold no others."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], (*at, key))
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from leaves(part, (*at, number))
    else:
        yield at


def changed(value: Any, at: Path_) -> Any:
    """Return plain data with the value at a path changed a little."""
    made = copy.deepcopy(value)
    place = made
    for part in at[:-1]:
        place = place[part]
    place[at[-1]] = _other(place[at[-1]])
    return made


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}"
    if isinstance(value, list):
        return ["x"]
    return {"x": "x"} if isinstance(value, dict) else "x"


@dataclass(frozen=True)
class JsonFile:
    """One of the files whose every field is changed, as plain data and as bytes."""

    name: str
    data: Any
    spelled: Callable[[Any], bytes]


def fields_of(one: Honest) -> list[JsonFile]:
    """The certificate, the records, the results and the events of an archive."""
    found = [JsonFile(contents.CERTIFICATE, one.certificate, as_json)]
    for name in one.found.files.members:
        if name.endswith(f"/{contents.RECORD}") or name == contents.RESULTS:
            found.append(JsonFile(name, json.loads(one.found.content(name)), _indented))
    lines = [json.loads(line) for line in one.found.content(contents.EVENTS).splitlines()]
    return [
        *found,
        JsonFile(contents.EVENTS, lines, lambda rows: b"".join(json.dumps(r).encode() + b"\n" for r in rows)),
    ]


def _indented(data: Any) -> bytes:
    return json.dumps(data, indent=1).encode() + b"\n"


def with_field_changed(one: Honest, file: JsonFile, at: Path_) -> Change:
    """Change one field of one of the files."""

    def change(files: dict[str, bytes], made: dict[str, Any]) -> None:
        if file.name == contents.CERTIFICATE:
            other = changed(file.data, at)
            made.clear()
            made.update(other)
        else:
            files[file.name] = file.spelled(changed(file.data, at))

    return change


def unpacked(one: Honest, change: Change, folder: Path) -> Unpacked:
    """Return the forged evidence as if it had been packed, signed and unpacked; large files are linked."""
    large = [name for name in one.found.files.members if name in ("image/kernel", "image/initrd")]
    files, made = one.files(*large, *PAGES), one.certificate
    change(files, made)
    with suppress(KeyError, TypeError, ValueError, AttributeError, TemplateError):  # of some there can be no page
        files = pages(made, one.key) | files
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for name in large:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(one.found.folder / name)
    rows = [
        one.found.files.members[name] if name in large
        else ArchiveMember(name, len(files[name]), file_digest(folder / name))
        for name in sorted({*files, *large})
    ]  # fmt: skip
    body = archive.Body(digest_of(folder.name), sum(row.size for row in rows), tuple(rows))
    try:
        said = statement.payload(body, made, one.key.public)
    except (KeyError, TypeError, AttributeError):  # whoever signs such a thing writes it by hand
        said = statement.payload(body, one.certificate, one.key.public)
    return Unpacked(statement.Statement(body, made, one.key.public, said), folder)


def look(found: Unpacked, one: Honest) -> None:
    """Look at evidence as `harness verify` does, but boot nothing."""
    made = verify.check(found, (one.key.public,)).derived
    wanted = Expectations(keys=(one.key.public,), profile="base", image=made.certificate.image.digest)
    assert all(finding.how == "checked" for finding in expect.check(made, found.files, wanted, datetime.now(UTC)))
    command._pages(found)


def careful(one: Honest, lie: Any, tmp_path: Path) -> Unpacked:
    """What a careful liar makes: the lie is told everywhere."""
    files, made = one.files(contents.PAGE, contents.BADGE), one.certificate
    lie(files, made)
    files, made = rederived(files, tmp_path / "made")
    kept = {name: content for name, content in files.items() if name != contents.CERTIFICATE}
    path = signed(kept, made, one.key, tmp_path / "lie.tar.zst")
    return verify.unpack(path, tmp_path / "out")
