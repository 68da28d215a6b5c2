"""The form in which a kernel is brought: unpacked where the boot loader takes no packed one, as U-Boot's `booti`."""

from __future__ import annotations

import io
import re
import shutil
import struct
from pathlib import Path

from harness.errors import HostError
from harness.oci.packing import ERRORS, unpacked
from harness.spec.models.board import Board

MOST = 512 << 20  # bytes of an unpacked kernel
PIECE = 1 << 20
PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, zstd
# an EFI program that unpacks itself (libstub/zboot-header.S): MZ, 0, "zimg", offset, size, 0, 0, how
_ZBOOT = struct.Struct("<2sH4sII8s16s")
_BOOTI = re.compile(r"\bbooti\b")


def wants_unpacked(board: Board) -> bool:
    """Say whether a board's kernel is to be brought unpacked: where its YAML says so, or its boot loader wants it."""
    if board.deploy.unpack is not None:
        return board.deploy.unpack
    # U-Boot's standard boot, which a network boot may come to, uses `booti`, too
    return board.deploy.netboot is not None or any(_BOOTI.search(step.send or "") for step in board.loader)


def bring_kernel(kernel: Path, target: Path, *, unpack: bool) -> None:
    """Copy a kernel, unpacked where asked for and where it is packed; HostError when what is packed is damaged."""
    data = _payload(kernel) if unpack else None
    if data is None:
        shutil.copyfile(kernel, target)
        return
    try:
        with unpacked(data) as stream, target.open("wb") as out:
            while piece := stream.read(PIECE):
                out.write(piece)
                if out.tell() > MOST:
                    raise HostError(f"the kernel {kernel} unpacks to more than {MOST >> 20} MiB")
    except ERRORS as error:
        raise HostError(f"the kernel {kernel} cannot be unpacked: {error}") from error


def _payload(kernel: Path) -> io.BytesIO | None:
    """Return what is packed in a kernel's file; None where nothing is that can be unpacked here."""
    data = kernel.read_bytes()
    if data.startswith(PACKED):
        return io.BytesIO(data)
    if len(data) < _ZBOOT.size:
        return None
    mz, _, zimg, offset, size, _, how = _ZBOOT.unpack_from(data)
    if (mz, zimg) == (b"MZ", b"zimg") and how.rstrip(b"\0") in (b"gzip", b"zstd", b"zstd22"):
        return io.BytesIO(data[offset : offset + size])
    return None
