"""Layers with bytes changed at random: refused or read, and never anything else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from handmade import M, d, hard, image, ln, tar
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.oci.layers import LayerError, Limits
from harness.oci.merge import merge
from harness.store import Store
from harness.tree.tree import Tree

BASE = tar(d("a"), M("a/x", b"x" * 700), ln("l", "a"), ln("up", "../.."), hard("h", "a/x"))
TOP = tar(
    M("a/.wh.x"), M("l/y", b"y"), M("n" * 150, b"long"), hard("z", "h"), M("p", pax={"SCHILY.xattr.user.x": "1"}),
    M("a/.wh..wh..opq"), d("h"), M("h/in", b"in"),
)  # fmt: skip
LIMITS = Limits(size=1 << 20, entries=1000, table=1 << 16)


def honest_sums(data: bytearray) -> bytes:
    """Make the checksum of every block right that looks like a header: else nothing gets any further."""
    for at in range(0, len(data), 512):
        block = data[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(data)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(TOP) - 1), st.binary(min_size=1, max_size=12)), max_size=6),
    st.integers(0, len(TOP)),
    st.booleans(),
)
@pytest.mark.slow
def test_a_layer_of_any_bytes_is_refused_or_read(changes: list[tuple[int, bytes]], end: int, sums: bool) -> None:
    data = bytearray(TOP)
    for at, piece in changes:
        data[at : at + len(piece)] = piece
    layer = honest_sums(data) if sums else bytes(data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = image(folder, BASE, layer[: end if end % 5 == 0 else None])
        try:
            tree = merge(made, LIMITS, Store(folder / "cache"))
        except LayerError as error:
            assert str(error).replace("\n", "").isprintable()
        else:
            proper(tree)


def proper(tree: Tree) -> None:
    """Each path lies in a folder of the tree, and no part of it leads up."""
    for path in tree.nodes:
        above, _, name = path.rpartition("/")
        assert name not in ("", ".", "..") and (not above or tree.nodes[above].is_dir)
