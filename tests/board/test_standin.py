"""An image on a board that stands in for a real one, over its serial line alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import tools
from harness.errors import ImageError, MachineError, UserError
from harness.image import Image
from harness.launch import boot
from harness.system import BootOptions

from .lab_servers import ser2net
from .standins import DIALOGUE, Standin, standin

pytestmark = pytest.mark.boots


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Standin]:
    with standin(tmp_path / "board") as made:
        yield made


def options(out: Path, **more: object) -> BootOptions:
    return BootOptions(mode="wall", out=out / "boot", **{"probe": True, "reboot": True, **more})  # type: ignore[arg-type]


def test_over_the_serial_line_a_board_boots_answers_reboots_and_goes_off(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board", firmware="loader") as board:
        spec = board.machine(loader=DIALOGUE)
        with boot(minimal, spec, options(tmp_path)) as system:
            assert system.wait_ready().host_s > 0
            system.driver.prove(system)
            run = system.shell.run
            assert run("printf 'a\\0b\\377\\r\\n'; exit 3").stdout == b"a\0b\xff\r\n"
            assert run("pwd; id -u; echo $TERM; exit 4").text == "/\n0\ndumb\n"
            assert not system.shell.fast
            before, old = len(system.milestones), run("cat /proc/sys/kernel/random/boot_id").text
            system.reboot()
            system.wait_ready(after=before)
            assert run("cat /proc/sys/kernel/random/boot_id").text not in ("", old)
            assert system.power_off()
            assert system.milestones[-1].name == "off"
            assert not board.is_on
        record = system.record
    assert (record.accel, record.mode, record.probed, record.power_on_us) == ("none", "wall", True, None)
    assert record.ready_us
    assert record.host_ready_s
    assert sorted(path.name for path in system.options.out.iterdir()) == ["record.json", "transcript.txt"]


@pytest.mark.skipif(not tools.find("ser2net"), reason="no ser2net")
def test_a_boot_behind_a_ser2net(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board", firmware="loader") as board, ser2net(tmp_path, str(board.folder / "tty")) as ports:
        spec = board.machine(loader=DIALOGUE, console={"serial": f"rfc2217://127.0.0.1:{ports['rfc2217']}"})
        with boot(minimal, spec, options(tmp_path)) as system:
            system.wait_ready()
            system.prove()
            assert system.shell.run("printf 'a\\0b\\377\\r\\n'; exit 3").stdout == b"a\0b\xff\r\n"
            assert system.power_off()
            assert not board.is_on
        assert system.milestones[-1].name == "off"


def test_a_board_is_off_when_its_block_is_left_however(board: Standin, tmp_path: Path, minimal: Image) -> None:
    with pytest.raises(ZeroDivisionError), boot(minimal, board.machine(), options(tmp_path)):
        assert board.is_on
        raise ZeroDivisionError
    assert not board.is_on


def test_another_image_than_the_built_one_is_found_out(board: Standin, tmp_path: Path, minimal: Image) -> None:
    class Other(Image):
        @property
        def manifest(self) -> dict[str, object]:  # type: ignore[override]
            return {**super().manifest, "root": {"sha256": "0" * 64, "size": 4096}}

    with boot(Other(minimal.folder), board.machine(), options(tmp_path)) as system:
        system.wait_ready()
        with pytest.raises(MachineError, match="runs another image than the built one") as caught:
            system.driver.prove(system)
    assert f"as it was built:         {'0' * 64}" in caught.value.details


def test_a_boot_loader_that_says_something_else_is_the_machines_fault(tmp_path: Path, minimal: Image) -> None:
    with standin(tmp_path / "board", firmware="loader") as board:
        spec = board.machine(loader=[*DIALOGUE[:1], {"wait": "U-Boot> $"}])
        with boot(minimal, spec, options(tmp_path)) as system:
            with pytest.raises(MachineError, match=r"did not say 'U-Boot> \$' \(step 2 of 2\)") as caught:
                system.wait_ready(3)
    assert "BootRom 1.2" in caught.value.details


def test_a_silent_line_is_the_machines_fault(board: Standin, tmp_path: Path, minimal: Image) -> None:
    spec = board.machine(deploy={"installed": True})  # and nothing is
    with boot(minimal, spec, options(tmp_path)) as system, pytest.raises(MachineError, match="silent since power-on"):
        system.wait_ready(2)


def test_a_panic_is_the_images_fault(board: Standin, tmp_path: Path, minimal: Image) -> None:
    with boot(minimal, board.machine(), options(tmp_path, append=("rdinit=/nothing", "init=/nothing"))) as system:
        with pytest.raises(ImageError, match="panic"):
            system.wait_ready()


def test_exact_boots_are_refused(board: Standin, tmp_path: Path, minimal: Image) -> None:
    exact = BootOptions(mode="exact", out=tmp_path / "boot")
    with pytest.raises(UserError, match="a board has no instruction counter"), boot(minimal, board.machine(), exact):
        pass
