"""A kernel is brought in the form that the boot loader takes."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.board.deploy import gather
from harness.board.kernelform import wants_unpacked
from harness.errors import HostError
from harness.spec.models.board import Board

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RAW = b"\x4d\x5a\x40\xfa" + bytes(52) + b"ARM\x64" + b"kernel" * 1000


def zboot(packed: bytes, how: bytes) -> bytes:
    header = struct.pack("<2sH4sII8s16s", b"MZ", 0, b"zimg", 64, len(packed), b"", how)
    return header.ljust(64, b"\0") + packed + b"the rest"


@pytest.mark.parametrize(
    "kernel",
    [
        RAW,
        gzip.compress(RAW),
        zstd.compress(RAW),
        zboot(gzip.compress(RAW), b"gzip"),
        zboot(zstd.compress(RAW), b"zstd"),
    ],
    ids=["raw", "gzip", "zstd", "zboot of gzip", "zboot of zstd"],  # gzip's bytes have the time in them
)
def test_any_form_is_unpacked_and_as_built_where_it_is_not_asked_for(tmp_path: Path, kernel: bytes) -> None:
    (tmp_path / "k").write_bytes(kernel)
    gather(tmp_path / "k", [], "", tmp_path / "unpacked", unpack=True)
    assert (tmp_path / "unpacked/kernel").read_bytes() == RAW
    gather(tmp_path / "k", [], "", tmp_path / "as-built")
    assert (tmp_path / "as-built/kernel").read_bytes() == kernel


def test_what_cannot_be_unpacked_stays_and_what_is_damaged_is_told(tmp_path: Path) -> None:
    for other in (b"MZ" + bytes(100), b"", zboot(b"lzma", b"lzma")):
        (tmp_path / "k").write_bytes(other)
        folder = tmp_path / str(len(other))
        gather(tmp_path / "k", [], "", folder, unpack=True)
        assert (folder / "kernel").read_bytes() == other
    (tmp_path / "k").write_bytes(gzip.compress(RAW)[:-30])
    with pytest.raises(HostError, match="cannot be unpacked"):
        gather(tmp_path / "k", [], "", tmp_path / "damaged", unpack=True)


@pytest.mark.parametrize(
    ("keys", "unpacked"),
    [
        ({}, False),
        ({"loader": ({"wait": "=>", "send": "booti ${kernel_addr_r} - ${fdt_addr}"},)}, True),
        ({"loader": ({"wait": "=>", "send": "bootz ${kernel_addr_r}"},)}, False),
        ({"loader": ({"wait": "=>", "send": "booti a"},), "deploy": {"installed": True, "unpack": False}}, False),
        ({"deploy": {"netboot": {"interface": "eth1", "range": "10.0.0.1,10.0.0.2"}}}, True),
        ({"deploy": {"command": ("true",), "unpack": True}}, True),
    ],
)
def test_which_boards_get_it_unpacked(keys: dict[str, Any], unpacked: bool) -> None:
    board = Board.model_validate({"console": {"serial": "/dev/null"}, **keys}, by_alias=True, by_name=False)
    assert wants_unpacked(board) is unpacked
