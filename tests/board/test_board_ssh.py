"""An image on a stand-in board whose shell is the image's own SSH server: nothing of the probe is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.launch import boot
from harness.spec import load_image
from harness.system import BootOptions

from .standins import standin

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"


def keypair(path: Path) -> tuple[str, str]:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text()


def image_yaml(private: str, authorized: str) -> dict[str, object]:
    """What makes an image reachable as the system's root: its own server, this harness's key, a host key that stays."""
    binds = ["/etc/resolv.conf:/etc/resolv.conf", "/root/.ssh:/root/.ssh:ro", f"{HOST_KEY}:{HOST_KEY}:ro"]
    server = {"name": "sshd", "image": "sshd", "pid": "host", "capabilities": ["all"], "binds": binds}
    return {
        "onboot": [{"name": "dhcp", "image": "dhcp"}],
        "services": [server],
        "files": [
            {"path": HOST_KEY.lstrip("/"), "contents": private, "mode": "0600"},
            {"path": "root/.ssh/authorized_keys", "contents": authorized, "mode": "0600"},
        ],
    }


def test_over_ssh_a_board_answers_in_the_systems_own_root(tmp_path: Path) -> None:
    private, public = keypair(tmp_path / "host")
    _, authorized = keypair(tmp_path / "id")
    (tmp_path / "ssh.yml").write_text(yaml.safe_dump(image_yaml(private, authorized)))
    spec = load_image([paths.CASES / "images/minimal.yml", tmp_path / "ssh.yml"])
    image = Builder(Settings()).build(spec, by_name("arm64"))
    with standin(tmp_path / "board", forwarded=(22,)) as board:
        port = board.ports[22]
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
        target = {"host": "127.0.0.1", "port": port, "key": str(tmp_path / "id"),
                  "known_hosts": str(tmp_path / "known_hosts")}  # fmt: skip
        options = BootOptions(mode="wall", out=tmp_path / "boot", probe=True, reboot=True)
        with boot(image, board.machine(ssh=target), options) as system:
            system.wait_ready()
            system.prove()
            run = system.shell.run
            assert run("cat /proc/1/comm; pwd; ls -d /containers/services/*").text == (
                "init\n/\n/containers/services/hello\n/containers/services/sshd\n"
            )
            assert any(line.split()[1] == "/" for line in run("cat /proc/mounts").text.splitlines())
            assert system.shell.fast
            before = len(system.milestones)
            system.reboot()
            system.wait_ready(after=before)
            assert run("echo again").text == "again\n"
            assert system.power_off()
        assert not system.record.probed
        assert "rdinit" not in system.record.cmdline
