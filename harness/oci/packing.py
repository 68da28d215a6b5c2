"""Packed bytes as a stream, known by how they begin: gzip, zstd, or as they are. Memory is bounded in each."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import IO, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ERRORS = (gzip.BadGzipFile, zlib.error, zstd.ZstdError, EOFError)  # what reading raises when it is damaged
_GZIP, _ZSTD, _ZSTD_SKIPPED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", 0x184D2A50  # the last begins 16 kinds of frames


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return what a stream, at its beginning, unpacks to; reading it raises one of ERRORS when it is damaged."""
    magic = stream.read(4)
    stream.seek(0)
    if magic.startswith(_GZIP):
        return cast(IO[bytes], gzip.open(stream))
    if magic == _ZSTD or int.from_bytes(magic, "little") & ~15 == _ZSTD_SKIPPED:
        return cast(IO[bytes], zstd.open(stream))
    return stream
