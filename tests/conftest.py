"""Options of the harness's own tests, their tiers, and a history that is not the user's."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiers

from harness.proc import is_own
from harness.suite.worker import rename

# hundreds of Pythons are started here: where the environment forbids bytecode beside the sources, it goes into .cache
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[1] / ".cache/bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["HARNESS_QUIET"] = "1"  # how many words about waits there are is decided by the host's load
# `./run test &` in a script starts with SIGINT ignored, and every child would inherit that: Ctrl-C could not be tested
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# so does `nohup ./run test` with SIGHUP: neither it nor its workers, which are told, end by one; what they start does
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or "TESTS_UNDER_NOHUP" in os.environ:
    signal.signal(signal.SIGHUP, lambda *_: None)
    os.environ["TESTS_UNDER_NOHUP"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--long`` and ``--quick``."""
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--quick", action="store_true", help="only the tests that boot, build and serve nothing")


def pytest_configure(config: pytest.Config) -> None:
    """Make the tiers' markers known."""
    for marker, meaning in tiers.MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not quick, skip what is long unless asked for, and what needs a /proc that is not there."""
    for item in items:
        tiers.mark_by_fixtures(item)
        # --dist loadgroup of xdist 3.8 writes the group where pytest from 9.2 on does not look
        if config.getoption("loadgroup", False) and (group := item.get_closest_marker("xdist_group")):
            rename(item, f"{item.nodeid.removesuffix(f'@{group.args[0]}')}@{group.args[0]}")
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --long runs it"))
        if item.get_closest_marker("proc") and not is_own():
            item.add_marker(pytest.mark.skip(reason="/proc is that of another PID namespace: nothing is found by it"))
    if config.getoption("--quick"):
        config.hook.pytest_deselected(items=[item for item in items if not tiers.is_quick(item)])
        items[:] = [item for item in items if tiers.is_quick(item)]


def pytest_collection_finish() -> None:
    """Let the garbage collector look no more at thousands of cases and modules, which stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_history_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let what the tests run write its history elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("history")
        patch.setenv("HARNESS_HISTORY", str(folder / "history.db"))
        patch.setenv("XDG_DATA_HOME", str(folder))  # where runs wait for a history that is away
        yield


@pytest.fixture(scope="session", autouse=True)
def _lean_children() -> Iterator[None]:
    """Let the pytests that tests start go without plugins of ours that cost them more than all they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", tiers.LEAN)
        yield


@pytest.fixture(scope="session", autouse=True)
def _guard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """With ``--quick``: no program that boots, builds or serves, and an empty cache."""
    if not request.config.getoption("--quick"):
        yield None
        return
    folder = tmp_path_factory.mktemp("guard")
    log = tiers.stand_guard(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        yield log


@pytest.fixture(autouse=True)
def _quick_is_quick(_guard: Path | None) -> Iterator[None]:
    """With ``--quick``: a test that ran a guarded program fails, and is told which marker it lacks."""
    yield from tiers.refused(_guard) if _guard else iter([None])
