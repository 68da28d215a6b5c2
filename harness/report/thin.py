"""Leaves out points that nobody could see, and none that matter. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def kept(values: Sequence[float], most: int, always: Iterable[int] = ()) -> list[int]:
    """Return which of `values` to draw, in order: at most about `most` and those of `always`.

    Kept are both ends, and of each of equal stretches the first, the least, the greatest and the last one: a line
    through these covers what the line through all covers, to the width of a stretch.
    """
    count = len(values)
    wanted = {place for place in always if 0 <= place < count}
    if count <= most:
        return list(range(count))
    stretches = max(1, most // 4)
    for number in range(stretches):
        start, end = number * count // stretches, (number + 1) * count // stretches
        part = values[start:end]
        wanted |= {start, end - 1, start + part.index(min(part)), start + part.index(max(part))}
    return sorted(wanted)


def straight(places: Sequence[int], values: Sequence[float]) -> list[int]:
    """Return `places` of `values` without those amid a level stretch, which a line goes through anyhow."""
    return [
        place
        for number, place in enumerate(places)
        if not (
            0 < number < len(places) - 1 and values[places[number - 1]] == values[place] == values[places[number + 1]]
        )
    ]
