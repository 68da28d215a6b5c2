"""The dialogue with a boot loader, piece by piece as a line brings it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.board.consoles import CommandSource
from harness.board.faults import LoaderRefusedError
from harness.board.line import ConsoleLine
from harness.board.loader import Dialogue, filled
from harness.board.source import BoardSource
from harness.errors import UserError
from harness.spec.models.board import LoaderStep, Typing

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


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        ("U-Boot", "Bad Linux ARM64 Image magic!"),
        ("U-Boot", "Wrong Image Format for bootm command"),
        ("U-Boot", "Unknown command 'bootii' - try 'help'"),
        ("U-Boot", "TFTP error: 'File not found' (1)"),
        ("GRUB", "error: file `/kernel' not found."),
        ("iPXE", "Could not boot: Exec format error (https://ipxe.org/2e008081)"),
        ("iPXE", "http://10.0.2.2/kernel... Connection refused (https://ipxe.org/0f0a6039)"),
        ("EDK2", "'linux' is not recognized as an internal or external command, operable program, or script file."),
        ("EDK2", 'BdsDxe: failed to load Boot0001 "UEFI HTTPv4": Not Found'),
        ("barebox", "could not open /mnt/tftp/kernel: No such file or directory"),
    ],
)
def test_a_loader_that_refuses_ends_it_at_once_in_its_own_words(loader: str, said: str) -> None:
    dialogue = Dialogue((LoaderStep(wait="=> $", send="go"), LoaderStep(wait="never")), NAMES)
    dialogue.hear(f"{said}\r\n=> ".encode())  # nothing was asked of it yet
    assert not dialogue.refused
    dialogue.hear(f"go\r\n{said}".encode())
    assert not dialogue.refused  # the line may go on
    dialogue.hear(b"\r\n=> ")
    assert dialogue.refused == f"{loader} said {said!r} (step 1 of 2)"


def test_a_step_may_say_itself_what_fails() -> None:
    dialogue = Dialogue((LoaderStep(wait="=> $", send="go", fail=("NAK",)), LoaderStep(wait="done")), NAMES)
    dialogue.hear(b"=> ")
    dialogue.hear(b"error: no matter\n")
    assert not dialogue.refused
    dialogue.hear(b"NAK")
    assert dialogue.refused == "its boot loader said 'NAK' (step 1 of 2)"


def test_what_the_booted_system_says_is_no_refusal() -> None:
    line = ConsoleLine(
        Breath(b"=> go\r\n[    0.000000] Linux version 6\r\nerror: of a program\r\n"),
        Dialogue((LoaderStep(wait="=> ", send="go"),), NAMES),
        restarts=True,
    )
    line.read(0)
    assert line.kernel and not line.dialogue.awaited


def test_a_kernel_before_the_end_of_the_dialogue_is_another_one() -> None:
    source = Breath(b"Hit any\r\n[    0.000000] Linux version 6.1\r\n")
    line = ConsoleLine(source, Dialogue((LoaderStep(wait="=> $", send="go"),), NAMES), restarts=True)
    with pytest.raises(LoaderRefusedError, match=r"before the dialogue .* did not say '=> \$' \(step 1 of 1\)"):
        line.read(0)


def test_keys() -> None:
    steps = (
        LoaderStep(wait="menu", key="down"),
        LoaderStep(wait="again", key="ctrl-c"),
        LoaderStep(wait="edit", key="f10"),
        LoaderStep(wait="last", key="esc"),
    )
    dialogue = Dialogue(steps, NAMES)
    assert dialogue.hear(b"menu again edit last") == b"\x1b[B\x03\x1b[21~\x1b"


def test_a_key_is_pressed_until_it_works() -> None:
    steps = (LoaderStep(wait="U-Boot", key="space", repeat=0.2), LoaderStep(wait="=> *$", send="go"))
    dialogue = Dialogue(steps, NAMES)
    assert dialogue.press(0.0) == b"" and not dialogue.presses
    assert dialogue.hear(b"U-Boot 2023.01", 0.0) == b" " and dialogue.presses
    typed = [dialogue.press(at / 10) for at in range(1, 6)]
    assert typed == [b"", b" ", b"", b" ", b""]
    assert dialogue.hear(b"=>  ", 0.7) == b"go\r"
    assert dialogue.press(1.0) == b"" and not dialogue.presses


def test_a_line_is_entered_once_it_came_back_right() -> None:
    dialogue = Dialogue((LoaderStep(wait="=> ", send="setenv a {cmdline}", echo=True),), NAMES)
    assert dialogue.hear(b"=> ", 1.0) == b"setenv a quiet console=ttyS0"
    assert dialogue.hear(b"setenv a qiet console=ttyS0", 1.5) == b"" and dialogue.awaited
    assert dialogue.press(2.0) == b""
    assert dialogue.press(5.0) == b"\x15setenv a quiet console=ttyS0"
    assert dialogue.hear(b"\r=> setenv a quiet cons\r\nole=ttyS0", 5.1) == b"\r"
    assert not dialogue.awaited


def test_a_line_that_never_comes_back_right_is_not_entered() -> None:
    dialogue = Dialogue((LoaderStep(wait="=> ", send="go", echo=True),), NAMES)
    typed = dialogue.hear(b"=> ", 0.0)
    for at in range(1, 40):
        typed += dialogue.press(float(at))
    assert b"\r" not in typed and "came back otherwise 3 times" in dialogue.refused


class Slow(Breath):
    """Keeps what is typed piece by piece."""

    def __init__(self, said: bytes) -> None:
        super().__init__(said)
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)


@pytest.mark.parametrize(
    ("typing", "pieces"),
    [
        (Typing(), [b"printenv\r"]),
        (Typing(fifo=4), [b"prin", b"tenv", b"\r"]),
        (Typing(character=0.0001), [b"p", b"r", b"i", b"n", b"t", b"e", b"n", b"v", b"\r"]),
    ],
)
def test_it_types_as_fast_as_the_loader_takes_it(typing: Typing, pieces: list[bytes]) -> None:
    source = Slow(b"=> ")
    dialogue = Dialogue((LoaderStep(wait="=> ", send="printenv"),), NAMES)
    ConsoleLine(source, dialogue, restarts=True, baud=115200, typing=typing).read(0)
    assert source.pieces == pieces


UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")


@pytest.mark.boots
@pytest.mark.skipif(not UBOOT.exists(), reason="no u-boot-qemu")
def test_a_real_u_boot(tmp_path: Path) -> None:
    """It is stopped by a key, types back, and refuses what is not a kernel: at once, in its own words."""
    argv = ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "256", "-bios", str(UBOOT), "-display",
            "none", "-serial", "stdio", "-monitor", "none", "-net", "none")  # fmt: skip
    steps = (
        LoaderStep(wait="U-Boot", key="space", repeat=0.2),
        LoaderStep(wait="=> *$", send="setenv bootargs '{cmdline}'", echo=True),
        LoaderStep(wait="=> $", send="booti ${kernel_addr_r} - ${fdtcontroladdr}", echo=True),
        LoaderStep(wait="Starting kernel"),
    )
    source = CommandSource(argv, tmp_path / "log")
    line = ConsoleLine(source, Dialogue(steps, NAMES), restarts=True, typing=Typing(fifo=16))
    heard, end = b"", time.monotonic() + 120
    try:
        with pytest.raises(LoaderRefusedError, match="Bad Linux ARM64 Image magic") as error:
            while time.monotonic() < end:
                heard += line.read(0.2) or b""
    finally:
        line.close()
    assert "step 3 of 4" in error.value.message, heard[-2000:]
