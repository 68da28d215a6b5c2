"""What a person sees of a console: no mark of the harness's, and all else as soon as it can be none."""

from __future__ import annotations

import pytest

from harness.system.screen import Screen

STREAM = (
    b"[    0.100000] Linux version 6\r\n[    1.234567] harness: onboot/dhcp start\r\nbanner\r\n~ # ls [a-z]\r\n"
    b"~ # [    2.000001][   T1] harness: ready\r\n"
    b"[    3.000000] harnessed: not ours\r\n[    4.5] no stamp\r\nend [ 5.12"
)
SEEN = (
    b"[    0.100000] Linux version 6\r\nbanner\r\n~ # ls [a-z]\r\n~ # [    3.000000] harnessed: not ours\r\n"
    b"[    4.5] no stamp\r\nend [ 5.12"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 13, 40, len(STREAM)])
def test_marks_are_left_out_however_the_bytes_come(size: int) -> None:
    screen = Screen()
    seen = b"".join(screen.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size))
    assert screen.idle() == b""  # something has just come
    assert seen + screen.idle() == SEEN


def test_nothing_is_held_back_that_can_be_no_mark() -> None:
    screen = Screen()
    assert screen.feed(b"[") + screen.feed(b" -f x ]") == b"[ -f x ]"
    for typed in (b"~ # ", b"\x1b[1;32m", b"[x", b"[ 12.5 s]", b"[    1.000000] other"):
        assert screen.feed(typed) == typed
    assert screen.feed(b"[    1.000000] har") == b""
    assert screen.feed(b"d disk") == b"[    1.000000] hard disk"


def test_what_was_held_back_comes_when_nothing_follows() -> None:
    screen = Screen()
    assert screen.feed(b"load [ 1.2") == b"load "
    assert [screen.idle(), screen.idle(), screen.idle()] == [b"", b"[ 1.2", b""]
