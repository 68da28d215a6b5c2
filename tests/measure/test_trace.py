"""The kernel's trace: no line of it is lost without a word."""

from __future__ import annotations

import pytest

from harness.errors import ImageError
from harness.measure.trace import events

HEAD = b"""[    0.327985] harness: ready counter=19318d4
# tracer: nop
#
# entries-in-buffer/entries-written: %d/%d   #P:1
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
LINES = b"""          <idle>-0       [000] .....     0.000068: initcall_level: level=console
          <idle>-0       [000] .....     0.000068: initcall_start: func=con_init+0x0/0x21c
          <idle>-0       [000] .....     0.000115: initcall_finish: func=con_init+0x0/0x21c ret=0
            init-1       [000] .....     0.001247: initcall_start: func=virtio_init+0x0/0x2c
            init-1       [000] .....     0.001250: initcall_finish: func=virtio_init+0x0/0x2c ret=-19
            init-1       [000] .....     0.001251: initcall_start: func=virtio_init+0x0/0x58
            init-1       [000] .....     0.001252: initcall_finish: func=virtio_init+0x0/0x58 ret=0
  my prog-2-x-79      [000] .N...     0.264535: sys_finit_module(fd: 3, uargs: 59990a, flags: 0)
        modprobe-80      [000] .....     1.271331: sys_finit_module(fd: 3, uargs: 59990a, flags: 0)
        modprobe-80      [000] .....     1.275881: module_load: net_failover E
        modprobe-80      [000] .....     1.275882: initcall_start: func=net_stats+0x0/0x60 [net_failover]
        modprobe-80      [000] .....     1.275884: initcall_finish: func=net_stats+0x0/0x60 [net_failover] ret=0
        modprobe-80      [000] .N...     1.275902: sys_finit_module -> 0x0
  my prog-2-x-79      [000] .....     1.275968: sys_finit_module -> 0xffffffffffffffef
"""
COUNT = LINES.count(b"\n")


def console(lines: bytes = LINES, kept: int = COUNT, written: int = COUNT) -> bytes:
    return HEAD % (kept, written) + lines + b"[    0.357756] harness: shutdown\n"


def test_a_task_s_name_hides_no_pid() -> None:
    assert {event.pid for event in events(console())} == {0, 1, 79, 80}


def test_when_an_event_was_is_told_in_microseconds() -> None:
    times = [event.us for event in events(console())]
    assert (times[0], times[-1], len(times)) == (68, 1_275_968, COUNT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[    0.327985] harness: ready\n", "no trace"),
        (console(LINES.partition(b"\n")[2]), f"{COUNT - 1} of the trace's {COUNT} events"),
        (console(LINES.replace(b"0.001250: init", b"0.00\x00250: init")), f"{COUNT - 1} of the trace's {COUNT}"),
        (console(written=COUNT + 7), "beginning is lost"),
    ],
)
def test_a_trace_that_is_not_whole_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        events(text)
