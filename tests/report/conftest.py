"""A listener that hears whoever calls, and pages full of hostile text that name its address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest
from listening import Listener
from made import boot, record, run

from harness.report import files, overtime, page
from harness.run.folder import RunFolder
from harness.system.milestones import Milestone


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """Listen until the tests are over."""
    made = Listener()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="session")
def hostile_run(listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run in which every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile") / "out"
    text = hostile.all_of(listener.address)
    marks = (*record().milestones[:3], Milestone(f"services/{text} start", 292_000, 0.1),
             Milestone(f"services/{text} ready", 300_000, 0.2, {"cpu": "5000"}),
             Milestone(text, 310_000, 0.3), record().milestones[-1])  # fmt: skip
    found = hostile.run(listener.address)
    run(folder, found)
    for row in found["cells"]:
        made = record(milestones=marks, image=text, cmdline=text)
        boot(folder / "cells" / row["id"] / "own", text.encode("utf-8", "surrogatepass"), made)
        (folder / "cells" / row["id"] / "exact/1/record.json").write_text(made.dumps())
    return files.write(RunFolder(folder))


@pytest.fixture(scope="session")
def hostile_overtime(listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page over time in which every text is hostile."""
    found = overtime.page(*hostile.lines(listener.address), hostile.all_of(listener.address))
    return page.write(
        tmp_path_factory.mktemp("hostile") / "history.html", page.render("overtime.html", page=found, limit=1)
    )
