"""QEMU's monitor on bad days: what it says is understood or told, never passed over."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from harness.emulator import qmp as module
from harness.emulator.qmp import MOST_ANSWER, Qmp
from harness.errors import MachineError

Ends = tuple[Qmp, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Give the harness's end of a monitor and QEMU's."""
    ours, theirs = socket.socketpair()
    monitor = Qmp(ours)
    yield monitor, theirs
    monitor.close()
    theirs.close()


def shutdown(reason: str) -> bytes:
    return b'{"event": "RESUME"}\n{"event": "SHUTDOWN", "data": {"guest": true, "reason": "%s"}}\n' % reason.encode()


@pytest.mark.parametrize(
    ("said", "reset"),
    [
        (shutdown("guest-reset"), True),
        (shutdown("host-qmp-system-reset"), True),
        (shutdown("guest-shutdown"), False),
        (b'{"event": "SHUTDOWN", "data": 3}\n', False),
        (b"", False),
    ],
)
def test_the_reason_of_an_end_is_heard(ends: Ends, said: bytes, reset: bool) -> None:
    monitor, theirs = ends
    theirs.sendall(said)
    theirs.close()
    assert monitor.ended_by_reset() is reset


def test_a_qemu_that_ended_with_a_command_unread_has_ended(ends: Ends) -> None:
    monitor, theirs = ends
    monitor._socket.sendall(b'{"execute": "qmp_capabilities"}\n')
    theirs.close()
    assert not monitor.ended_by_reset()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b'{"event": "SHUTD\xff\n', 'it says \'{"event": "SHUTD'),
        (b"[1]\n", r"it says '\[1\]'"),
        (b"[" * 100_000 + b"\n", r"it says '\[\[\["),
    ],
    ids=["spoilt", "no object", "deep"],
)
def test_a_garbled_monitor_is_no_monitor_that_told_of_no_reset(ends: Ends, said: bytes, words: str) -> None:
    monitor, theirs = ends
    theirs.sendall(said + shutdown("guest-reset"))
    theirs.close()
    with pytest.raises(MachineError, match=words):
        monitor.ended_by_reset()


def test_a_monitor_that_never_ends_its_line_is_given_up(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, theirs = ends
    monkeypatch.setattr(module, "MOST_ANSWER", 1000)
    assert MOST_ANSWER > 1000
    theirs.sendall(b"x" * 2000)
    with pytest.raises(MachineError, match="in one line"):
        monitor.ended_by_reset()


def test_a_monitor_that_says_nothing_is_not_taken_for_one_that_ended(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor, _ = ends
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    with pytest.raises(MachineError, match="timed out"):
        monitor.ended_by_reset()


def test_a_refusal_is_told_in_qemu_s_words(ends: Ends) -> None:
    monitor, theirs = ends
    theirs.sendall(b'{"return": {}}\n{"error": {"class": "GenericError", "desc": "not now"}}\n{"error": 7}\n')
    for words in ("QEMU refused system_reset: not now", "QEMU refused system_reset: 7"):
        with pytest.raises(MachineError, match=words):
            monitor.execute("system_reset")
