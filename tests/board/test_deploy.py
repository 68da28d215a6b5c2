"""How an image gets to a board: by a program, by TFTP that the harness serves, by kexec in what runs there."""

from __future__ import annotations

import json
import socket
import struct
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import tools
from harness.board.deploy import Bench, bring, gather
from harness.boot import BootOptions, boot
from harness.errors import HostError, MachineError
from harness.image import Image
from harness.spec.board import Board

from .lab_servers import sshd
from .standins import PROGRAM, standin

CONSOLE = {"serial": "/dev/null"}
KEXEC = """#!/bin/sh
# as kexec(8): what is loaded is started later
case $1 in
  -l) cp "$2" {boot}/kernel; cp "${{3#--initrd=}}" {boot}/initrd; echo "${{4#--command-line=}}" >{boot}/cmdline ;;
  -e) {python} {program} {folder} kexec ;;
esac
"""


def bench(folder: Path, stack: ExitStack, **deploy: object) -> Bench:
    board = Board.model_validate({"console": CONSOLE, "deploy": deploy}, by_alias=True, by_name=False)
    return Bench(board, folder, folder, stack)


def fetch(name: str) -> bytes:
    """Fetch a file of at most a block by TFTP (RFC 1350)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(10)
        end.sendto(struct.pack(">H", 1) + name.encode() + b"\0octet\0", ("127.0.0.1", 69))
        answer, server = end.recvfrom(2048)
        end.sendto(answer[:2] and struct.pack(">HH", 4, 1), server)
    code, number = struct.unpack(">HH", answer[:4])
    assert (code, number) == (3, 1), answer
    return answer[4:]


def test_a_program_gets_the_files_and_the_kernels_words(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"kernel")
    (tmp_path / "i").write_bytes(b"initrd12")
    files = gather(tmp_path / "k", [tmp_path / "i", tmp_path / "i"], "quiet; 'x'", tmp_path / "files")
    script = 'cat "$1" "$2" "$4/cmdline"; printf %s "$3"'
    with ExitStack() as stack:
        words = ("sh", "-c", f"({script}) >out", "sh", "{kernel}", "{initrd}", "{cmdline}", "{folder}")
        bring(bench(tmp_path, stack, command=words), files)
    assert (tmp_path / "out").read_bytes() == b"kernelinitrd12initrd12quiet; 'x'\nquiet; 'x'"


def test_a_program_that_fails_is_the_machines_fault(tmp_path: Path) -> None:
    files = gather(None, [], "", tmp_path / "files")
    with ExitStack() as stack, pytest.raises(MachineError, match=r"cannot be brought there: .*sh failed") as caught:
        bring(bench(tmp_path, stack, command=("sh", "-c", "echo no card >&2; exit 1")), files)
    assert "no card" in caught.value.details


@pytest.mark.skipif(not tools.find("dnsmasq"), reason="no dnsmasq")
def test_files_are_served_while_the_board_boots(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"kernel")
    files = gather(tmp_path / "k", [], "quiet", tmp_path / "files")
    net = {"interface": "lo", "range": "127.0.0.10,127.0.0.20", "file": "kernel"}
    with ExitStack() as stack:
        try:
            bring(bench(tmp_path, stack, netboot=net), files)
        except HostError as error:
            if "Permission denied" in error.details or "Operation not permitted" in error.details:
                pytest.skip("DHCP and TFTP need root here")
            raise
        assert fetch("kernel") == b"kernel"
        assert fetch("cmdline") == b"quiet\n"
    with pytest.raises((TimeoutError, ConnectionError)):
        fetch("kernel")


@pytest.mark.skipif(not tools.find("dnsmasq"), reason="no dnsmasq")
def test_a_host_that_cannot_serve_says_what_to_do(tmp_path: Path) -> None:
    files = gather(None, [], "", tmp_path / "files")
    with ExitStack() as stack, pytest.raises(HostError, match="cannot be served on nosuch0") as caught:
        bring(bench(tmp_path, stack, netboot={"interface": "nosuch0", "range": "10.0.0.1,10.0.0.9"}), files)
    assert "nosuch0" in caught.value.details
    assert "setcap" in caught.value.hint


@pytest.mark.skipif(not tools.find("sshd"), reason="no sshd")
def test_the_system_on_the_board_starts_the_image_by_kexec(tmp_path: Path, minimal: Image) -> None:
    programs, keys = tmp_path / "programs", tmp_path / "keys"
    programs.mkdir()
    keys.mkdir()
    with standin(tmp_path / "board", firmware="linux") as board:
        script = KEXEC.format(boot=board.folder / "boot", folder=board.folder, python=sys.executable, program=PROGRAM)
        (programs / "kexec").write_text(script)
        (programs / "kexec").chmod(0o755)
        with sshd(keys, f"SetEnv PATH={programs}:/usr/bin:/bin\n") as server:
            named = server.target(key=str(keys / "id"), known_hosts=str(keys / "known_hosts"))
            target = json.loads(named.model_dump_json(exclude_defaults=True))
            spec = board.machine(deploy={"kexec": True}, ssh=target)
            options = BootOptions(mode="wall", out=tmp_path / "boot", probe=True)
            with boot(minimal, spec, options) as system:
                system.wait_ready()
                system.prove()
                assert system.shell.run("echo there").text == "there\n"
                assert "Linux of the board's own" in system.transcript.read_text()
        assert not board.is_on
