"""By what a container could act in its init's place, and what our own init keeps from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.build.bundle import make
from harness.build.contract import linuxkits, ours
from harness.build.reach import SETTINGS, SETTINGS_BUT_NET, Paths, acts, is_ours, turned
from harness.spec.models.container import Device, Entry, EntryConfig, IDMapping, Mount, Runtime

PREFIX = "containers/services/web"
SYS_ADMIN, NET_ADMIN = "CAP_SYS_ADMIN", "CAP_NET_ADMIN"


def reach(**said: Any) -> list[str]:
    return make(Entry(name="web", image="x", command=("/x",), **said), EntryConfig(), {}).reach


def device(path: str, major: int, minor: int, kind: str = "c") -> Device:
    return Device(path=path, type=kind, major=major, minor=minor, mode="0600")


def ids(outside: int, count: int) -> IDMapping:
    return IDMapping(containerID=0, hostID=outside, size=count)


PLAIN = {"uid": 1000, "no_new_privileges": True}  # it is not root, and nothing makes it root
APART = {"userns": "new", "uid_mappings": (ids(100_000, 1000),)}


@pytest.mark.parametrize(
    ("said", "by"),
    [
        ({}, []),
        ({"capabilities": ("CAP_NET_BIND_SERVICE", "CAP_KILL")}, []),
        ({"capabilities": (SYS_ADMIN,)}, ["/proc/sys", "/sys", "SYS_ADMIN"]),
        ({"capabilities": ("CAP_SYS_BOOT",)}, ["SYS_BOOT"]),
        ({"capabilities": (NET_ADMIN, "CAP_NET_RAW")}, []),
        ({"capabilities": ("CAP_NET_RAW",), "pid": "host"}, ["NET_RAW", "pid"]),
        ({"capabilities": ("CAP_NET_RAW", "CAP_SYSLOG")}, ["NET_RAW", "SYSLOG"]),
        ({"pid": "host"}, []),
        ({"readonly_paths": ()}, ["/proc/sys", "/sys"]),
        ({"readonly_paths": ("/proc/sys", "/sys")}, []),
        ({"readonly_paths": (), "masked_paths": ("/proc", "/sys")}, []),
        ({"readonly_paths": (), "readonly": True}, ["/proc/sys"]),
        ({"annotations": {"run.oci.hooks.stdout": "/x"}}, ["run.oci"]),
        ({"capabilities": (NET_ADMIN,), "pid": "host"}, ["NET_ADMIN", "pid"]),
        ({"capabilities": ("CAP_NET_RAW",), "pid": "/proc/1/ns/pid"}, ["NET_RAW", "pid"]),
        ({"capabilities": ("CAP_NET_RAW",), "devices": (device("/dev/kmsg", 1, 11),)}, ["/dev/kmsg", "NET_RAW"]),
        ({"capabilities": ("CAP_NET_RAW",), "devices": (device("/dev/x", 4, 64),)}, ["/dev/x", "NET_RAW"]),
        ({"capabilities": (NET_ADMIN,), "devices": (device("/dev/net/tun", 10, 200),)}, []),
        ({"devices": (device("/dev/loop0", 7, 0, "b"),), **PLAIN}, ["/dev/loop0"]),
        ({"readonly_paths": (), "uid": 1000, "no_new_privileges": True}, []),
        ({"readonly_paths": (), "uid": 1000}, ["/proc/sys", "/sys"]),
        ({"readonly_paths": (), "capabilities": ("CAP_DAC_OVERRIDE",), **PLAIN}, ["/proc/sys", "/sys"]),
        ({"readonly_paths": (), "capabilities": ("CAP_SETUID",), **PLAIN}, ["/proc/sys", "/sys"]),
        ({"readonly_paths": (), "capabilities": (SYS_ADMIN,), **APART}, []),
        ({"readonly_paths": (), "userns": "new"}, ["/proc/sys", "/sys"]),
        ({"readonly_paths": (), **APART, "uid_mappings": (ids(0, 1),)}, ["/proc/sys", "/sys"]),
        ({"readonly_paths": (), **APART, "userns": "/run/another"}, ["/proc/sys", "/sys"]),
        ({"binds": ("/proc:/host/proc",)}, ["/proc"]),
        ({"binds": ("/proc/sys/kernel:/settings",)}, ["/proc/sys/kernel"]),
        ({"binds": ("/proc:/host/proc:ro",)}, []),
        ({"binds": ("/var/../run:/x",)}, ["/run"]),
        ({"binds": ("/:/host",)}, ["/"]),
        ({"binds": ("/:/host:ro",)}, ["/"]),  # what is mounted below is not
        ({"binds": ("/proc:/p:ro,rw",)}, ["/proc"]),
        ({"binds": ("/dev:/dev:ro",)}, ["/dev"]),  # its devices are written all the same
        ({"binds": ("/devices:/d:ro", "/running:/r")}, []),
        ({"binds": ("/containers/services/other:/x",)}, ["/containers/services/other"]),
        ({"binds": ("/containers/volumes/data/merged:/x",)}, []),
        ({"binds": ("/containers/volumes/data/merged/x:/x",)}, ["/containers/volumes/data/merged/x"]),
        ({"mounts": (Mount(type="none", source="/", destination="/h", options=("bind",)),)}, ["/"]),
        ({"mounts": (Mount(type="bind", source="/", destination="/h", options=("bind", "ro")),)}, []),
        ({"mounts": (Mount(type="sysfs", destination="/s"),)}, ["/sys"]),
        ({"mounts": (Mount(type="sysfs", destination="/sys", options=("rw",)),)}, ["/sys"]),
        ({"mounts": (Mount(type="debugfs", source="debugfs", destination="/d"),)}, ["debugfs"]),
        ({"mounts": (Mount(type="binfmt_misc", source="x", destination="/d"),)}, ["binfmt_misc"]),
        ({"mounts": (Mount(type="cgroup", destination="/sys/fs/cgroup"),)}, ["cgroup"]),
        (
            {
                "mounts": (
                    Mount(type="ext4", source="/dev/vda", destination="/d"),
                    Mount(type="tmpfs", destination="/t"),
                )
            },
            [],
        ),
        ({"binds": ("/run:/run",), "uid": 1000, "no_new_privileges": True}, []),
        ({"binds": ("/var:/var", "/etc:/etc", "/run/resolvconf:/run/resolvconf", "/devices:/d")}, []),
        ({"mounts": (Mount(type="proc", destination="/p"),)}, ["/proc/sys"]),
        ({"mounts": (Mount(type="proc", destination="/p", options=("ro",)),)}, []),
        ({"runtime": Runtime(mounts=(Mount(type="tmpfs", destination="/usr/lib/harness"),))}, ["/usr/lib/harness"]),
        ({"runtime": Runtime(mounts=(Mount(type="tmpfs", destination="/var/x"),))}, []),
        ({"runtime": Runtime(mounts=(Mount(type="bind", source="/", destination="/var/x"),))}, ["/"]),
        ({"runtime": Runtime(mounts=(Mount(type="proc", destination="/var/x"),))}, ["/proc/sys"]),
        ({"runtime": Runtime(mounts=(Mount(type="tmpfs", destination="var/../etc"),))}, ["/etc"]),
        ({"devices": (device("/dev/kmsg", 1, 11),)}, []),
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
    ("said", "only_read"),
    [
        ({}, True),
        ({"capabilities": (NET_ADMIN,)}, True),
        ({"capabilities": (SYS_ADMIN,)}, False),
        ({"readonly_paths": ()}, False),
        ({"readonly": True, "readonly_paths": ()}, True),
        ({"mounts": (Mount(type="sysfs", destination="/sys", options=("rw",)),)}, False),
        ({"mounts": (Mount(source="sysfs"),)}, False),
        ({"binds": ("/sys:/sys",)}, False),
    ],
)
def test_devices_of_the_kernel_are_only_read(said: dict[str, Any], only_read: bool) -> None:
    bundle = make(Entry(name="web", image="x", command=("/x",), **said), EntryConfig(), {})
    for made, read in ((ours(bundle, PREFIX), only_read), (linuxkits(bundle, PREFIX), "readonly" in said)):
        (row,) = (one for one in json.loads(made["config.json"])["mounts"] if one["destination"] == "/sys")
        assert ("ro" in row["options"]) == read


def paths(**said: Any) -> Paths:
    return make(Entry(name="web", image="x", command=("/x",), **said), EntryConfig(), {}).paths


WRITER = paths(binds=("/var/data:/data",))


@pytest.mark.parametrize(
    ("one", "others", "by"),
    [
        (WRITER, (), []),
        (WRITER, (paths(binds=("/var/data:/d",)), paths(binds=("/var/database:/d",))), []),
        # it makes /var/data/x a link, and somebody else gets what that leads to
        (WRITER, (paths(binds=("/var/data/x:/d:ro",)),), ["/var/data"]),
        (WRITER, (paths(runtime=Runtime(mounts=(Mount(type="tmpfs", destination="/var/data/x"),))),), ["/var/data"]),
        (WRITER, (paths(env=("MOUNTPOINT=/var/data/x",)),), ["/var/data"]),
        (paths(binds=("/var/data:/d:ro",)), (paths(binds=("/var/data/x:/d",)),), []),
        (paths(binds=("/var/data:/d",), **PLAIN), (paths(binds=("/var/data/x:/d",)),), []),
        # the init opens a container's log by its name
        (paths(binds=("/var:/var",)), (), ["/var"]),
        (paths(binds=("/var/log:/l",)), (), ["/var/log"]),
        (paths(binds=("/var/log:/l:ro", "/var/log/mine:/m")), (), []),
        # a link among the image's own files
        (paths(binds=("/srv/x:/h",)), (), ["/srv/x"]),
        (paths(binds=("/srv/x/y:/h:ro", "/srv/xy:/i")), (), ["/srv/x/y"]),
    ],
)  # fmt: skip
def test_whom_the_init_follows_to_another_place(one: Paths, others: tuple[Paths, ...], by: list[str]) -> None:
    assert turned(one, (one, *others), {"/srv/x"}) == by


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
        ({"image": "mount", "env": ("LABEL=data", "MOUNTPOINT=/var/data", "TYPE=ext4", "OPTIONS=noatime,ro")}, True),
        ({"image": "mount", "env": ("MOUNTPOINT=/usr/lib/harness",)}, False),
        ({"image": "mount", "env": ("MOUNTPOINT=/var/../run",)}, False),
        ({"image": "mount", "env": ("MOUNTPOINT=/srv/link/x",)}, False),
        ({"image": "mount", "env": ("MOUNTPOINT=/var/x", "TYPE=proc")}, False),
        ({"image": "mount", "env": ("MOUNTPOINT=/var/x", "OPTIONS=ro,bind")}, False),
        ({"image": "dhcp", "annotations": {"run.oci.hooks.stdout": "/x"}}, False),
        ({"image": "vendor/dhcp:1"}, False),
    ],
)
def test_what_of_the_library_is_as_it_is(said: dict[str, Any], own: bool) -> None:
    known = dict.fromkeys(("dhcp", "getty", "busybox", "containerd", "mount"))
    assert is_ours(Entry(name="web", **said), known, {"/srv/link"}) == own


def test_what_acts_as_kernel_or_init() -> None:
    files = dict.fromkeys(
        [
            "etc/motd",
            "/etc/inittab",
            "usr/share/x",
            "usr/bin/x",
            "etc/../init",
            "var/lib/x",
            "etc/init.d/x",
            "lib/x",
            "srv/link/mark",
        ],
        "",
    ) | {"srv/link": "../usr/lib/harness", "var/link": "/x", "var/log/x.log": "/proc/sys/kernel/core_pattern"}
    fine = "quiet cryptomgr.notests sysctl.vm.swappiness=1"
    assert (
        acts("kernel", fine, ["init"], {"etc/motd": "", "usr/share/../share/x": "", "var/lib": "x"}, ("kernel", "init"))
        == []
    )
    led = '"rdinit=/x" init=/y sysctl.kernel/core_pattern=|/z quiet'
    assert acts("their/kernel:1", led, ["init", "their/init:1"], files, ("kernel", "init")) == [
        "kernel their/kernel:1", '"rdinit=/x"', "init=/y", "sysctl.kernel/core_pattern=|/z", "init their/init:1",
        "/etc/init.d/x", "/etc/inittab", "/init", "/lib/x", "/srv/link/mark", "/usr/bin/x", "/var/log/x.log",
    ]  # fmt: skip
