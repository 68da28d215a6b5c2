"""An image that waits for a person on its console: what it shows there is the shell, and no probe is beside it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.launch import boot
from harness.spec import load_image
from harness.system import BootOptions

from .standins import standin

pytestmark = [pytest.mark.boots, pytest.mark.builds]


def test_the_shell_of_a_getty_is_left_for_the_systems_own_root(tmp_path: Path) -> None:
    image = Builder(Settings()).build(load_image([paths.CASES / "images/default.yml"]), by_name("arm64"))
    options = BootOptions(mode="wall", out=tmp_path / "boot", probe=True, reboot=True)
    with standin(tmp_path / "board", forwarded=(80,)) as board, boot(image, board.machine(), options) as system:
        system.wait_ready()
        system.prove()
        assert "/containers/services/getty\n" in system.shell.run("pwd; ls -d /containers/services/*").text
        ignored = int(system.shell.run("grep SigIgn /proc/self/status").text.split()[1], 16)
        assert not ignored & 1 << (signal.SIGINT - 1), "Ctrl-C would end nothing there"
        before = len(system.milestones)
        system.reboot()
        system.wait_ready(after=before)
        assert system.shell.run("echo again").text == "again\n"
        assert system.power_off()
    assert not system.record.probed
