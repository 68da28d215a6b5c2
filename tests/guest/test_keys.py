"""Keys of the format, looked at from outside: by another container, or by the system itself."""

from __future__ import annotations

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


def test_the_power_button_takes_the_system_down_in_order(system: System) -> None:
    system.driver.press()
    system.wait_off()
    assert [mark.name for mark in system.milestones][-2:] == ["shutdown", "off"]
    assert "so long" in system.transcript.read_text()
