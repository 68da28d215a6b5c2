"""Which project an image is of: two projects may have an image of one path, and that is two images.

The first project that a path came from keeps it as it is; another one's is ``PROJECT:PATH`` in the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from harness.history.tables import BootRow, RunRow

if TYPE_CHECKING:
    from harness.run.results_model import Results


def owners(connection: Connection, images: Iterable[str]) -> dict[str, str]:
    """Return of each image the project that it came from first; nothing of those that no project is known of."""
    query = (
        select(BootRow.image, RunRow.project, func.min(RunRow.id))
        .join(RunRow, RunRow.id == BootRow.run_id)
        .where(BootRow.image.in_({*images}), RunRow.project != "")
        .group_by(BootRow.image, RunRow.project)
    )
    found: dict[str, str] = {}
    for image, project, _ in sorted(connection.execute(query), key=lambda row: -row[2]):
        found[image] = project
    return found


def called(project: str, image: str, owner: str) -> str:
    """Return what the history calls a project's image; `owner` is whose it was first, empty for nobody's."""
    return image if not project or owner in ("", project) else f"{project}:{image}"


def as_known(connection: Connection, found: Results) -> Results:
    """Return a run with its images under the paths by which the history knows them."""
    project = found.source.project if found.source else ""
    paths = {row.path or row.image for row in found.cells}
    known = owners(connection, paths) if project else {}
    rows = (
        row.model_copy(update={"path": called(project, path, known.get(path, ""))})
        for row in found.cells
        for path in (row.path or row.image,)
    )
    return found.model_copy(update={"cells": tuple(rows)})
