"""The standard cases run unchanged on a board, however it is reached, with the verdicts of QEMU's plain machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import paths

from .lab_servers import ser2net, sshd
from .standins import Standin, standin
from .test_board_ssh import image_yaml, keypair

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()", "matrix"]
PORTS = (22, 80)
# what a person would type on the machine that the line is plugged into
ATTACHED = "stty raw -echo; cat {tty} & exec cat >{tty}"


@dataclass(frozen=True)
class Lab:
    """An image with an SSH server, the folder of its keys, and what came of its cases on QEMU's own machine."""

    folder: Path
    image: Path
    cell: dict[str, Any]
    outcomes: dict[str, str]

    def ssh(self, board: Standin) -> dict[str, object]:
        """The way into the image that runs on `board`."""
        public = (self.folder / "host.pub").read_text()
        known = board.folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{board.ports[22]} {public}")
        return {"host": "127.0.0.1", "port": board.ports[22], "key": str(self.folder / "id"), "known_hosts": str(known)}


def run(folder: Path, image: Path, machine: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Run the cases; return the cell of the results, and the cases' outcomes by name."""
    argv = [*HARNESS, "--image", str(image), "--machine", machine, "--results", "out", "--no-history", "-n", "1"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads((folder / "out/results.json").read_text())["cells"]
    events = map(json.loads, (folder / "out/events.jsonl").read_text().splitlines())
    return dict(cell), {row["case"].partition("[")[0]: row["outcome"] for row in events if row["event"] == "case"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("plain")
    private, _ = keypair(folder / "host")
    _, authorized = keypair(folder / "id")
    minimal = yaml.safe_load((paths.CASES / "images/minimal.yml").read_text())
    more: dict[str, Any] = image_yaml(private, authorized)
    services = [*minimal["services"], *more.pop("services"), {"name": "nginx", "image": "nginx"}]
    image = folder / "reached.yml"
    image.write_text(yaml.safe_dump({**minimal, **more, "services": services}))
    return Lab(folder, image, *run(folder, image, "qemu-arm64"))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Standin]:
    with standin(tmp_path / "board", forwarded=PORTS) as made:
        yield made
        assert not made.is_on


def same_verdicts(lab: Lab, board: Standin, folder: Path, **keys: object) -> None:
    """The cases have the plain machine's outcomes, but for those that count instructions: these are skipped."""
    ports = [f"{outside}:{inside}" for inside, outside in board.ports.items()]
    machine = board.machine(address="127.0.0.1", ports=ports, **keys)
    cell, outcomes = run(folder, lab.image, str(machine.path))
    assert (cell["status"], cell["root_readonly"]) == (lab.cell["status"], lab.cell["root_readonly"])
    assert (cell["status"], cell["root_readonly"]) == ("passed", True)
    assert cell["boot"]["exact"] == {"ready": None, "power_on": None, "figures": {}, "key": {}, "moved": ""}
    assert cell["boot"]["wall"]["ready"] > 0
    assert cell["exact_repeats"] is None
    assert outcomes.keys() == lab.outcomes.keys()
    others = {case: outcome for case, outcome in outcomes.items() if outcome != lab.outcomes[case]}
    assert set(others.values()) == {"skipped"}
    assert all("test_boot.py" in case for case in others)
    assert {case.rpartition("::")[2] for case, outcome in outcomes.items() if outcome == "passed"} >= {
        "test_web_server_answers_the_host",
        "test_ssh_server_greets_the_host",
        "test_reboot_is_clean",
    }


@pytest.mark.long
def test_over_the_serial_line_alone(lab: Lab, board: Standin, tmp_path: Path) -> None:
    same_verdicts(lab, board, tmp_path)


@pytest.mark.long
def test_over_ssh_alone(lab: Lab, board: Standin, tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    with sshd(tmp_path / "gate") as gate:
        keys = {key: str(gate.folder / file) for key, file in (("key", "id"), ("known_hosts", "known_hosts"))}
        target = json.loads(gate.target(**keys).model_dump_json(exclude_defaults=True))
        console = {"ssh": {**target, "command": ATTACHED.format(tty=board.folder / "tty")}}
        same_verdicts(lab, board, tmp_path, console=console, ssh=lab.ssh(board))


@pytest.mark.long
def test_over_the_serial_line_and_ssh(lab: Lab, board: Standin, tmp_path: Path) -> None:
    same_verdicts(lab, board, tmp_path, ssh=lab.ssh(board))


@pytest.mark.long
def test_over_the_shell_of_a_getty(board: Standin, tmp_path: Path) -> None:
    """The getty's shell is the way in, and one of the cases kills the getty."""
    ports = [f"{outside}:{inside}" for inside, outside in board.ports.items()]
    machine = board.machine(address="127.0.0.1", ports=ports)
    cell, outcomes = run(tmp_path, paths.CASES / "images/default.yml", str(machine.path))
    assert (cell["status"], cell["root_readonly"]) == ("passed", True)
    assert outcomes["cases/test_services.py::test_killed_services_come_back"] == "passed"


@pytest.mark.long
def test_behind_a_ser2net(lab: Lab, board: Standin, tmp_path: Path) -> None:
    with ExitStack() as stack:
        ports = stack.enter_context(ser2net(tmp_path, str(board.folder / "tty")))
        same_verdicts(lab, board, tmp_path, console={"serial": f"rfc2217://127.0.0.1:{ports['rfc2217']}"})
