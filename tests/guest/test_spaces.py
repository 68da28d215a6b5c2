"""Namespaces in the booted image: interfaces made for containers and moved into them, and namespaces kept by a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions, System

SPACES = Path(__file__).with_name("spaces.yml")


@pytest.fixture(scope="module")
def system(built: Callable[[Path], Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system, at ready."""
    options = BootOptions(mode="wall", out=tmp_path_factory.mktemp("spaces"), probe=True)
    with boot(built(SPACES), load_machine(paths.MACHINES / "qemu-arm64.yml"), options) as found:
        found.wait_ready()
        yield found


def ask(system: System, command: str) -> str:
    return system.shell.run(command, check=True).text.strip()


def test_interfaces_are_there_when_the_container_starts(system: System) -> None:
    assert ask(system, "cat /var/log/onboot.maker.log") == "carried implied inner inside lo"
    root = ask(system, "ls /sys/class/net").split()
    assert {"outer", "behind"} <= set(root) and not {"inside", "carried", "inner", "implied"} & set(root)


def test_a_pair_leads_from_the_container_to_the_root(system: System) -> None:
    for inner, outer in (("inner", "outer"), ("implied", "behind")):
        shown = ask(system, f"nsenter --net=/run/netns/made ip -o link show {inner}")
        assert f" {inner}@if{ask(system, f'cat /sys/class/net/{outer}/ifindex')}: " in shown


def test_a_kept_namespace_is_joined_by_whoever_names_its_path(system: System) -> None:
    assert ask(system, "cat /var/log/joiner.log") == "made\ncarried implied inner inside lo"
    pid = ask(system, "cat /run/harness/joiner.pid")
    for space, path in (("net", "/run/netns/made"), ("uts", "/etc/uts")):
        kept = ask(system, f"stat -L -c %i {path}")
        assert kept == ask(system, f"stat -L -c %i /proc/{pid}/ns/{space}")
        assert kept != ask(system, f"stat -L -c %i /proc/1/ns/{space}")
    kinds = "for one in ipc mnt cg; do stat -f -c %t /run/netns/$one; done"
    assert set(ask(system, kinds).split()) == {"6e736673"}, "nsfs"


def test_a_service_that_starts_again_has_its_interfaces_again(system: System) -> None:
    assert ask(system, "cat /var/log/mover.log") == "eth0 in lo"
    assert "eth0" not in ask(system, "ls /sys/class/net").split()
    count = len(system.milestones)
    system.shell.run("kill -9 $(cat /run/harness/mover.pid)", check=True)
    system.wait_for("services/mover start", after=count)
    ask(system, "until [ $(grep -c 'eth0 in lo' /var/log/mover.log) = 2 ]; do usleep 20000; done")
    pid = ask(system, "cat /run/harness/mover.pid")
    for space in ("pid", "net"):
        path = f"/run/netns/{'moved' if space == 'net' else space}"
        assert ask(system, f"stat -L -c %i {path}") == ask(system, f"stat -L -c %i /proc/{pid}/ns/{space}")
