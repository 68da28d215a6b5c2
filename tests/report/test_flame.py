"""The flame graph: every box as wide as what it stands for, and below what it is a part of."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.flame import ROW, SMALLER, flame

NAMES = st.sampled_from(["kernel", "containers", "a", "b", "c"])
STACKS = st.dictionaries(st.lists(NAMES, min_size=1, max_size=4).map(tuple), st.integers(1, 10**7), min_size=1)


@pytest.mark.slow
@given(STACKS, st.floats(100, 2000))
def test_boxes_are_as_wide_as_their_time_and_lie_below_their_own(
    found: dict[tuple[str, ...], int], width: float
) -> None:
    drawn = flame(found, width)
    assert drawn is not None and drawn.us == sum(found.values())
    rows: dict[float, list[tuple[float, float]]] = {}
    for box in drawn.boxes:
        assert box.x >= 0 and box.x + box.width <= width * (1 + 1e-9) and box.y + ROW <= drawn.height
        rows.setdefault(box.y, []).append((box.x, box.x + box.width))
    for row in rows.values():
        row.sort()
        assert all(one[1] <= two[0] + width * 1e-9 for one, two in pairwise(row))
    for depth in range(1, 5):
        wanted = sum(us for stack, us in found.items() if len(stack) >= depth) / drawn.us * width
        widths = sum(box.width for box in drawn.boxes if box.y == depth * ROW)
        assert widths <= wanted * (1 + 1e-9)
        if depth == 1:
            assert widths == pytest.approx(wanted)


def test_what_is_too_narrow_to_be_seen_is_one_box() -> None:
    drawn = flame({("kernel",): 10**6, **{("init", f"p{number}"): 1 for number in range(20)}}, 1000)
    assert drawn is not None and [box.title.partition(":")[0] for box in drawn.boxes] == ["the boot", "kernel", SMALLER]
    assert flame({}, 1000) is None
