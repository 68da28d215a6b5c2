"""Switches on loopback: a real snmpd, OpenIPMI's simulator, and the web's kinds by their protocols."""

from __future__ import annotations

import base64
import json
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from harness import tools

from .lab_servers import running

USER, PASSWORD, SECOND = "robin", "brisk-heron-42", "brisk-heron-43"
OID = "1.3.6.1.4.1.99999.1"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@contextmanager
def snmpd(folder: Path) -> Iterator[int]:
    """Run an agent whose object OID is the file ``outlet``; 1 is on, 2 is off. Gives its port."""
    port, outlet = free_udp_port(), folder / "outlet"
    outlet.write_text("2\n")
    # snmpd.conf(5), `pass`: -g OID prints the object, its type and value; -s OID TYPE VALUE sets it
    agent = script(
        folder / "agent", f"case $1 in\n-g) echo $2; echo integer; cat {outlet} ;;\n-s) echo $4 >{outlet} ;;\nesac\n"
    )
    (folder / "snmpd.conf").write_text(
        f"agentaddress udp:127.0.0.1:{port}\nrwcommunity {PASSWORD} 127.0.0.1\n"
        f'createUser {USER} SHA "{PASSWORD}" AES "{SECOND}"\nrwuser {USER} priv\npass .{OID} {agent}\n'
    )
    program = tools.find("snmpd")
    assert program
    argv = ["env", f"SNMP_PERSISTENT_DIR={folder}/state", "MIBS=", program, "-f", "-C", "-Lf", f"{folder}/log",
            "-c", f"{folder}/snmpd.conf", "-p", f"{folder}/pid"]  # fmt: skip
    with running(argv):
        asked = ["snmpget", "-v2c", "-c", PASSWORD, "-r0", "-t1", f"127.0.0.1:{port}", OID]
        assert any(subprocess.run(asked, check=False, capture_output=True).returncode == 0 for _ in range(20))
        yield port


@contextmanager
def ipmi_sim(folder: Path, more: str = "") -> Iterator[int]:
    """Run OpenIPMI's simulator of a management controller, whose chassis is the file ``chassis``. Gives its port.

    `more` are lines of its configuration.
    """
    port, chassis = free_udp_port(), folder / "chassis"
    chassis.write_text("0\n")
    (folder / "state").mkdir()
    hand = script(
        folder / "hand", f'case $1 in\nget) echo "power:$(cat {chassis})" ;;\nset) echo $3 >{chassis} ;;\nesac\n'
    )
    (folder / "lan.conf").write_text(
        f'name "board"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\n'
        f"allowed_auths_admin md5\nguid a123456789abcdefa123456789abcdef\nendlan\n{more}"
        f'chassis_control "{hand}"\nuser 2 true "{USER}" "{PASSWORD}" admin 10\n'
    )
    (folder / "sim.emu").write_text(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n"
    )
    argv = ["ipmi_sim", "-n", "-c", f"{folder}/lan.conf", "-f", f"{folder}/sim.emu", "-s", f"{folder}/state"]
    with running(argv):
        end = time.monotonic() + 20
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        yield port


@dataclass
class Web:
    """What a switch of the web was asked, and how it stands."""

    url: str = ""
    on: bool = False
    stuck: bool = False  # takes requests, and does nothing
    systems: tuple[str, ...] = ("1",)
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, target: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        """Return status and body: a plain switch, a pdudaemon and a Redfish service in one."""
        self.asked.append(f"{method} {target} {body}".strip())
        parts, query = urlsplit(target), parse_qs(urlsplit(target).query)
        if parts.path.startswith("/redfish/"):
            return self._redfish(method, parts.path, headers, body)
        if parts.path.startswith("/power/control/"):  # pdudaemon's httplistener.py
            good = query.get("hostname") == ["rack-1"] and query.get("port") == ["3"]
            self.on = parts.path.endswith("/on") if good else self.on
            return (200, "OK - accepted request\n") if good else (500, "Invalid request\n")
        if parts.path.startswith("/labgrid/3"):  # its backend `simplerest`: /INDEX/VALUE sets, /INDEX asks
            value = parts.path.removeprefix("/labgrid/3").strip("/")
            self.on = value == "1" if value else self.on
            return 200, str(int(self.on))
        if parts.path == "/token" and headers.get("authorization") != f"Bearer {PASSWORD}":
            return 401, "who?\x1b[2J"
        self.on = "on" in query.get("turn", [body])
        return 200, "done"

    def _redfish(self, method: str, path: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("authorization") != f"Basic {login}":
            return 401, "{}"
        root = "/redfish/v1/Systems"
        if path == root:
            return 200, json.dumps({"Members": [{"@odata.id": f"{root}/{name}"} for name in self.systems]})
        reset = f"{root}/1/Actions/ComputerSystem.Reset"
        if path == reset and method == "POST":
            kind = json.loads(body)["ResetType"]
            if kind not in ("On", "ForceOff") or (kind == "On") == self.on:
                return 400, "it is so already"
            self.on = self.on if self.stuck else kind == "On"
            return 204, ""
        if path == f"{root}/1":
            state = {"PowerState": "On" if self.on else "Off", "Actions": {"#ComputerSystem.Reset": {"target": reset}}}
            return 200, json.dumps(state)
        return 404, "{}"


@contextmanager
def web() -> Iterator[Web]:
    """Serve a `Web` on loopback."""
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            headers = {key.lower(): value for key, value in self.headers.items()}
            status, text = state.answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = _any  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
