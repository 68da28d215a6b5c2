"""Cases need cells to run on; without any, say how to name them rather than that a fixture is missing."""

import pytest


def pytest_collection(session: pytest.Session) -> None:
    plugins = session.config.pluginmanager
    if not plugins.has_plugin("harness-worker") and not plugins.has_plugin("harness-controller"):
        raise pytest.UsageError(
            "cases need images and machines: --plan cases/matrix.yml, or --image FILE --machine NAME"
        )
