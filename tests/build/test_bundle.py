"""The table here is LinuxKit's ConfigToOCI, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from harness.build.bundle import Bundle, make, merge
from harness.spec.models.container import Entry, EntryConfig, Runtime
from harness.spec.models.forms import CAPABILITIES

IDS = {"dhcp": 100, "web": 101}


def bundle(label: dict[str, Any] | None = None, volumes: dict[str, bool] | None = None, **keys: Any) -> Bundle:
    entry = Entry(name="web", image="nginx", **{"command": ("/bin/true",), **keys})
    return make(entry, EntryConfig(**(label or {})), IDS, volumes or {})


def oci(label: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return bundle(label, **keys).config


def mounts(**keys: Any) -> dict[str, dict[str, Any]]:
    return {row["destination"]: row for row in oci(**keys)["mounts"]}


def test_an_entry_that_says_nothing_gets_linuxkits_defaults() -> None:
    config = oci()
    assert config["process"] == {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/true"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": "/",
        "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
        "noNewPrivileges": False,
    }
    assert config["root"] == {"path": "rootfs", "readonly": False}
    assert config["linux"] == {"namespaces": [{"type": "pid"}, {"type": "mount"}], "resources": {}}
    assert config["mounts"] == [
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/proc", "type": "proc", "source": "proc",
         "options": ["nosuid", "nodev", "noexec", "relatime"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ]  # fmt: skip
    assert "hostname" not in config and "annotations" not in config


def test_a_readonly_root_makes_dev_and_sys_readonly() -> None:
    config = oci(readonly=True)
    found = {row["destination"]: row["options"][-1] for row in config["mounts"]}
    assert config["root"]["readonly"] is True
    assert found["/dev"] == "ro" and found["/sys"] == "ro" and found["/proc"] != "ro"


@pytest.mark.parametrize("text", ["all", "ALL"])
def test_all_capabilities(text: str) -> None:
    sets = oci(capabilities=(text,))["process"]["capabilities"]
    assert sets["bounding"] == sets["permitted"] == sorted(CAPABILITIES)
    assert sets["ambient"] == []


def test_no_capabilities_over_a_labels() -> None:
    assert oci({"capabilities": ("CAP_KILL",)}, capabilities=("none",))["process"]["capabilities"]["bounding"] == []


def test_ambient_joins_the_bounding_set_and_not_the_effective_one() -> None:
    sets = oci(capabilities=("CAP_KILL", "CAP_CHOWN", "CAP_KILL"), ambient=("CAP_NET_RAW",))["process"]["capabilities"]
    whole = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]
    assert sets["bounding"] == sets["inheritable"] == sets["permitted"] == whole
    assert sets["effective"] == ["CAP_CHOWN", "CAP_KILL"]
    assert sets["ambient"] == ["CAP_NET_RAW"]


def test_added_capabilities_join_the_labels_and_a_plain_key_replaces_both() -> None:
    label = {"capabilities": ("CAP_KILL",)}
    added = oci(label, capabilities_add=("CAP_CHOWN", "CAP_KILL"))
    assert added["process"]["capabilities"]["bounding"] == ["CAP_CHOWN", "CAP_KILL"]
    both = oci(label, capabilities=("CAP_SYSLOG",), capabilities_add=("CAP_CHOWN",))
    assert both["process"]["capabilities"]["bounding"] == ["CAP_SYSLOG"]


def test_binds_with_and_without_options() -> None:
    found = mounts(binds=("/etc/a:/a", "/etc/b:/b:ro,nosuid"))
    assert found["/a"] == {
        "destination": "/a", "type": "bind", "source": "/etc/a", "options": ["rw", "rbind", "rshared"]
    }  # fmt: skip
    assert found["/b"]["options"] == ["ro", "nosuid", "rbind"]


def test_added_binds_join_the_labels() -> None:
    made = bundle({"binds": ("/a:/a",)}, binds_add=("/b:/b",))
    assert made.binds == (("/a", "/a"), ("/b", "/b"))
    assert bundle({"binds": ("/a:/a",)}, binds=("/c:/c",), binds_add=("/b:/b",)).binds == (("/c", "/c"),)


def test_later_kinds_of_mounts_replace_earlier_ones_and_all_are_sorted() -> None:
    entry = {"tmpfs": ("/tmp:size=1m,mode=1777", "/x"), "binds": ("/y:/x",), "mounts": [{"destination": "/dev"}]}
    config = Entry.model_validate({"name": "web", "image": "a", "command": ["a"], **entry}, strict=False)
    rows = make(config, EntryConfig(), IDS).config["mounts"]
    found = {row["destination"]: row for row in rows}
    assert list(found) == sorted(found)
    assert found["/x"]["type"] == "bind"
    assert found["/tmp"]["options"] == ["size=1m", "mode=1777"]
    assert found["/dev"] == {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []}


@pytest.mark.parametrize(
    ("given", "place", "kind"),
    [
        ({"source": "proc"}, "/proc", "proc"),
        ({"source": "devpts"}, "/dev/pts", "devpts"),
        ({"type": "sysfs"}, "/sys", "sysfs"),
        ({"type": "cgroup", "options": ["rw"]}, "/sys/fs/cgroup", "cgroup"),
        ({"source": "mqueue"}, "/dev/mqueue", "mqueue"),
        ({"type": "tmpfs", "destination": "/x"}, "/x", "tmpfs"),
    ],
)
def test_what_a_mount_leaves_out(given: dict[str, Any], place: str, kind: str) -> None:
    entry = Entry.model_validate({"name": "a", "image": "a", "command": ["a"], "mounts": [given]}, strict=False)
    rows = make(entry, EntryConfig(), {}).config["mounts"]
    assert {"destination": place, "type": kind, "source": kind, "options": given.get("options", [])} in rows


def test_an_idmapped_mount_keeps_its_maps() -> None:
    mount = {"destination": "/x", "type": "bind", "source": "/y",
             "uidmappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}  # fmt: skip
    entry = Entry.model_validate({"name": "a", "image": "a", "command": ["a"], "mounts": [mount]}, strict=False)
    (row,) = [row for row in make(entry, EntryConfig(), {}).config["mounts"] if row["destination"] == "/x"]
    assert row["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]


def test_volumes_stand_for_their_folder_wherever_they_are_bound() -> None:
    made = bundle({"binds": ("data:/a",)}, {"data": False, "fixed": True}, binds_add=("fixed:/b:ro",))
    assert made.binds == (("/containers/volumes/data/merged", "/a"), ("/containers/volumes/fixed/merged", "/b"))


def test_namespaces() -> None:
    def kinds(**keys: str) -> list[dict[str, str]]:
        return oci(**keys)["linux"]["namespaces"]

    assert kinds(net="new", ipc="new", uts="new", pid="host", userns="new") == [
        {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "user"}, {"type": "mount"}
    ]  # fmt: skip
    assert {"type": "network"} in kinds(net="none")
    assert {"type": "network", "path": "/run/netns/x"} in kinds(net="/run/netns/x")
    assert {"type": "pid", "path": "/proc/1/ns/pid"} in kinds(pid="/proc/1/ns/pid")
    assert kinds(net="root", ipc="host", pid="root") == [{"type": "mount"}]


def test_empty_text_leaves_the_labels_value() -> None:
    config = oci({"net": "new", "cwd": "/srv", "hostname": "label"}, net="", cwd="", hostname="")
    assert {"type": "network"} in config["linux"]["namespaces"]
    assert config["process"]["cwd"] == "/srv" and config["hostname"] == "label"


def test_names_of_users_are_numbers_of_containers() -> None:
    user = oci(uid="dhcp", gid="web", additional_gids=("root", 7, "dhcp"))["process"]["user"]
    assert user == {"uid": 100, "gid": 101, "additionalGids": [0, 7, 100]}
    assert oci(uid="root", gid="")["process"]["user"] == {"uid": 0, "gid": 0}
    assert oci(uid="33")["process"]["user"]["uid"] == 33


def test_rlimits() -> None:
    rows = oci(rlimits=("nofile,1024, 4096", "RLIMIT_CORE,0,unlimited"))["process"]["rlimits"]
    assert rows == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615},
    ]


def test_devices_are_made_and_let_through() -> None:
    devices = ({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "mode": "0660"},
               {"path": "all", "type": "b"}, {"path": "all"}, {"path": "/p", "type": "p", "mode": "0600"})  # fmt: skip
    entry = Entry.model_validate(
        {"name": "a", "image": "a", "command": ["a"], "devices": devices,
         "resources": {"devices": ({"allow": False, "access": "rwm"},)}}, strict=False
    )  # fmt: skip
    linux = make(entry, EntryConfig(), {}).config["linux"]
    assert linux["devices"] == [
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o660},
        {"path": "/p", "type": "p", "major": 0, "minor": 0, "fileMode": 0o600},
    ]
    assert linux["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rwm"},
        {"allow": True, "type": "b", "access": "rwm"},
        {"allow": True, "type": "a", "access": "rwm"},
    ]


def test_resources_are_spelled_as_oci_does() -> None:
    given = {"memory": {"limit": 1 << 20}, "blockio": {"weight": 10}, "pids": {"limit": 5},
             "hugepageLimits": ({"pageSize": 2 << 20, "limit": 4 << 20},)}  # fmt: skip
    assert oci(resources=given)["linux"]["resources"] == {
        "memory": {"limit": 1 << 20},
        "blockIO": {"weight": 10},
        "pids": {"limit": 5},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
    }


def test_the_rest_goes_where_it_belongs() -> None:
    config = oci(
        sysctl={"net.ipv4.ip_forward": "1"}, masked_paths=("/proc/kcore",), readonly_paths=("/proc/sys",),
        oom_score_adj=-5, rootfs_propagation="shared", cgroups_path="/x", hostname="h", uts="new",
        annotations={"a": "b"}, no_new_privileges=True, cwd="/srv", env=(),
    )  # fmt: skip
    linux, process = config["linux"], config["process"]
    assert linux["sysctl"] == {"net.ipv4.ip_forward": "1"}
    assert linux["maskedPaths"] == ["/proc/kcore"] and linux["readonlyPaths"] == ["/proc/sys"]
    assert linux["rootfsPropagation"] == "shared" and linux["cgroupsPath"] == "/x"
    assert process["oomScoreAdj"] == -5 and process["noNewPrivileges"] is True
    assert process["cwd"] == "/srv" and process["env"] == []
    assert config["hostname"] == "h" and config["annotations"] == {"a": "b"}


def test_maps_of_a_user_namespace() -> None:
    rows = [{"containerID": 0, "hostID": 1000, "size": 10}]
    entry = Entry.model_validate(
        {"name": "a", "image": "a", "command": ["a"], "userns": "new", "uidMappings": rows, "gidMappings": rows},
        strict=False,
    )
    linux = make(entry, EntryConfig(), {}).config["linux"]
    assert linux["uidMappings"] == linux["gidMappings"] == rows


def test_an_entry_wins_over_the_label_key_by_key() -> None:
    label = EntryConfig(readonly=True, env=("A=1",), runtime=Runtime(mkdir=("/a",), cgroups=("x",)))
    entry = Entry(name="a", image="a", env=("B=2",), runtime=Runtime(mkdir=("/b",)))
    merged = merge(label, entry)
    assert merged.readonly is True and merged.env == ("B=2",)
    assert merged.runtime == Runtime(mkdir=("/b",), cgroups=("x",))


def test_a_rootless_runtime_section_changes_nothing() -> None:
    assert bundle({"runtime": Runtime(mkdir=("/a",))}).runtime.mkdir == ("/a",)
    assert bundle().runtime == Runtime()
