"""How an image gets to a board: by a program, by TFTP that the harness serves, by kexec in what runs there."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest

from harness import paths, tools
from harness.arch import by_name
from harness.board.deploy import Deployment, bring, gather
from harness.board.webserver import MOST_CLIENTS, serving
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import HostError, MachineError, UserError
from harness.image import Image
from harness.launch import boot
from harness.spec import load_image
from harness.spec.models.board import Board
from harness.system import BootOptions

from .lab_servers import free_port, sshd
from .standins import PROGRAM, standin

CONSOLE = {"serial": "/dev/null"}
KEXEC = """#!/bin/sh
# as kexec(8): what is loaded is started later
case $1 in
  -l) cp "$2" {boot}/kernel; cp "${{3#--initrd=}}" {boot}/initrd; echo "${{4#--command-line=}}" >{boot}/cmdline ;;
  -e) {python} {program} {folder} kexec ;;
esac
"""


def bench(folder: Path, stack: ExitStack, **deploy: object) -> Deployment:
    board = Board.model_validate({"console": CONSOLE, "deploy": deploy}, by_alias=True, by_name=False)
    return Deployment(board, folder, folder, stack)


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
@pytest.mark.servers
def test_files_are_served_while_the_board_boots(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"kernel")
    files = gather(tmp_path / "k", [], "quiet", tmp_path / "files")
    port = free_port()
    net = {"interface": "lo", "range": "127.0.0.10,127.0.0.20", "file": "kernel", "http": port}
    with ExitStack() as stack:
        try:
            bring(bench(tmp_path, stack, netboot=net), files)
        except HostError as error:
            if "Permission denied" in error.details or "Operation not permitted" in error.details:
                pytest.skip("DHCP and TFTP need root here")
            raise
        assert fetch("kernel") == b"kernel"
        assert fetch("cmdline") == b"quiet\n"
        assert asked(port, "/kernel")[1] == b"kernel"
    with pytest.raises((TimeoutError, ConnectionError)):
        fetch("kernel")


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, int]:
    """The answer's status, its bytes, and how many it announces."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.read(), int(answer.getheader("Content-Length", "-1"))


def test_files_and_nothing_else_are_served_by_http_while_the_board_boots(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"kernel")
    (tmp_path / "secret").write_text("x")
    files = gather(tmp_path / "k", [], "quiet", tmp_path / "files")
    port = free_port()
    with ExitStack() as stack:
        served = bring(bench(tmp_path, stack, http={"address": "127.0.0.1", "port": port}), files)
        assert served.names["url"] == f"http://127.0.0.1:{port}"
        assert asked(port, "/kernel") == (200, b"kernel", 6)
        assert asked(port, "/kernel", "HEAD") == (200, b"", 6)
        assert asked(port, "/kernel", Range="bytes=2-3") == (206, b"rn", 2)
        assert asked(port, "/kernel", Range="bytes=4-") == (206, b"el", 2)
        assert asked(port, "/kernel", Range="bytes=6-")[0] == 416
        assert asked(port, "/boot.ipxe")[1] == b"#!ipxe\nkernel kernel quiet\ninitrd initrd\nboot\n"
        for path in ("/", "/../secret", "/%2e%2e/secret", "//secret", "/..", "/files/kernel", "/initrd", "/\x1b[2J"):
            assert asked(port, quote(path, safe="/%."))[0] == 404, path
        assert asked(port, "/kernel", "PUT")[0] == 501
        with pytest.raises(HostError, match=rf"by HTTP at 127\.0\.0\.1, port {port}: .*in use"):
            bring(bench(tmp_path, stack, http={"address": "127.0.0.1", "port": port}), files)
    with pytest.raises(ConnectionRefusedError):
        asked(port, "/kernel")
    assert '"GET /kernel HTTP/1.1" 200' in (tmp_path / "http.log").read_text()


def test_many_clients_are_turned_away_and_a_slow_one_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(b"kernel")
    with ExitStack() as stack:
        port = int(stack.enter_context(serving(tmp_path, "127.0.0.1", 0, tmp_path / "log")).rpartition(":")[2])
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(MOST_CLIENTS)]
        for one in slow[1:]:
            one.sendall(b"GET /kernel HTTP/1.1\r\n")
        slow.pop(0).close()
        end = time.monotonic() + 10
        while True:  # until the one that has gone is noticed
            try:
                assert asked(port, "/kernel")[:2] == (200, b"kernel")
                break
            except (ConnectionError, http.client.HTTPException):
                assert time.monotonic() < end
        assert any(turned_away(stack, port) for _ in range(3))


def turned_away(stack: ExitStack, port: int) -> bool:
    """Connect, and stay; the place of one that has just gone may still be to be had."""
    one = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    one.settimeout(1)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False


def test_what_a_boot_loader_would_misread_is_not_served(tmp_path: Path) -> None:
    files = gather(None, [], "a && b", tmp_path / "files")
    with ExitStack() as stack, pytest.raises(UserError, match="would take for its own: 'a && b'"):
        bring(bench(tmp_path, stack, http={"address": "127.0.0.1", "port": free_port()}), files)


IPXE_ROM = Path("/usr/lib/ipxe/qemu/efi-virtio.rom")


@pytest.mark.long  # a PC's firmware and iPXE take their time under emulation
@pytest.mark.skipif(not IPXE_ROM.exists(), reason="no iPXE")
def test_a_board_boots_over_http_by_ipxe(tmp_path: Path) -> None:
    image = Builder(Settings()).build(load_image([paths.CASES / "images/minimal.yml"]), by_name("x86_64"))
    port = free_port()
    # the address at which QEMU's guests find this host's loopback
    network = f"user,id=net,bootfile=http://10.0.2.2:{port}/boot.ipxe"
    pc = ["qemu-system-x86_64", "-machine", "q35,graphics=off", "-cpu", "qemu64,+rdrand", "-m", "256M", "-accel", "tcg",
          "-boot", "n", "-netdev", network, "-device", "virtio-net-pci,netdev=net"]  # fmt: skip
    with standin(tmp_path / "board", pc, firmware="network") as board:
        spec = board.machine(arch="x86_64", deploy={"http": {"address": "127.0.0.1", "port": port}})
        with boot(image, spec, BootOptions(mode="wall", out=tmp_path / "boot", probe=True)) as system:
            system.wait_ready()
            system.prove()
            assert system.shell.run("uname -m").text == "x86_64\n"
            assert system.power_off()


@pytest.mark.skipif(not tools.find("dnsmasq"), reason="no dnsmasq")
@pytest.mark.servers
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
                # its words are kept, and are not of the boot
                assert "Linux of the board's own" not in system.transcript.read_text()
                assert "Linux of the board's own" in (options.out / "before.txt").read_text()
        assert not board.is_on
