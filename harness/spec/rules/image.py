"""What is judged of an image's YAML beyond its shape: each file of it, with the components and all that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.arch import ARCHES
from harness.spec.models.component import ComponentSpec
from harness.spec.rules import characters, commandline, references
from harness.spec.rules import common as checks
from harness.spec.rules.common import Around, problem
from harness.spec.text.complaints import Fault, KeyPath, Problem, nearest, spell

YamlData = Mapping[str, Any]
CONTAINERDS = "etc/containerd/runtime-config.toml"
CPIO = b"070701"  # how an uncompressed cpio begins


@dataclass(frozen=True)
class WholeImage:
    """What is known of a whole image, from all of its files; None where a part of it may still come from elsewhere."""

    around: Around
    kernel: ComponentSpec | None
    kernel_is_oci: bool | None


def image_references(data: YamlData) -> Iterator[tuple[KeyPath, str]]:
    """Yield every reference of an image file, with its key's path."""
    kernel = data.get("kernel")
    if isinstance(kernel, dict) and isinstance(kernel.get("image"), str):
        yield ("kernel", "image"), kernel["image"]
    for index, reference in checks.texts(data, "init"):
        yield ("init", index), reference
    for section in (*checks.SECTIONS, "volumes"):
        for index, entry in checks.mappings(data, section):
            if isinstance(entry.get("image"), str) and (entry["image"] or section != "volumes"):
                yield (section, index, "image"), entry["image"]


def file_problems(
    data: YamlData, yaml: Path, whole: WholeImage, components: Mapping[str, ComponentSpec | None]
) -> Iterator[Problem]:
    """Judge one file's data. ``components`` are what its references name, None where that is wrong itself."""
    for path, reference in image_references(data):
        yield from problem(path, references.fault(reference, yaml))
        component = components.get(reference)
        if component is not None and (path[0] == "kernel") != (component.kernel is not None):
            what = "is a kernel, and has its place in `kernel` only" if component.kernel else "is not a kernel"
            yield Problem(path, f"the component {component.name} {what}")
    if isinstance(data.get("kernel"), dict):
        yield from _kernel(data["kernel"], whole)
    for section in checks.SECTIONS:
        for index, entry in checks.mappings(data, section):
            yield from checks.entry(entry, (section, index), section, whole.around)
            component = components.get(str(entry.get("image")))
            if component is not None:
                yield from _with_component(entry, (section, index), component, whole.around)
    for index, item in checks.mappings(data, "files"):
        yield from checks.file(item, ("files", index), whole.around.names)
        yield from problem(("files", index, "source"), _source(item, yaml))
    yield from _containerds(data, components)
    yield from _in_the_way(data)
    for index, volume in checks.mappings(data, "volumes"):
        yield from _volume(volume, ("volumes", index))


def _kernel(keys: YamlData, whole: WholeImage) -> Iterator[Problem]:
    if isinstance(keys.get("cmdline"), str):
        yield from problem(("kernel", "cmdline"), characters.kernel_line(keys["cmdline"], ARCHES.values()))
    if whole.kernel_is_oci:
        for key in ("binary", "tar", "ucode"):
            if isinstance(keys.get(key), str) and keys[key]:
                yield from problem(("kernel", key), checks.inner_path(keys[key]))
        return
    where = "names a file in an OCI image; a component's kernel is what its Debian package has under boot/"
    if keys.get("binary") not in (None, "", "kernel") and whole.kernel_is_oci is False:
        yield Problem(("kernel", "binary"), f"{where}: leave it out", at_key=True)
    if keys.get("tar") not in (None, "", "none", "kernel.tar") and whole.kernel_is_oci is False:
        what = "names an archive in an OCI image; a component's modules come with it"
        yield Problem(("kernel", "tar"), what, "none, or no such key")
    kernel = whole.kernel
    name = keys.get("ucode")
    if kernel is not None and isinstance(name, str) and name:
        path = ucode_file(kernel, name)
        if path is None:
            files = ", ".join(one.path for one in kernel.files if one.source)
            what = f"the component {kernel.name} brings no file {name!r}"
            yield Problem(("kernel", "ucode"), what, f"one of: {files}" if files else "one of its `files`")
        elif not _begins(path, CPIO):
            yield Problem(("kernel", "ucode"), f"{name!r} is nothing to begin an initrd with", "a plain cpio (newc)")


def _begins(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(magic)) == magic
    except OSError:  # the component's own check has named it
        return True


def _with_component(entry: YamlData, at: KeyPath, component: ComponentSpec, around: Around) -> Iterator[Problem]:
    """Judge what an entry and its component make together: what the entry says, the component's says no more."""
    command = entry.get("command", component.config.command)
    words = [word for _, word in checks.texts(entry, "command")]
    yield from commandline.problems(words, component, (*at, "command"), others="env" in entry)
    if not command and component.kernel is None:
        what = "is empty" if "command" in entry else f"is missing, and the component {component.name} has none"
        yield Problem((*at, "command"), what, "a program and its arguments")
    config = component.config
    mounts = tuple({"type": one.type, "source": one.source, "options": one.options} for one in config.mounts or ())
    says = {"uid": config.uid, "gid": config.gid, "additionalGids": config.additional_gids,
            "binds": config.binds, "mounts": mounts}  # fmt: skip
    for found in checks.named({key: value for key, value in says.items() if key not in entry}, (), around):
        what = f"the component {component.name}'s {spell(found.path)}: {found.what}"
        yield Problem((*at, "image"), what, found.expected, found.suggestion)


def _source(item: YamlData, yaml: Path) -> Fault | None:
    source = item.get("source")
    if not isinstance(source, str) or not source or item.get("optional") is True:
        return None
    return references.unreadable(references.host_file(source, yaml), source)


def _containerds(data: YamlData, components: Mapping[str, ComponentSpec | None]) -> Iterator[Problem]:
    """Refuse what LinuxKit's init tells its containerd, where our own runs the containers without one."""
    inits = (components.get(reference) for _, reference in checks.texts(data, "init"))
    if not any(one is not None and one.guest for one in inits):
        return
    for index, item in checks.mappings(data, "files"):
        if isinstance(item.get("path"), str) and _clean(item["path"]) == CONTAINERDS:
            what = "configures LinuxKit's containerd, and the library's init runs the services without one"
            yield Problem(("files", index, "path"), what, "no such file, or LinuxKit's own init")


def _in_the_way(data: YamlData) -> Iterator[Problem]:
    """Find files under whose own path another one lies."""
    items = [(index, item) for index, item in checks.mappings(data, "files") if isinstance(item.get("path"), str)]
    places = {_clean(item["path"]): item for _, item in items}
    plain = {
        place
        for place, item in places.items()
        if item.get("directory") is not True and not item.get("symlink") and item.get("optional") is not True
    }
    for index, item in items:
        parts = _clean(item["path"]).split("/")
        above = next((found for end in range(1, len(parts)) if (found := "/".join(parts[:end])) in plain), None)
        if above:
            yield Problem(("files", index, "path"), f"/{above} is a file of this list", "another path")


def _clean(path: str) -> str:
    """Return a path of the image in one spelling."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _volume(volume: YamlData, at: KeyPath) -> Iterator[Problem]:
    if volume.get("name") == "":
        yield Problem((*at, "name"), "is empty", "a-z, 0-9, - and _")
    elif isinstance(volume.get("name"), str):
        yield from problem((*at, "name"), characters.path(volume["name"]))
    if volume.get("format") == "oci":
        image = volume.get("image")
        if not isinstance(image, str) or references.kind_of(image) != "oci":
            yield Problem((*at, "format"), "only an OCI image has a layout", "filesystem, or no such key")
        for index, platform in checks.texts(volume, "platforms"):
            yield from problem((*at, "platforms", index), _platform(platform))
    elif volume.get("platforms"):
        yield Problem((*at, "platforms"), "means nothing without `format: oci`", at_key=True)


def _platform(text: str) -> Fault | None:
    known = [f"linux/{arch.oci}" for arch in ARCHES.values()]
    near = nearest(text, known)
    return None if text in known else Fault(f"unknown platform {text!r}", "" if near else ", ".join(known), near)


def ucode_file(kernel: ComponentSpec, name: str) -> Path | None:
    """Return the file of the host that holds what ``kernel.ucode`` names: one of the kernel component's `files`."""
    found = (one.source for one in kernel.files if one.source and _clean(one.path) == _clean(name))
    return next((kernel.path.parent / source for source in found), None)
