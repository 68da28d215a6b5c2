"""Where an image is asked for: by the host's registries.conf (containers-registries.conf(5)) and the settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import UserError
from harness.files import read
from harness.spec.image_reference import Named, parse

SETTING = "HARNESS_REGISTRY"
LARGEST = 4 << 20  # bytes of a file of settings
FOLDERS = (Path("/usr/share/containers"), Path("/etc/containers"))  # the host's; a later one counts instead
HTTP = "http://"


@dataclass(frozen=True)
class RegistryPlace:
    """A repository on the registry ``host[:port]``. ``insecure``: plain HTTP or an unknown certificate will do.

    ``loopback``: so they will as long as nobody has said which certificate is right; and no proxy stands before it.
    """

    host: str
    repository: str
    insecure: bool = False
    loopback: bool = False

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}"


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=lambda name: name.replace("_", "-")
    )


class RegistryMirror(_Table):
    """A ``[[registry.mirror]]``: its ``host[:port][/path]``, and for which references it is asked."""

    location: str
    insecure: bool = False
    pull_from_mirror: Literal["all", "digest-only", "tag-only"] = "all"

    def serves(self, name: Named) -> bool:
        """Say whether it is asked for `name`."""
        return self.pull_from_mirror == "all" or (self.pull_from_mirror == "digest-only") == bool(name.digest)


class RegistryRule(_Table):
    """A ``[[registry]]``: names that begin with ``prefix`` are at ``location``, and before that at its mirrors."""

    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirror: tuple[RegistryMirror, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _names_something(self) -> RegistryRule:
        if not self.prefix and not self.location:
            raise ValueError("neither `location` nor `prefix`")
        return self

    def covered(self, name: str) -> str:
        """Return the part of ``host/path`` that the prefix covers, empty when it does not fit."""
        prefix = (self.prefix or self.location).rstrip("/")
        if prefix.startswith("*."):
            host = name.partition("/")[0]
            domain, slash, path = prefix.partition("/")
            prefix = f"{host}{slash}{path}" if host.endswith(domain[1:]) else prefix
        return prefix if f"{name}/".startswith(f"{prefix}/") else ""


class _File(_Table):
    unqualified_search_registries: tuple[str, ...] = Field((), strict=False)
    registry: tuple[RegistryRule, ...] = Field((), strict=False)
    aliases: dict[str, str] = {}


@dataclass(frozen=True)
class Registries:
    """What is set. ``default`` is where unqualified names are: ``host[:port]``, with ``http://`` before it if plain."""

    default: str = ""
    rules: tuple[RegistryRule, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def qualify(self, name: Named) -> Named:
        """Return `name` with its registry; as in Docker a bare name stands for ``library/NAME`` of the default one.

        Raises UserError when no default registry is set.
        """
        if name.registry:
            return name
        if name.repository in self.aliases:
            full = parse(self.aliases[name.repository])
            if isinstance(full, Named) and full.registry:
                return replace(full, tag=name.tag, digest=name.digest)
        if not self.default:
            raise UserError(
                f"{name} names no registry, and no default registry is set",
                hint=f"write registry.example/{name}, or set {SETTING} (or, in registries.conf, "
                "unqualified-search-registries) to the registry that has it",
            )
        path = name.repository if "/" in name.repository else f"library/{name.repository}"
        return replace(name, registry=self.default.removeprefix(HTTP), repository=path)

    def places(self, name: Named) -> list[RegistryPlace]:
        """Return where a qualified name is to be asked for: mirrors in their order, then the place itself.

        Raises UserError when the name is blocked.
        """
        full = f"{name.registry}/{name.repository}"
        rule = max(self.rules, key=lambda one: len(one.covered(full)), default=None)
        if rule is None or not rule.covered(full):
            return [_place(full, self.default == HTTP + name.registry)]
        if rule.blocked:
            raise UserError(f"{name} is blocked by registries.conf", hint=f"see its [[registry]] {rule.prefix}")
        covered = rule.covered(full)
        mirrors = rule.mirror if name.digest or not rule.mirror_by_digest_only else ()
        wanted = [(mirror.location, mirror.insecure) for mirror in mirrors if mirror.serves(name)]
        wanted.append((rule.location or covered, rule.insecure))
        return [_place(where.rstrip("/") + full.removeprefix(covered), insecure) for where, insecure in wanted]


def _place(full: str, insecure: bool) -> RegistryPlace:
    host, _, repository = full.partition("/")
    return RegistryPlace(host, repository, insecure, is_loopback(host))


def is_loopback(host: str) -> bool:
    """Say whether ``host[:port]`` is this machine: as in Docker it needs no TLS, for no network is passed."""
    name, _, port = host.rpartition(":")
    name = name if name and port.isdigit() else host
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"


def find(default: str | None = None, conf: Path | None = None) -> Registries:
    """Return what is set: `default` goes before registries.conf, `conf` is read instead of the host's own files.

    Raises UserError when a file is not there or cannot be understood.
    """
    if conf and not conf.is_file():
        raise UserError(f"there is no {conf}", hint="a file in the format of containers-registries.conf(5)")
    rules: dict[str, RegistryRule] = {}
    aliases: dict[str, str] = {}
    search: tuple[str, ...] = ()
    for path in [conf] if conf else _host_files():
        file = _read(path)
        rules |= {rule.prefix or rule.location: rule for rule in file.registry}
        aliases |= file.aliases
        search = file.unqualified_search_registries or search
    chosen = default or next(iter(search), "")
    if "/" in chosen.removeprefix(HTTP):
        raise UserError(f"{chosen!r} is not a registry", hint=f"host, host:port or {HTTP}host:port")
    return Registries(chosen, tuple(rules.values()), aliases)


def _host_files() -> list[Path]:
    named = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "containers"
    folders = (*FOLDERS, own)
    mains = [Path(named)] if named else [folder / "registries.conf" for folder in folders]
    drops = [drop for folder in folders for drop in folder.glob("registries.conf.d/*.conf")]
    # of the main files the most particular one counts alone; the drop-ins add to it
    return [*[path for path in mains if path.is_file()][-1:], *sorted(drops, key=lambda path: path.name)]


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(read(path, LARGEST).decode()))
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (UserError, ValueError, RecursionError) as error:
        what = str(error)
    raise UserError(f"{path}: {what}", hint="its format is that of containers-registries.conf(5)")
