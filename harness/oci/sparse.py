"""Sparse files of GNU tar in a tar: which bytes of a file follow its header, and where the holes between them are.

Three forms (GNU tar's manual, "Storing Sparse Files"): the old one, in the header and blocks after it; pax 0.1, in a
record of the extended header; and 1.0, in front of the content. In pax 0.0 records of one name follow each other,
which no reader of records keeps: it is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

BLOCK = 512
MAX_PIECES = 1 << 16
PREFIX = "GNU.sparse."
_ENTRY, _FIRST, _MORE = 12, 386, 21  # bytes of a number; where the header has its first; pairs of a block behind it
_HEADER_PAIRS, _GOES_ON, _REAL_SIZE = 4, 482, 483
_DIGITS = 20


class SparseFile(NamedTuple):
    """A file's `size` in bytes, how many `packed` ones are in the tar, and its runs: a hole, then so many of these."""

    size: int
    packed: int
    runs: tuple[tuple[int, int], ...]


Take = Callable[[int], bytes]


def of_header(block: bytes, packed: int, take: Take, number: Callable[[bytes], int]) -> SparseFile:
    """Read the old form; `take` gives the bytes that follow, `number` reads one of the header's. ValueError."""
    pairs = list(_pairs(block, _FIRST, _HEADER_PAIRS, number))
    more = block[_GOES_ON]
    while more:
        block_ = take(BLOCK)
        pairs += _pairs(block_, 0, _MORE, number)
        more = block_[2 * _ENTRY * _MORE]
        if len(pairs) > MAX_PIECES:
            raise ValueError("of too many pieces")
    return _file(pairs, number(block[_REAL_SIZE : _REAL_SIZE + _ENTRY]), packed)


def of_records(records: Mapping[str, str], packed: int, take: Take) -> SparseFile:
    """Read a form of pax from the records of an extended header, and from what `take` gives. ValueError."""
    if records.get(f"{PREFIX}major") == "1" and records.get(f"{PREFIX}minor") == "0":
        numbers = _Numbers(take)
        pairs = [(numbers.next(), numbers.next()) for _ in range(min(numbers.next(), MAX_PIECES + 1))]
        return _file(pairs, _decimal(records.get(f"{PREFIX}realsize", "")), packed - numbers.taken)
    if f"{PREFIX}map" in records:
        found = [_decimal(one) for one in records[f"{PREFIX}map"].split(",")]
        pairs = list(zip(found[::2], found[1::2], strict=True))
        return _file(pairs, _decimal(records.get(f"{PREFIX}size", "")), packed)
    raise ValueError("in a form that is not read here")


class _Numbers:
    """Decimal numbers, a line each, in whole blocks."""

    def __init__(self, take: Take) -> None:
        self._take, self._data, self.taken = take, b"", 0

    def next(self) -> int:
        while b"\n" not in self._data:
            if len(self._data) > _DIGITS:
                raise ValueError("whose map is damaged")
            self._data += self._take(BLOCK)
            self.taken += BLOCK
        line, _, self._data = self._data.partition(b"\n")
        return _decimal(line.decode("latin-1"))


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError("whose map is damaged")
    return int(text)


def _pairs(block: bytes, at: int, most: int, number: Callable[[bytes], int]) -> Iterator[tuple[int, int]]:
    for first in range(at, at + most * 2 * _ENTRY, 2 * _ENTRY):
        offset, size = block[first : first + _ENTRY], block[first + _ENTRY : first + 2 * _ENTRY]
        if offset.strip(b" \0"):
            yield number(offset), number(size)


def _file(pairs: Sequence[tuple[int, int]], size: int, packed: int) -> SparseFile:
    if not pairs:
        raise ValueError("without a map")
    if len(pairs) > MAX_PIECES:
        raise ValueError("of too many pieces")
    runs, at = [], 0
    for offset, length in pairs:
        if offset < at or offset + length > size:
            raise ValueError("whose pieces overlap, or lie beyond its end")
        runs.append((offset - at, length))
        at = offset + length
    runs.append((size - at, 0))
    if sum(length for _, length in runs) != packed:
        raise ValueError("whose pieces are not what follows")
    return SparseFile(size, packed, tuple(runs))
