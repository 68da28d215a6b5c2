"""Options of the harness's own tests, and a history that is not the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--long``."""
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked long unless asked for, and what needs a /proc that is not there."""
    whose = str(Path("/proc/self").readlink())
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --long runs it"))
        if item.get_closest_marker("proc") and whose != str(os.getpid()):
            item.add_marker(pytest.mark.skip(reason="/proc is that of another PID namespace: nothing is found by it"))


@pytest.fixture(scope="session", autouse=True)
def _no_history_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let what the tests run write its history elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HISTORY", str(tmp_path_factory.mktemp("history") / "history.db"))
        yield
