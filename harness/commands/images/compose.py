"""`harness new` and `harness add`: an image's YAML begun, and an entry added to one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.errors import EXIT_OK, UserError
from harness.report.words import visible
from harness.show.frame import progress
from harness.spec import image_reference as oci
from harness.spec import load_component
from harness.spec.components import Components, name_of
from harness.spec.kinds import kind_of_file
from harness.spec.merge import judge, kernel_of
from harness.spec.rules.common import SECTIONS
from harness.spec.rules.images import YAML
from harness.spec.rules.references import component_path, fault, kind_of, relocated
from harness.spec.schema import editor_line
from harness.spec.text.complaints import SpecError
from harness.spec.text.edit import ORDER, Item, add, scalar
from harness.spec.text.reader import Document, mapping_of, parse, read

ALWAYS = ("kernel", "init", "sysctl", "dhcp")  # what an image needs to boot and to be reached
CMDLINE = "quiet cryptomgr.notests"


@dataclass(frozen=True)
class Ingredient:
    """Something that an image can be made of: its reference as the file has to write it, and where it belongs."""

    reference: str
    section: str
    name: str
    description: str


def _part(reference: str, folder: Path) -> Ingredient:
    """Return what a reference, as seen from the current folder, is for an image file in `folder`.

    UserError in the linter's words when it names nothing.
    """
    here = Path.cwd() / "-"
    wrong = fault(reference, here)
    if wrong is not None:
        near = f"did you mean {wrong.suggestion}?" if wrong.suggestion else ""
        instead = "" if "/" in reference or not near else f" (an image of a registry has a tag: {reference}:latest)"
        raise UserError(wrong.what, hint=f"{near}{instead}" if near else f"expected {wrong.expected}")
    written = relocated(reference, here, folder)
    path = component_path(reference, here)
    if path is not None:
        component = load_component(path)
        return Ingredient(written, component.place, name_of(path), component.description)
    named = oci.parse(reference)
    name = (named.repository if isinstance(named, oci.Named) else named.path).rstrip("/").rpartition("/")[2]
    return Ingredient(written, "services", name, "an image of others: it brings its command, environment and user")


def add_to(reference: str, file: Path, *, section: str = "", name: str = "", as_json: bool = False) -> int:
    """Add a component or an image to an image's YAML; nothing is written when the linter has a complaint about it."""
    if file.suffix not in YAML and reference.endswith(YAML) and not file.exists():
        raise UserError(f"{file} is no file, and {reference} is one", hint=f"harness add {file} {reference}")
    document = read(file)
    if kind_of_file(document) != "image":
        raise UserError(f"{file} is not an image's YAML", hint="harness new makes one")
    part = _part(reference, file.absolute().parent)
    place = section or part.section
    if place not in ("kernel", "init", *SECTIONS):
        raise UserError(f"unknown section {place!r}", hint=f"one of: kernel, init, {', '.join(SECTIONS)}")
    data = mapping_of(document)
    if place == "kernel" and kernel_of(data):
        raise UserError(f"{file} has a kernel already: {kernel_of(data)}", hint="change it there")
    if place == "init" and part.reference in data.get("init", ()):
        raise UserError(f"{file} has {part.reference} in its init already")
    added = add(document, place, _item(part, place, name))
    _judge(added)
    _replace(file, added.content)
    where = ("kernel", "image") if place == "kernel" else (place, len(mapping_of(added)[place]) - 1)
    line = added.place(where)[0]
    if as_json:
        print(json.dumps({"file": str(file), "section": place, "image": part.reference, "line": line}, indent=1))
    else:
        print(f"{file}:{line}: {part.reference} is in {place}")
    return EXIT_OK


def _item(part: Ingredient, section: str, name: str = "") -> Item:
    if section == "init":
        return part.reference
    if section == "kernel":
        return {"image": part.reference, "cmdline": CMDLINE}
    return {"name": name or part.name, "image": part.reference}


def _judge(document: Document) -> None:
    whole = bool(kernel_of(mapping_of(document)))
    complaints = judge([document], Components(), whole=whole)[1]
    if complaints:
        raise SpecError(complaints)


def _replace(file: Path, content: bytes) -> None:
    """Write a file's new content, whole or not at all, with the mode it had; a link stays one."""
    try:
        files.write(file, content)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error


ABOUT = {
    "kernel": ("the kernel; each machine adds its console to the command line",),
    "init": ("unpacked into the root itself, in this order",),
    "onboot": ("run one after another before the services; when one fails, the boot ends unready",),
    "onshutdown": ("run one after another at power-off",),
    "services": ("run side by side until power-off, and again when they fail",),
}
# what somebody who begins with another's image will want to know next
OTHERS = """\
    # It shares the machine's network, and writes to its root in memory: `readonly: true` forbids that.
    # What Docker would let it do; take away what it does not need:
    capabilities: [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_NET_BIND_SERVICE, CAP_SETGID,
      CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT]
    binds: ["/etc/resolv.conf:/etc/resolv.conf"]
    # How to see that it is up; then `ready` waits for it:
    # annotations:
    #   harness.health: "tcp:80"
"""


def new(names: Sequence[str], out: Path | None) -> int:
    """Write an image's first YAML, of components or images that `names` name and what it needs besides, to `out`.

    Raises UserError when something is not there, or `out` is.
    """
    if not names:
        raise UserError("what shall it be made of?", hint="component names (harness library list) or image references")
    folder = (out or Path("-")).absolute().parent
    parts = [_part(name, folder) for name in dict.fromkeys((*ALWAYS, *names))]
    kernels = [part for part in parts if part.section == "kernel"]
    chosen = [part for part in parts if part.section != "kernel" or part is kernels[-1]]
    text = f"{editor_line('image', out)}\n" + "".join(_lines(chosen, names))
    if out is None:
        _judge(parse(text.encode(), Path("image.yml")))
        print(text, end="")
        return EXIT_OK
    try:
        out.parent.mkdir(parents=True, exist_ok=True)  # what lies beside it is named from there
        _judge(parse(text.encode(), out))
        with out.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UserError(f"{out} is there already", hint="harness add puts a component into it") from None
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from error
    progress(f"{out}: harness boot {out} -m qemu-arm64")
    return EXIT_OK


def _lines(parts: Sequence[Ingredient], names: Sequence[str]) -> Iterator[str]:
    yield f"# Made by `harness new {_line(' '.join(names))}`: yours to change. `harness lint` checks it.\n"
    for section in ORDER:
        mine = [part for part in parts if part.section == section]
        if not mine:
            continue
        yield from (f"# {text}\n" for text in ABOUT[section])
        yield f"{section}:\n"
        for part in mine:
            yield from _entry(part)


def _line(text: str) -> str:
    """Return a stranger's text as it may stand in a comment: in one line, and visible."""
    return visible(" ".join(text.split()))


def _entry(part: Ingredient) -> Iterator[str]:
    item = _item(part, part.section)
    about = f"  # {_line(part.description)}\n"
    if isinstance(item, str):
        yield f"{about}  - {item}\n"
        return
    dash = "  " if part.section == "kernel" else "  - "
    yield about
    for number, (key, value) in enumerate(item.items()):
        yield f"{' ' * len(dash) if number else dash}{key}: {scalar(value)}\n"
    if kind_of(part.reference) == "oci":
        yield OTHERS
