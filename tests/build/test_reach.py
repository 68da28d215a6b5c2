"""By what a container could act in its init's place, and what our own init keeps from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.build.bundle import make
from harness.build.contract import linuxkits, ours
from harness.build.reach import SETTINGS, SETTINGS_BUT_NET, acts, is_ours
from harness.spec.models.container import Device, Entry, EntryConfig, Mount, Runtime

PREFIX = "containers/services/web"
SYS_ADMIN, NET_ADMIN = "CAP_SYS_ADMIN", "CAP_NET_ADMIN"


def reach(**said: Any) -> list[str]:
    return make(Entry(name="web", image="x", command=("/x",), **said), EntryConfig(), {}).reach


@pytest.mark.parametrize(
    ("said", "by"),
    [
        ({}, []),
        ({"capabilities": ("CAP_NET_BIND_SERVICE", "CAP_KILL")}, []),
        ({"capabilities": (SYS_ADMIN,)}, ["/proc/sys", "SYS_ADMIN"]),
        ({"capabilities": ("CAP_SYS_BOOT",)}, ["SYS_BOOT"]),
        ({"capabilities": (NET_ADMIN, "CAP_NET_RAW")}, []),
        ({"capabilities": ("CAP_NET_RAW",), "pid": "host"}, ["NET_RAW", "pid"]),
        ({"capabilities": ("CAP_NET_RAW", "CAP_SYSLOG")}, ["NET_RAW", "SYSLOG"]),
        ({"pid": "host"}, []),
        ({"readonly_paths": ()}, ["/proc/sys"]),
        ({"readonly_paths": ("/proc/sys",)}, []),
        ({"readonly_paths": (), "masked_paths": ("/proc",)}, []),
        ({"readonly_paths": (), "uid": 1000}, []),
        ({"readonly_paths": (), "uid": 1000, "capabilities": ("CAP_DAC_OVERRIDE",)}, ["/proc/sys"]),
        ({"userns": "new", "readonly_paths": (), "capabilities": (SYS_ADMIN,)}, []),
        ({"binds": ("/proc:/host/proc",)}, ["/proc"]),
        ({"binds": ("/proc/sys/kernel:/settings",)}, ["/proc/sys/kernel"]),
        ({"binds": ("/proc:/host/proc:ro",)}, []),
        ({"binds": ("/var/../run:/x",)}, ["/run"]),
        ({"binds": ("/:/host",)}, ["/"]),
        ({"binds": ("/run:/run",), "uid": 1000}, []),
        ({"binds": ("/var:/var", "/etc:/etc", "/run/resolvconf:/run/resolvconf", "/devices:/d")}, []),
        ({"mounts": (Mount(type="proc", destination="/p"),)}, ["/proc/sys"]),
        ({"mounts": (Mount(type="proc", destination="/p", options=("ro",)),)}, []),
        ({"runtime": Runtime(mounts=(Mount(type="tmpfs", destination="/usr/lib/harness"),))}, ["/usr/lib/harness"]),
        ({"runtime": Runtime(mounts=(Mount(type="tmpfs", destination="/var/x"),))}, []),
        ({"runtime": Runtime(mounts=(Mount(type="tmpfs", destination="var/../etc"),))}, ["/etc"]),
        ({"devices": (Device(path="/dev/kmsg", type="c", major=1, minor=11, mode="0600"),)}, []),
    ],
)
def test_by_what_it_could_act_in_its_inits_place(said: dict[str, Any], by: list[str]) -> None:
    assert reach(**said) == by


@pytest.mark.parametrize(
    ("said", "only_read"),
    [
        ({}, SETTINGS),
        ({"capabilities": ("CAP_NET_RAW",)}, SETTINGS),
        ({"capabilities": (NET_ADMIN,)}, SETTINGS_BUT_NET),
        ({"capabilities": (SYS_ADMIN, NET_ADMIN)}, None),
        ({"capabilities": ("all",)}, None),
        ({"readonly_paths": ()}, None),
        ({"readonly_paths": ("/proc/irq",)}, ("/proc/irq",)),
        ({"userns": "new"}, None),
    ],
)
def test_settings_of_the_kernel_are_only_read(said: dict[str, Any], only_read: tuple[str, ...] | None) -> None:
    bundle = make(Entry(name="web", image="x", command=("/x",), **said), EntryConfig(), {})
    found = json.loads(ours(bundle, PREFIX)["config.json"])["linux"].get("readonlyPaths")
    assert found == (None if only_read is None else list(only_read))
    theirs = json.loads(linuxkits(bundle, PREFIX)["config.json"])["linux"]  # LinuxKit's own init is as LinuxKit's
    assert theirs.get("readonlyPaths") == (list(said.get("readonly_paths") or ()) or None)


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ({"image": "dhcp"}, True),
        ({"image": "getty", "env": ("INSECURE=true",), "annotations": {"a": "b"}}, True),
        ({"image": "getty", "env": ("LD_PRELOAD=/var/x",)}, False),
        ({"image": "getty", "env": ("PATH=/var",)}, False),
        ({"image": "busybox", "command": ("/x",)}, False),
        ({"image": "dhcp", "binds_add": ("/run:/run",)}, False),
        ({"image": "dhcp", "capabilities": ("all",)}, False),
        ({"image": "containerd"}, False),
        ({"image": "vendor/dhcp:1"}, False),
    ],
)
def test_what_of_the_library_is_as_it_is(said: dict[str, Any], own: bool) -> None:
    known = dict.fromkeys(("dhcp", "getty", "busybox", "containerd"))
    assert is_ours(Entry(name="web", **said), known) == own


def test_what_acts_as_kernel_or_init() -> None:
    paths = [
        "etc/motd",
        "/etc/inittab",
        "usr/share/x",
        "usr/bin/x",
        "etc/../init",
        "var/lib/x",
        "etc/init.d/x",
        "lib/x",
    ]
    fine = "quiet cryptomgr.notests sysctl.vm.swappiness=1"
    assert acts("kernel", fine, ["init"], ["etc/motd", "usr/share/../share/x"], ("kernel", "init")) == []
    led = '"rdinit=/x" init=/y sysctl.kernel/core_pattern=|/z quiet'
    assert acts("their/kernel:1", led, ["init", "their/init:1"], paths, ("kernel", "init")) == [
        "kernel their/kernel:1", '"rdinit=/x"', "init=/y", "sysctl.kernel/core_pattern=|/z", "init their/init:1",
        "/etc/init.d/x", "/etc/inittab", "/init", "/lib/x", "/usr/bin/x",
    ]  # fmt: skip
