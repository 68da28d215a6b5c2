"""`harness library`: the components that images are made of - listed, looked for, and one by one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.arch import ARCHES
from harness.build.settings import Settings
from harness.errors import EXIT_OK, HostError, UserError
from harness.show.frame import progress
from harness.spec import library as known
from harness.spec import load_component
from harness.spec.models.component import ComponentSpec
from harness.spec.substitutes import others
from harness.spec.text.complaints import nearest
from harness.text import message

ACTIONS = ("list", "show", "search")
# What the descriptions call it when people say so.
_LIKE = {"http": ("web",), "https": ("web",), "webserver": ("web",), "database": ("sql", "key-value"), "db": ("sql",),
         "ntp": ("time",), "docker": ("container",), "wifi": ("wireless",), "firewall": ("packet filter", "nftables"),
         "login": ("getty", "ssh"), "vpn": ("wireguard",), "raid": ("mdadm",), "encryption": ("crypt",)}  # fmt: skip


def library(action: str, words: Sequence[str], settings: Settings, *, as_json: bool = False) -> int:
    """List the components, show those that `words` name, or those that have to do with all `words`.

    Raises UserError for an unknown action or name.
    """
    if action not in ACTIONS:
        raise UserError(f"unknown action {action!r}", hint=f"one of: {', '.join(ACTIONS)}")
    if (action == "list") == bool(words):
        what = "no word" if words else "a component's name" if action == "show" else "a word to look for"
        raise UserError(f"harness library {action} takes {what}", hint="harness library list, show NAME, search WORD")
    chosen = list(_named(words) if action == "show" else _found(words))
    if not chosen:
        chosen = [one for one in _found(()) if any(_is_about(one, word) for word in words)]
        one_of = ", with one of them" if chosen else ": `harness library list` names all"
        progress(message(f"no component has to do with {' and '.join(map(repr, words))}{one_of}"))
    rows = [{**row(one), **({"size": sizes(one, settings)} if action == "show" else {})} for one in chosen]
    if as_json:
        print(json.dumps(rows, indent=1))
    elif action == "show":
        print("\n\n".join("\n".join(_shown(one)) for one in rows))
    else:
        print(*_listed(rows), sep="\n", end="\n" if rows else "")
    return EXIT_OK


def _named(names: Iterable[str]) -> Iterator[ComponentSpec]:
    files = known()
    for name in names:
        if name not in files:
            near = nearest(name, files)
            hint = f"did you mean {near}?" if near else "harness library list names all"
            raise UserError(f"the library has no component {name!r}", hint=hint)
        yield load_component(files[name])


def _found(words: Sequence[str]) -> Iterator[ComponentSpec]:
    for path in known().values():
        component = load_component(path)
        if all(_is_about(component, word) for word in words):
            yield component


def _is_about(component: ComponentSpec, word: str) -> bool:
    text = " ".join((component.name, component.description, *_packages(component), *others(component.name))).lower()
    return any(one in text for one in (word.lower(), *_LIKE.get(word.lower(), ())))


def row(component: ComponentSpec) -> dict[str, Any]:
    """Return what there is to know of a component, as plain data."""
    config = component.config
    return {
        "name": component.name,
        "description": component.description,
        "section": component.place,
        "packages": list(_packages(component)),
        "command": list(config.command or ()),
        "capabilities": list(config.capabilities or ()),
        "readonly": config.readonly is True,
        "health": (config.annotations or {}).get("harness.health", ""),
        "users": [user.name for user in component.users],
        "binds": list(config.binds or ()),
        "tmpfs": list(config.tmpfs or ()),
        "stands_for": list(others(component.name)),
    }


def _packages(component: ComponentSpec) -> tuple[str, ...]:
    """Return its packages on any architecture; a kernel that names none takes each architecture's own."""
    more = (name for names in component.packages_for.values() for name in names)
    named = tuple(dict.fromkeys((*component.packages, *more)))
    return named or tuple(arch.kernel_package for arch in ARCHES.values()) if component.kernel else named


def sizes(component: ComponentSpec, settings: Settings) -> dict[str, int]:
    """Return the bytes of its files, unpacked, for each architecture for which it has been built here."""
    from harness.build.debian import Debian
    from harness.build.layer import made_layer
    from harness.store import Store

    store = Store(settings.cache)
    debian = Debian(store, suite=settings.suite, mirror=settings.mirror, keyring=settings.keyring, offline=True)
    if component.kernel is not None:
        return {}
    try:
        made = {arch.name: made_layer(component, arch, debian, store) for arch in ARCHES.values()}
    except HostError:  # a host without package sources has built nothing
        return {}
    return {arch: layer.size for arch, layer in made.items() if layer is not None}


def _listed(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    widths = [max((len(one[key]) for one in rows), default=0) for key in ("name", "section")]
    for one in rows:
        yield f"{one['name']:{widths[0]}}  {one['section']:{widths[1]}}  {one['description']}"


def _shown(one: dict[str, Any]) -> Iterator[str]:
    yield f"{one['name']}: {one['description']}"
    made = ", ".join(f"{arch} {size / 1e6:.1f} MB" for arch, size in one["size"].items())
    facts = {
        "section": one["section"],
        "packages": " ".join(one["packages"]),
        "command": shlex.join(one["command"]),
        "capabilities": " ".join(one["capabilities"]),
        "health": one["health"],
        "users": " ".join(one["users"]),
        "binds": " ".join(one["binds"]),
        "tmpfs": " ".join(one["tmpfs"]),
        "read-only": "yes" if one["readonly"] else "",
        "stands for": " ".join(one["stands_for"]),
        "size": f"{made}, unpacked" if made else "",
    }
    yield from (f"  {name:12}  {text}" for name, text in facts.items() if text)
