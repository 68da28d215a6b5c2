"""LinuxKit's refusals of a container beyond its shape, and ours: pure judgements of plain data, at their keys' paths.

They take what the YAML holds rather than models, so that they also run where the shape is wrong elsewhere: all of a
file's mistakes come at once. What has the wrong type is passed over; the shape check names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from harness.spec.models import forms
from harness.spec.rules import characters
from harness.spec.rules.annotations import faults as annotation_faults
from harness.spec.text.complaints import Fault, KeyPath, Problem, nearest

LONGEST_HOSTNAME = 64  # bytes: the kernel's __NEW_UTS_LEN
SECTIONS = ("onboot", "onshutdown", "services")
_RLIMITS = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
RLIMITS = tuple(_RLIMITS.split())
_DESTINATIONS = ("proc", "devpts", "sysfs", "cgroup", "mqueue")  # mount types whose place goes without saying
_NAME = re.compile(forms.NAME)
_INTERFACE = re.compile(forms.INTERFACE)
_LINK = re.compile(forms.LINK)
_OCTAL = re.compile(forms.OCTAL)
_LIMIT = re.compile(r"(?i:unlimited)|[0-9]{1,20}")

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Around:
    """What else the image has that a container's keys may name; None where that is not known."""

    volumes: Mapping[str, bool] | None = None  # whether each is read-only
    names: Collection[str] | None = None  # containers, whose names stand for user and group ids


def capability(name: str, alone: bool) -> Fault | None:
    """Judge one item of ``capabilities`` or ``ambient``; `all` and `none` stand alone."""
    if name in forms.CAPABILITIES:
        return None
    if name.lower() in ("all", "none"):
        return None if alone else Fault(f"{name!r} among other capabilities", f"{name!r} alone, or a list of names")
    near = nearest(name if name.upper().startswith("CAP_") else f"CAP_{name}", forms.CAPABILITIES)
    return Fault(f"unknown capability {name!r}", "" if near else "CAP_NET_ADMIN, say", near)


def rlimit(text: str, _: bool) -> Fault | None:
    """Judge one item of ``rlimits``: NAME,SOFT,HARD."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:
        return Fault(f"{text!r} is not a limit", "NAME,SOFT,HARD, as in nofile,1024,4096")
    name = parts[0].upper().removeprefix("RLIMIT_")
    if name not in RLIMITS:
        near = nearest(name, RLIMITS)
        return Fault(f"unknown limit {parts[0]!r}", "" if near else f"one of: {', '.join(RLIMITS)}", near.lower())
    for part in parts[1:]:
        if not _LIMIT.fullmatch(part) or (part.isdigit() and int(part) >= 2**64):
            return Fault(f"{part!r} is not a limit's value", "a whole number or unlimited")
    return None


def tmpfs(text: str, _: bool) -> Fault | None:
    """Judge one item of ``tmpfs``: /path[:options]."""
    parts = text.split(":")
    if len(parts) > 2 or not parts[0].startswith("/"):
        return Fault(f"{text!r} is not a tmpfs", "/path or /path:option,option")
    return inner_path(parts[0])


def bind(text: str, _: bool) -> Fault | None:
    """Judge one item of ``binds``: source:/path[:options]."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(parts) or not parts[1].startswith("/"):
        suggestion = f"{text}:{text}" if len(parts) == 1 and text.startswith("/") else ""
        return Fault(f"{text!r} is not a bind", "source:/path or source:/path:option,option", suggestion)
    return _source(parts[0]) or inner_path(parts[1])


def _source(text: str) -> Fault | None:
    return inner_path(text) if text.strip("/") else None  # the whole root may be bound


def mode(text: str) -> Fault | None:
    """Judge a ``mode``: octal digits as text."""
    if _OCTAL.fullmatch(text):
        return None
    return Fault(f"the mode {text!r} is not octal", 'octal digits in quotes, as in "0644"')


def inner_path(text: str) -> Fault | None:
    """Judge a path inside the image: it names something, and stays inside."""
    if not text.strip("/"):
        return Fault("the path is empty" if not text else "the path names the root itself", "a path such as etc/motd")
    if ".." in text.split("/"):
        return Fault(f"{text!r} leaves the image's root", "a path without ..")
    return characters.path(text)


def name(text: str) -> Fault | None:
    """Judge an entry's name: it becomes a folder's name and a word of the boot marks."""
    if _NAME.fullmatch(text):
        return None
    return Fault(f"{text!r} is not a name", "up to 64 of A-Z a-z 0-9 _ - . not beginning with - or .")


def identity(value: object, known: Collection[str] | None, whose: str = "a container's name") -> Fault | None:
    """Judge a user or group: a number, root, or one of the names `known`, which are `whose`."""
    if isinstance(value, str):
        if value in ("", "root") or known is None or value in known:
            return None
        if not (value.isascii() and value.isdigit()):
            near = nearest(value, known)
            return Fault(f"unknown user or group {value!r}", "" if near else f"a number, root, or {whose}", near)
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= forms.MAX_ID:
        return Fault(f"{value} is not an id", f"0 to {forms.MAX_ID}")
    return None


LISTS: dict[str, Callable[[str, bool], Fault | None]] = {
    "capabilities": capability,
    "capabilities.add": capability,
    "ambient": capability,
    "rlimits": rlimit,
    "tmpfs": tmpfs,
    "binds": bind,
    "binds.add": bind,
}


def problem(path: KeyPath, fault: Fault | None, *, at_key: bool = False) -> Iterator[Problem]:
    """Give a fault, if there is one, its key's path."""
    if fault is not None:
        yield Problem(path, fault.what, fault.expected, fault.suggestion, at_key)


def is_day(text: str) -> bool:
    """Say whether a text is a day of the calendar, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def texts(data: Data, key: str) -> list[tuple[int, str]]:
    """Return the items of a list that are text, with their index."""
    value = data.get(key)
    return [(i, item) for i, item in enumerate(value) if isinstance(item, str)] if isinstance(value, tuple) else []


def mappings(data: Data, key: str) -> list[tuple[int, Data]]:
    """Return the items of a list that are mappings, with their index."""
    value = data.get(key)
    return [(i, item) for i, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, tuple) else []


def entry(data: Data, at: KeyPath, section: str | None, around: Around) -> Iterator[Problem]:
    """Judge an image entry or a component's config, where `section` and `around` are not known."""
    for key, judge in LISTS.items():
        items = texts(data, key)
        for index, item in items:
            yield from problem((*at, key, index), judge(item, len(items) == 1))
    if isinstance(data.get("name"), str) and data["name"]:  # an empty one fails the shape check
        yield from problem((*at, "name"), name(data["name"]))
    for key in ("net", "pid", "ipc", "uts", "userns"):
        yield from problem((*at, key), _namespace(key, data.get(key)))
    for index, device in mappings(data, "devices"):
        yield from _device(device, (*at, "devices", index))
    for index, mount in mappings(data, "mounts"):
        yield from _mount(mount, (*at, "mounts", index))
    yield from _long(data, at)
    yield from named(data, at, around)
    if isinstance(data.get("annotations"), dict):
        for key, at_key, fault in annotation_faults(data["annotations"], section):
            yield from problem((*at, "annotations", key), fault, at_key=at_key)
    if isinstance(data.get("runtime"), dict):
        yield from _runtime(data["runtime"], (*at, "runtime"))


def _long(data: Data, at: KeyPath) -> Iterator[Problem]:
    """Judge the paths and the name of which nothing else is said: how long they are."""
    for key in ("cwd", "cgroupsPath"):
        if isinstance(data.get(key), str):
            yield from problem((*at, key), characters.path(data[key]))
    for key in ("maskedPaths", "readonlyPaths"):
        for index, item in texts(data, key):
            yield from problem((*at, key, index), characters.path(item))
    hostname = data.get("hostname")
    if isinstance(hostname, str) and len(hostname.encode()) > LONGEST_HOSTNAME:
        yield Problem((*at, "hostname"), f"has {len(hostname.encode())} bytes", f"at most {LONGEST_HOSTNAME}")


def named(data: Data, at: KeyPath, around: Around) -> Iterator[Problem]:
    """Judge what a container names of its image: users, groups and volumes."""
    for key in ("uid", "gid"):
        yield from problem((*at, key), identity(data.get(key), around.names))
    groups = data.get("additionalGids")
    for index, group in enumerate(groups if isinstance(groups, tuple) else ()):
        yield from problem((*at, "additionalGids", index), identity(group, around.names))
    if around.volumes is None:
        return
    for key in ("binds", "binds.add"):
        for index, item in texts(data, key):
            source, _, rest = item.partition(":")
            yield from problem((*at, key, index), _volume(source, rest.partition(":")[2].split(","), around.volumes))
    for index, mount in mappings(data, "mounts"):
        bound, options = mount.get("source"), [text for _, text in texts(mount, "options")]
        if mount.get("type") == "bind" and isinstance(bound, str):
            yield from problem((*at, "mounts", index, "source"), _volume(bound, options, around.volumes))


def _runtime(runtime: Data, at: KeyPath) -> Iterator[Problem]:
    kept = runtime.get("bindNS")
    for key, path in kept.items() if isinstance(kept, dict) else ():
        if isinstance(path, str) and path:
            yield from problem((*at, "bindNS", key), inner_path(path))
    for index, interface in mappings(runtime, "interfaces"):
        yield from _interface(interface, (*at, "interfaces", index))
    for key in ("mkdir", "cgroups"):
        for index, path in texts(runtime, key):
            yield from problem((*at, key, index), inner_path(path))
    for index, mount in mappings(runtime, "mounts"):
        place = mount.get("destination", "")
        if not place:
            yield Problem((*at, "mounts", index, "destination"), "is missing", "a path")
        elif isinstance(place, str):
            yield from problem((*at, "mounts", index, "destination"), inner_path(place))


def _interface(interface: Data, at: KeyPath) -> Iterator[Problem]:
    for key in ("name", "peer"):
        text = interface.get(key, "")
        if isinstance(text, str) and (text or key == "name") and not _INTERFACE.fullmatch(text):
            yield Problem(
                (*at, key), f"{text!r} is not an interface's name", "up to 15 letters, without spaces, / and :"
            )
    kind, peer = interface.get("add", ""), interface.get("peer", "")
    if isinstance(kind, str) and kind and not _LINK.fullmatch(kind):
        yield Problem((*at, "add"), f"{kind!r} is not a kind of interface", "dummy, veth or wireguard, say")
    if kind == "veth" and not peer:
        yield Problem(at, "a veth has two ends", "peer, the name of the one that stays in the root")
    elif peer and kind not in ("", "veth"):
        yield Problem((*at, "peer"), f"means nothing for {kind!r}", "add: veth")


def _namespace(key: str, value: object) -> Fault | None:
    known = (*forms.NAMESPACES, "none") if key == "net" else forms.NAMESPACES
    if not isinstance(value, str) or value in ("", *known) or value.startswith("/"):
        return None
    return Fault(f"unknown namespace {value!r}", f"{', '.join(known)} or a path", nearest(value, known))


def _device(device: Data, at: KeyPath) -> Iterator[Problem]:
    kinds, kind = ("b", "c", "u", "p"), device.get("type")
    if device.get("path") == "all":
        if isinstance(kind, str) and kind not in ("a", "b", "c"):
            yield Problem((*at, "type"), f"{kind!r} is not a class of devices", "one of: a, b, c")
        return
    if kind is None:
        yield Problem((*at, "type"), "is missing", f"one of: {', '.join(kinds)}")
    elif isinstance(kind, str) and kind not in kinds:
        yield Problem((*at, "type"), f"{kind!r} is not a type of device", f"one of: {', '.join(kinds)}")
    if "mode" not in device:
        yield Problem((*at, "mode"), "is missing", 'octal digits in quotes, as in "0666"')
    elif isinstance(device["mode"], str):
        yield from problem((*at, "mode"), mode(device["mode"]))


def _mount(mount: Data, at: KeyPath) -> Iterator[Problem]:
    kind, source, destination = (mount.get(key, "") for key in ("type", "source", "destination"))
    if not kind:
        kind = source if source in _DESTINATIONS else "tmpfs" if destination == "/dev" else ""
        if not kind:
            yield Problem((*at, "type"), "is missing", "a filesystem's type, or bind")
    if not destination and kind and kind not in _DESTINATIONS:
        yield Problem((*at, "destination"), "is missing", "a path in the container")
    elif isinstance(destination, str) and destination:
        yield from problem((*at, "destination"), inner_path(destination))
    if kind == "bind" and not source:
        yield Problem((*at, "source"), "is missing", "a path or a volume's name")
    elif kind == "bind" and isinstance(source, str):
        yield from problem((*at, "source"), _source(source))


def _volume(source: str, options: list[str], volumes: Mapping[str, bool]) -> Fault | None:
    if not source or source.startswith("/"):
        return None
    if source not in volumes:
        near = nearest(source, volumes)
        return Fault(f"there is no volume {source!r}", "" if near else "a volume's name or a path from /", near)
    if volumes[source] and ("ro" not in options or "rw" in options):
        return Fault(f"the volume {source!r} is read-only, and would be written to", "the option ro")
    return None


def file(
    data: Data, at: KeyPath, names: Collection[str] | None, whose: str = "a container's name"
) -> Iterator[Problem]:
    """Judge an item of ``files``: it has one kind of content, its path stays in the image, and its owner is known."""
    if isinstance(data.get("path"), str):
        yield from problem((*at, "path"), inner_path(data["path"]))
    if isinstance(data.get("mode"), str) and data["mode"]:
        yield from problem((*at, "mode"), mode(data["mode"]))
    if isinstance(data.get("symlink"), str):
        yield from problem((*at, "symlink"), characters.path(data["symlink"]))
    for key in ("uid", "gid"):
        yield from problem((*at, key), identity(data.get(key), names, whose))
    given = [key for key in ("contents", "source", "metadata") if data.get(key) is not None and data.get(key) != ""]
    if data.get("contents") == "":
        given.insert(0, "contents")  # an empty file is content enough
    if data.get("directory") is True or data.get("symlink"):
        kind = "directory" if data.get("directory") is True else "symlink"
        refused = [key for key in given if kind == "directory" or key != "contents"]
        if refused:
            yield Problem((*at, refused[0]), f"means nothing for a {kind}", "", at_key=True)
    elif not given:
        yield Problem(at, "has no content", "one of: contents, source, metadata, symlink, directory: true")
    elif len(given) > 1:
        yield Problem((*at, given[1]), f"there is {given[0]} already", f"either {' or '.join(given)}", at_key=True)
