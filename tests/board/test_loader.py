"""The dialogue with a boot loader, piece by piece as a line brings it."""

from __future__ import annotations

import pytest

from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue, filled
from harness.board.source import BoardSource
from harness.errors import UserError
from harness.spec.models.board import LoaderStep

FILES = {"kernel": "/srv/kernel", "initrd": "/srv/initrd", "folder": "/srv", "here": "/lab"}
NAMES = {**FILES, "cmdline": "quiet console=ttyS0"}
STEPS = (
    LoaderStep(wait="Hit any key", send=" ", enter=False),
    LoaderStep(wait="=> $", send="setenv bootargs '{cmdline}'; load ${kernel_addr_r} {{x}}"),
    LoaderStep(wait=r"Starting kernel \.\.\."),
)


def test_it_answers_in_order_whatever_the_pieces() -> None:
    dialogue = Dialogue(STEPS, NAMES)
    text = b"=> U-Boot\r\nHit \x1b[1many\x1b[0m key: 3\r\n=> "
    typed = [dialogue.hear(text[at : at + 1]) for at in range(len(text))]
    assert b"".join(typed) == b" setenv bootargs 'quiet console=ttyS0'; load ${kernel_addr_r} {{x}}\r"
    assert "'Starting kernel \\\\.\\\\.\\\\.' (step 3 of 3)" in dialogue.awaited
    assert dialogue.hear(b"Starting kernel ...") == b""
    assert dialogue.awaited == ""
    assert dialogue.hear(text) == b""  # the system that was started may say what it likes


def test_several_steps_in_one_piece() -> None:
    dialogue = Dialogue((LoaderStep(wait="a", send="1"), LoaderStep(wait="b", send="2")), NAMES)
    assert dialogue.hear(b"ab") == b"1\r2\r"
    dialogue.begin()
    assert dialogue.hear(b"b") == b""


@pytest.mark.parametrize("words", ["a; reset", "a' b", "$(x)", "a\nb", "a\x1b[A", "`x`", "a&b", "a|b", '"'])
def test_a_command_line_cannot_give_the_boot_loader_orders(words: str) -> None:
    with pytest.raises(UserError, match="would take for its own"):
        Dialogue(STEPS, {**NAMES, "cmdline": words})


def test_names_of_others_stay() -> None:
    assert filled("${cmdline} {cmdlin} {folder}/x {here}", NAMES) == "${cmdline} {cmdlin} /srv/x /lab"


class Breath(BoardSource):
    """Says all it has to say in one piece, and keeps what is typed."""

    why = ""

    def __init__(self, said: bytes) -> None:
        self.said, self.typed = [said], b""

    def read(self, timeout: float) -> bytes | None:
        return self.said.pop() if self.said else b""

    def write(self, data: bytes) -> None:
        self.typed += data

    def close(self) -> None:
        """Nothing to let go of."""


def test_a_board_that_restarts_and_greets_in_one_breath_is_answered() -> None:
    steps = (LoaderStep(wait="stop autoboot", send="x", enter=False),)
    source = Breath(b"[    9.123456] reboot: Restarting system\r\nBootRom\r\nHit any key to stop autoboot:  2 ")
    line = ConsoleLine(source, Dialogue(steps, NAMES), restarts=True)
    line.dialogue.hear(b"stop autoboot")
    assert not line.dialogue.awaited
    line.read(0)
    assert source.typed == b"x" and not line.off
