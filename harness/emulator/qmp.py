"""The few words of QEMU's machine protocol that wall boots need: reset, the power button, forwarded ports."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any

from harness.errors import MachineError
from harness.text import of_error

ANSWER_S = 20.0
MOST_ANSWER = 1 << 20  # bytes
MOST_SHOWN = 200  # bytes of what is not an answer
_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)")


class Qmp:
    """A connection to QEMU's monitor; made on a socket, greeted at the first command."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._greeted = False
        self._read = b""
        self._reset = False

    def execute(self, command: str, **arguments: str) -> Any:
        """Run a command and return its result; MachineError when QEMU refuses, is gone, or does not answer."""
        self.greet()
        return self._call(command, arguments)

    def greet(self) -> None:
        """Make QEMU listen, and tell of its end."""
        if not self._greeted:
            self._greeted = True
            self._call("qmp_capabilities", {})

    def ended_by_reset(self) -> bool:
        """Say of a QEMU that has ended, and was greeted, whether a reset or reboot ended it.

        MachineError when its monitor cannot be understood.
        """
        try:
            self._socket.settimeout(ANSWER_S)
            while not self._reset:
                self._hear()
        except ConnectionError:
            pass  # its end: all is heard
        except (OSError, ValueError) as error:
            raise MachineError(
                f"whether a reset ended QEMU is not known, for its monitor failed: {of_error(error)}"
            ) from error
        return self._reset

    def forwards(self) -> dict[int, int]:
        """Return the forwarded ports, the guest's to the one on 127.0.0.1."""
        text = str(self.execute("human-monitor-command", **{"command-line": "info usernet"}))
        return {int(inside): int(outside) for outside, inside in _FORWARD.findall(text)}

    @property
    def closed(self) -> bool:
        """Whether the connection has been let go of."""
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()

    def _call(self, command: str, arguments: dict[str, str]) -> Any:
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            end = time.monotonic() + ANSWER_S
            while time.monotonic() < end:
                answer = self._hear()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise MachineError(f"QEMU refused {command}: {_field(answer['error'], 'desc') or answer['error']}")
        except (OSError, ValueError) as error:
            raise MachineError(f"QEMU's monitor did not take {command}: {of_error(error)}") from error
        raise MachineError(f"QEMU's monitor did not answer {command}")

    def _hear(self) -> dict[str, Any]:
        line = self._line()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ValueError(f"it says {line[:MOST_SHOWN].decode(errors='replace')!r}")
        if answer.get("event") == "SHUTDOWN":
            self._reset = "reset" in str(_field(answer.get("data"), "reason"))
        return answer

    def _line(self) -> bytes:
        while b"\n" not in self._read:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionResetError("the connection ended")
            self._read += piece
            if len(self._read) > MOST_ANSWER:
                raise ValueError(f"it says more than {MOST_ANSWER >> 10} KiB in one line")
        line, _, self._read = self._read.partition(b"\n")
        return line


def _field(data: object, name: str) -> object:
    return data.get(name) if isinstance(data, dict) else None
