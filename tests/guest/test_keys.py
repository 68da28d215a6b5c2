"""Keys of the format, looked at from outside: by another container, or by the system itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions, System

KEYS = Path(__file__).with_name("keys.yml")


@pytest.fixture(scope="module")
def system(built: Callable[[Path], Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system, at ready."""
    options = BootOptions(mode="wall", out=tmp_path_factory.mktemp("keys"), probe=True, timeout_multiplier=8)
    with boot(built(KEYS), load_machine(paths.MACHINES / "qemu-arm64.yml"), options) as found:
        found.wait_ready()
        yield found


def ask(system: System, command: str) -> str:
    return system.shell.run(command, check=True).text.strip()


def within(system: System, name: str, command: str) -> str:
    """Run a command of the system's own in the mount namespace of a service."""
    return system.shell.run(f"nsenter -t $(cat /run/harness/{name}.pid) -m {command}").text.strip()


def test_root_without_a_right_writes_no_setting_of_the_kernel(system) -> None:
    # what core_pattern names, the kernel starts with all rights outside of the container
    assert "the settings are read only" in ask(system, "cat /var/log/early.log").splitlines()
    assert ask(system, "cat /proc/sys/kernel/core_pattern") == "core"


def test_what_an_onboot_mounts_with_a_shared_root_is_there_for_all(system: System) -> None:
    assert " /var/held tmpfs" in ask(system, "cat /proc/mounts")
    assert ask(system, "cat /var/held/word") == "kept"
    assert "kept" in ask(system, "cat /var/log/early.log").splitlines()


def test_what_an_onboot_mounts_without_one_is_its_own(system: System) -> None:
    assert " /var/own " not in ask(system, "cat /proc/mounts")


def test_later_mounts_are_seen_as_each_bind_says(system: System) -> None:
    ask(system, "touch /run/go; until grep -q mounted /var/log/late.log; do usleep 50000; done")
    assert ask(system, "cat /var/later/word") == "later"
    assert within(system, "early", "cat /var/later/word") == "later"
    assert " /var/later " not in within(system, "alone", "cat /proc/self/mounts")


def test_limits_are_linuxkits(system: System) -> None:
    assert ask(system, "cat /var/log/early.log").splitlines()[:3] == ["1048576", "1048576", "unlimited"]


def test_the_images_own_scripts_run_in_their_places(system: System) -> None:
    assert ask(system, "cat /run/order").split() == ["first", "kept", "last"]


def test_what_files_puts_into_a_containers_folder_arrives(system: System) -> None:
    assert ask(system, "cat /var/log/filled.log") == "given"


def of_process(system: System, name: str, file: str) -> str:
    """Return what the system's own /proc says of a service's first process."""
    return ask(system, f"cat /proc/$(cat /run/harness/{name}.pid)/{file}")


def test_what_a_container_finds_is_what_its_entry_says(system: System) -> None:
    said = ask(system, "cat /var/log/every.log").splitlines()
    early = ask(system, "grep -o 'gid=[0-9]*' /var/log/every.log")
    assert said[:4] == ["/srv/work", "a word", said[2], "elsewhere"] and said[4:] == ["readonly", "fixed"]
    assert said[2].startswith("uid=1234 gid=10") and early != "gid=100"  # names stand for numbers from 100 on


def test_rights_and_limits_are_those_of_its_entry(system: System) -> None:
    status = dict(line.split(":", 1) for line in of_process(system, "every", "status").splitlines() if ":" in line)
    held = {key: int(status[key], 16) for key in ("CapBnd", "CapInh", "CapPrm", "CapAmb")}
    assert held == {"CapBnd": 0x2001, "CapInh": 0x2001, "CapPrm": 0x2000, "CapAmb": 0x2000}  # NET_RAW and CHOWN
    assert status["NoNewPrivs"].strip() == "1" and status["Groups"].split()[0] == "7"
    assert len(status["Groups"].split()) == 2 and status["Uid"].split() == ["1234"] * 4
    limits = of_process(system, "every", "limits")
    assert [line.split()[3:5] for line in limits.splitlines() if "open files" in line] == [["100", "200"]]
    assert of_process(system, "every", "oom_score_adj") == "321"
    assert of_process(system, "every", "cgroup") == "0::/of/its/own"
    group = "/sys/fs/cgroup/of/its/own"
    assert ask(system, f"cat {group}/memory.max {group}/pids.max").split() == ["67108864", "33"]
    assert ask(system, f"cat {group}/cpu.weight") != "100"


def test_what_is_mounted_for_it_is_what_its_entry_says(system: System) -> None:
    rows = [line.split() for line in of_process(system, "every", "mounts").splitlines()]
    found = {place: (kind, set(options.split(","))) for _, place, kind, options, *_ in rows}
    assert found["/"][0] == "squashfs" and "ro" in found["/"][1]
    assert found["/scratch"] == ("tmpfs", found["/scratch"][1] | {"rw", "size=1024k", "mode=711"})
    assert found["/mounted"] == ("tmpfs", found["/mounted"][1] | {"nosuid", "size=2048k"})
    assert "ro" in found["/etc/served"][1] and "ro" in found["/fixed"][1] and found["/vol"][0] == "overlay"
    assert "ro" in found["/proc/sys"][1] and "/proc/version" in found
    root = f"/proc/{ask(system, 'cat /run/harness/every.pid')}/root"
    assert ask(system, f"wc -c <{root}/proc/version") == "0"
    assert ask(system, f"stat -c '%t %T %a' {root}/dev/own") == "1 3 640"
    assert ask(system, f"cat {root}/vol/b") == "b"  # as another container has written it


def test_namespaces_are_those_of_its_entry(system: System) -> None:
    def spaces(name: str) -> dict[str, str]:
        kinds = "net ipc uts pid user mnt"
        said = ask(system, f"for kind in {kinds}; do readlink /proc/{name}/ns/$kind; done")
        return dict(zip(kinds.split(), said.split(), strict=True))

    root = spaces("1")

    def own(name: str) -> set[str]:
        mine = spaces(f"$(cat /run/harness/{name}.pid)")
        return {kind for kind in mine if mine[kind] != root[kind]}

    assert own("every") == {"net", "ipc", "uts", "pid", "mnt"}
    assert own("other") == {"pid", "mnt", "user"}
    assert own("rooted") == {"mnt"}
    assert of_process(system, "other", "uid_map").split() == ["0", "1000", "10"]
    assert of_process(system, "other", "gid_map").split() == ["0", "2000", "10"]
    inside = "nsenter -t $(cat /run/harness/every.pid) -n cat /proc/sys/net/ipv4/ip_forward"
    assert ask(system, f"{inside} /proc/sys/net/ipv4/ip_forward").split()[0] == "1"


def test_what_is_made_before_a_container_is_there_for_all(system: System) -> None:
    assert ask(system, "ls -d /sys/fs/cgroup/of/a/list /run/made/by-runtime").count("\n") == 1
    assert "before /var/before tmpfs rw,relatime,size=3072k" in ask(system, "cat /proc/mounts")


def test_files_and_volumes_are_as_they_are_written(system: System) -> None:
    assert ask(system, "stat -c '%a %u %g' /etc/served; cat /etc/served") == "604 12 34\nserved"
    assert ask(system, "stat -c '%a %F' /etc/folder; readlink /etc/link") == "710 directory\n/etc/served"
    assert ask(system, "[ -e /etc/none ] || echo none; cat /containers/volumes/full/merged/b") == "none\nb"
    whole = json.loads(ask(system, "cat /etc/whole.json"))
    assert [one["name"] for one in whole["onboot"]] == ["mounting", "keeping", "twice", "twice"]
    assert "name: every" in ask(system, "cat /etc/whole.yml")
    assert "cryptomgr.notests" in ask(system, "cat /proc/cmdline").split()


def test_two_onboots_of_one_name_have_marks_and_logs_of_their_own(system: System) -> None:
    assert ask(system, "cat /var/log/onboot.twice.log /var/log/onboot.003-twice.log") == "the first\nthe second"


def test_the_power_button_takes_the_system_down_in_order(system: System) -> None:
    system.driver.press()
    system.wait_off()
    assert [mark.name for mark in system.milestones][-2:] == ["shutdown", "off"]
    assert "so long" in system.transcript.read_text()
