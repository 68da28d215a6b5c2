"""Our own settings of a container: annotations named ``harness.*``, so that the file stays valid LinuxKit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from harness.errors import UserError
from harness.spec.text.complaints import Fault, nearest

PREFIX = "harness."
LOG = "harness.log"
Restart = Literal["on-failure", "always", "never"]
HealthKind = Literal["tcp", "http", "file", "log", "exec"]
LOGS = ("file", "console")
RESTARTS = ("on-failure", "always", "never")
HIGHEST = {"tcp": 65535, "udp": 65535, "raw": 255}
LONGEST = 86_400  # seconds


@dataclass(frozen=True)
class Health:
    """How a service is found to be ready. ``argument``: PORT, PORT/path, /path, text, or a command line."""

    kind: HealthKind
    argument: str


@dataclass(frozen=True)
class EntrySettings:
    """What an entry's annotations say. ``timeout`` and ``ready`` are in seconds."""

    restart: Restart = "on-failure"
    health: Health | None = None
    timeout: int = 60
    ready: int = 60
    ports: tuple[tuple[str, int], ...] = ()  # (tcp, udp or raw, number)
    mounts: tuple[str, ...] = ()
    log: str = "file"


@dataclass(frozen=True)
class Setting:
    """One annotation: where it counts, what it means, and who judges its value."""

    sections: tuple[str, ...]
    default: str
    meaning: str
    expected: str
    judge: Callable[[str], str | None]  # None when right, else the nearest right value or ""


# The argument ends up in a line of a file in the image, so no health check holds a line end.
_HEALTH = {
    "tcp": re.compile(r"[0-9]{1,5}"),
    "http": re.compile(r"[0-9]{1,5}(?:/[!#-&(-\[\]-~]*)?"),
    "file": re.compile(r"/[^\x00-\x1f\x7f]+"),
    "log": re.compile(r"[^\x00-\x1f\x7f]{1,1000}"),
    "exec": re.compile(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*"),
}


def _judge_restart(value: str) -> str | None:
    return None if value in RESTARTS else nearest(value, RESTARTS)


def _judge_seconds(value: str) -> str | None:
    if re.fullmatch(r"[0-9]{1,6}", value) and 1 <= int(value) <= LONGEST:
        return None
    digits = re.match(r"[1-9][0-9]{0,4}", value)
    return f'"{digits[0]}"' if digits else ""


def _judge_ports(value: str) -> str | None:
    if re.fullmatch(r"(?:tcp|udp|raw):[0-9]{1,5}(?: (?:tcp|udp|raw):[0-9]{1,5})*", value):
        return None if all(1 <= port <= HIGHEST[kind] for kind, port in _ports(value)) else ""
    spaced = " ".join(re.findall(r"(?:tcp|udp|raw):[0-9]{1,5}", value))
    return spaced if spaced and re.fullmatch(r"[\w:, ]+", value) else ""


def _ports(value: str) -> tuple[tuple[str, int], ...]:
    return tuple((kind, int(port)) for kind, _, port in (word.partition(":") for word in value.split()))


def _judge_log(value: str) -> str | None:
    return None if value in LOGS else nearest(value, LOGS)


def _judge_mounts(value: str) -> str | None:
    return None if re.fullmatch(r"/[^\s\x00-\x1f\x7f]*(?: /[^\s\x00-\x1f\x7f]*)*", value) else ""


def _judge_health(value: str) -> str | None:
    kind, colon, argument = value.partition(":")
    if kind not in _HEALTH or not colon:
        near = nearest(kind, _HEALTH)
        return f"{near}:{argument}" if near and argument else ""
    if not _HEALTH[kind].fullmatch(argument):
        return ""
    if kind in ("tcp", "http") and not 1 <= int(argument.partition("/")[0]) <= 65535:
        return ""
    return None


_SECONDS = f"whole seconds as text, 1 to {LONGEST}"
SETTINGS: dict[str, Setting] = {
    "harness.restart": Setting(
        ("services",),
        "on-failure",
        "when the service is started again",
        "one of: " + ", ".join(RESTARTS),
        _judge_restart,
    ),
    "harness.health": Setting(
        ("services",),
        "",
        "what must be seen once before the service counts as ready; without it, that it runs",
        "tcp:PORT, http:PORT/path, file:/path, log:text or exec:command",
        _judge_health,
    ),
    "harness.timeout": Setting(
        ("onboot", "onshutdown"), "60", "seconds after which the container is killed", _SECONDS, _judge_seconds
    ),
    "harness.ready": Setting(
        ("services",), "60", "seconds within which the service must become ready", _SECONDS, _judge_seconds
    ),
    "harness.ports": Setting(
        ("onboot", "services"),
        "",
        "on what it listens besides the port of its health check, or lets the kernel listen",
        "tcp:PORT, udp:PORT and raw:PROTOCOL (an IP protocol's number), with a space between",
        _judge_ports,
    ),
    "harness.mounts": Setting(
        ("onboot", "services"),
        "",
        "where it mounts something for the whole system",
        "paths, with a space between",
        _judge_mounts,
    ),
    LOG: Setting(
        ("onboot", "onshutdown", "services"),
        "file",
        "where what it says is shown: in its file below /var/log, or on the console too",
        "one of: " + ", ".join(LOGS),
        _judge_log,
    ),
}


def faults(annotations: Mapping[str, object], section: str | None = None) -> Iterator[tuple[str, bool, Fault]]:
    """Judge the ``harness.*`` keys; each fault comes with its key and whether the key itself is at fault.

    ``section`` is where the entry stands (None: not known, as in a component). Other keys are nobody's business.
    """
    for key, value in annotations.items():
        if not key.startswith(PREFIX) or not isinstance(value, str):
            continue
        setting = SETTINGS.get(key)
        if setting is None:
            near = nearest(key, SETTINGS)
            yield key, True, Fault("unknown annotation", "" if near else f"one of: {', '.join(SETTINGS)}", near)
        elif section is not None and section not in setting.sections:
            yield key, True, Fault(f"means nothing in {section}", f"it in {' or '.join(setting.sections)}")
        else:
            better = setting.judge(value)
            if better is not None:
                yield key, False, Fault(f"found {value!r}", setting.expected, better)


def settings(annotations: Mapping[str, str] | None) -> EntrySettings:
    """Return what the annotations say, defaults for the rest; UserError naming the first wrong one."""
    given = annotations or {}
    for key, _, fault in faults(given):
        raise UserError(f"{key}: {fault.what}", hint=fault.suggestion or fault.expected)
    kind, _, argument = given.get("harness.health", "").partition(":")
    return EntrySettings(
        restart=cast(Restart, given.get("harness.restart", "on-failure")),
        health=Health(cast(HealthKind, kind), argument) if kind else None,
        timeout=int(given.get("harness.timeout", "60")),
        ready=int(given.get("harness.ready", "60")),
        ports=_ports(given.get("harness.ports", "")),
        mounts=tuple(given.get("harness.mounts", "").split()),
        log=given.get(LOG, "file"),
    )
