"""Writes the pages: that of a run beside its results, that over time where it is wanted."""

from __future__ import annotations

from pathlib import Path

from harness.run.folder import RunFolder

OVER_TIME = "history.html"


def write(folder: RunFolder, output: Path | None = None) -> Path:
    """Write the page of the run in `folder`, beside its results unless `output` says otherwise.

    UserError when there are no results, or the page cannot be written. Returns where it is.
    """
    from harness.report import page, read, run

    return page.write(output or folder.page, page.render("run.html", page=run.page(read.folder(folder))))


def write_over_time(where: str | None, output: Path | None = None) -> Path:
    """Write the page over time of the history at `where` (None: the user's own), in the current folder by default.

    UserError when there is no history. Returns where the page is.
    """
    from harness.history import History, whole
    from harness.history.between import between
    from harness.report import gather, overtime, page

    with History.open(where, create=False) as opened:
        lines, parts = gather.gather(opened, between(opened, Path.cwd()))
        found = overtime.page(lines, parts, opened.place.text, whole.count(opened))
    text = page.render("overtime.html", page=found, limit=overtime.SHOWN)
    return page.write(output or Path(OVER_TIME), text)
