"""Floors: how far exact figures move by mere perturbation, as `harness calibrate` has measured it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from harness.history.keys import digest, now
from harness.history.store import History
from harness.history.tables import Floor
from harness.measure.floor import Floors

if TYPE_CHECKING:
    from harness.history.record import FloorLine


def set_floor(
    history: History, image: str, machine: str, floors: Mapping[str, int], *, key: Mapping[str, str], how: str
) -> None:
    """Keep calibrated floors by figure, in µs, in place of older ones.

    `image` is its path as results name it (`suite.cells.shown`), `key` that of the exact boots, `how` is for people.
    """
    from harness.history.record import FloorLine

    when, short = now(), digest(key)
    lines = [FloorLine(image=image, machine=machine, figure=figure, key=short, us=us, how=how, when=when)
             for figure, us in floors.items()]  # fmt: skip
    with history.writing() as connection:
        put(connection, lines)


def floor_of(history: History, image: str, machine: str, figure: str, *, key: Mapping[str, str]) -> int | None:
    """Return a figure's calibrated floor in µs; None when nobody has calibrated it under that key."""
    return floors_of(history, image, machine, key=key).measured.get(figure)


def floors_of(history: History, image: str, machine: str, *, key: Mapping[str, str] | str, arch: str = "") -> Floors:
    """Return the floors of a cell, calibrated or not. `key` may be its digest, as a series has it; then `arch` says of
    which architecture it is."""
    short, arch = (key, arch) if isinstance(key, str) else (digest(key), key.get("arch", arch))
    query = select(Floor.figure, Floor.us).where(Floor.image == image, Floor.machine == machine, Floor.key == short)
    with history.reading() as connection:
        return Floors({row[0]: row[1] for row in connection.execute(query)}, arch)


def put(connection: Connection, lines: Iterable[FloorLine]) -> int:
    """Write floors over what is there for their figures, unless that is newer; return how many were written."""
    count = 0
    for line in lines:
        same = (Floor.image == line.image, Floor.machine == line.machine, Floor.figure == line.figure,
                Floor.key == line.key)  # fmt: skip
        older = connection.scalar(select(Floor.when).where(*same))
        if older is not None and older > line.when:
            continue
        connection.execute(delete(Floor).where(*same))
        connection.execute(insert(Floor).values(line.model_dump(exclude={"kind"})))
        count += 1
    return count
