"""What boot loaders find by themselves beside the image: their own files, and the board's device tree."""

from __future__ import annotations

import struct
import zlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.board.bootconf import EXTLINUX, GRUB, PXELINUX, SCRIPT
from harness.board.deploy import Deployment, equip, gather
from harness.errors import UserError
from harness.spec.models.board import Board


def brought(tmp_path: Path, cmdline: str, **deploy: object) -> Path:
    console = {"serial": "/dev/null"}
    board = Board.model_validate({"console": console, "deploy": {"command": ("true",), **deploy}}, by_name=True)
    (tmp_path / "k").write_bytes(b"kernel")
    files = gather(tmp_path / "k", [tmp_path / "k"], cmdline, tmp_path / "files")
    equip(Deployment(board, tmp_path, tmp_path, ExitStack()), files, "arm64")
    return files.folder


def test_each_loader_finds_its_own(tmp_path: Path) -> None:
    (tmp_path / "board.dtb").write_bytes(b"tree")
    there = brought(tmp_path, "console=ttyAMA0 quiet", dtb="board.dtb")
    assert (there / "dtb").read_bytes() == b"tree"
    assert (
        "  kernel kernel\n  initrd initrd\n  fdt dtb\n  append console=ttyAMA0 quiet\n"
        in (there / PXELINUX).read_text()
    )
    assert "  kernel /kernel\n" in (there / EXTLINUX).read_text()
    assert "linux /kernel console=ttyAMA0 quiet\n" in (there / GRUB).read_text()
    data = (there / SCRIPT).read_bytes()
    magic, crc, *_ = struct.unpack(">II", data[:8])
    assert magic == 0x27051956 and zlib.crc32(data[:4] + bytes(4) + data[8:64]) == crc
    assert struct.unpack(">I", data[24:28])[0] == zlib.crc32(data[64:])
    assert data[72:].startswith(b"setenv bootargs 'console=ttyAMA0 quiet' && tftpboot ${fdt_addr_r} dtb")
    assert struct.unpack(">II", data[64:72]) == (len(data) - 72, 0)


def test_words_that_a_loader_would_take_for_orders_are_in_no_such_file(tmp_path: Path) -> None:
    there = brought(tmp_path, "init='; reset'")
    assert sorted(path.name for path in there.iterdir()) == ["cmdline", "initrd", "kernel"]


def test_without_the_device_tree_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no device tree 'none\.dtb'"):
        brought(tmp_path, "quiet", dtb="none.dtb")
