"""Histories to test: one in a file, one on a PostgreSQL server that is started here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import NUMBERS, Server, postgres_programs, running
from tiers import needs

from harness.history import History


@pytest.fixture(scope="session")
@needs("servers")
def postgres() -> Iterator[Server]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    with running(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Make a place for an empty history, as many as wanted."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        return server.database
    return lambda: str(tmp_path / "in/a/folder" / f"history{next(NUMBERS)}.db")


@pytest.fixture(scope="session")
def empty_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history's file without a run, to be copied: to make its tables costs more than most tests of what is in it."""
    file = tmp_path_factory.mktemp("empty") / "history.db"
    with History.open(str(file)):
        return file


@pytest.fixture
def history(new_place: Callable[[], str], empty_history: Path) -> Iterator[History]:
    place = new_place()
    if "://" not in place:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_history, place)
    with History.open(place) as opened:
        yield opened
