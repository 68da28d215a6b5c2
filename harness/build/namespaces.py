"""What an entry's ``runtime`` asks of its namespaces once they are made: interfaces and bound paths, as shell lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from harness.spec.models.container import Interface, Runtime
from harness.tree.tree import clean

# `pid` is the container's first process: the runtime tells its state on the hook's input (runtime-spec, runtime.md)
_BEGIN = ("set -e", r"""pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')""")
# one end of a fresh pair is named; the other is whatever lies behind it
_TWIN = (
    'read -r index <"/sys/class/net/$peer/iflink"',
    "for twin in /sys/class/net/*; do",
    '  read -r number <"$twin/ifindex"',
    '  [ "$number" != "$index" ] || break',
    "done",
    "twin=${twin##*/}",
)

# a mount namespace is kept on a private mount alone: on a shared one the kernel refuses it (mount_namespaces(7))
_MOUNTS = "mnt"

# kinds of interfaces whose kernel module has another name
MODULES = {"vlan": "8021q", "bond": "bonding", "gre": "ip_gre", "gretap": "ip_gre", "vti": "ip_vti"}


def modules(runtime: Runtime | None) -> list[str]:
    """Return the kernel modules that the interfaces to be made need."""
    kinds = [kind(one) for one in runtime.interfaces] if runtime else []
    return [MODULES.get(one, one) for one in kinds if one]


def kind(interface: Interface) -> str:
    """Return the kind of an interface that is to be made; empty for one that is there."""
    return interface.add or ("veth" if interface.peer else "")


def lines(runtime: Runtime) -> list[str]:
    """Return the script that runs between a container's creation and its start; none when there is nothing to do."""
    kept = runtime.bind_ns.model_dump() if runtime.bind_ns else {}
    places = {space: shlex.quote(f"/{clean(path)}") for space, path in kept.items() if path}
    # what a service that starts again has kept would keep its interfaces, too
    found = [line for space, place in places.items() for line in _release(space, place)]
    found += [line for one in runtime.interfaces for line in _interface(one)]
    found += [line for space, place in places.items() for line in _bind(space, place)]
    return [*_BEGIN, *found] if found else []


def _interface(interface: Interface) -> Iterator[str]:
    name, made = shlex.quote(interface.name), kind(interface)
    if made == "veth":
        yield f"peer={shlex.quote(interface.peer)}"
        # of a service that starts again: it goes with the other end, but not at once
        yield 'ip link del "$peer" 2>/dev/null || :'
        yield 'ip link add "$peer" type veth'
        yield from _TWIN
        yield 'ip link set "$twin" netns "$pid"'
        yield f'nsenter -t "$pid" -n ip link set "$twin" name {name}'
    elif made and not interface.create_in_root:
        yield f'nsenter -t "$pid" -n ip link add {name} type {shlex.quote(made)}'
    else:
        if made:
            yield f"ip link add {name} type {shlex.quote(made)}"
        else:
            # the last container that had it may just be going
            yield "tries=0"
            yield f"until [ -e /sys/class/net/{name} ] || [ $tries = 50 ]; do usleep 100000; tries=$((tries + 1)); done"
        yield f'ip link set {name} netns "$pid"'


def _release(space: str, place: str) -> Iterator[str]:
    # the private mount lies below a mount namespace's own
    yield from [f"umount {place} 2>/dev/null || :"] * (2 if space == _MOUNTS else 1)


def _bind(space: str, place: str) -> Iterator[str]:
    yield f'mkdir -p "$(dirname {place})"'
    yield f"[ -e {place} ] || : >{place}"
    if space == _MOUNTS:
        yield f"mount -o bind {place} {place}"
        yield f"mount --make-private {place}"
    yield f'mount -o bind "/proc/$pid/ns/{space}" {place}'
