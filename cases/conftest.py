"""What several files of cases need; and cases need cells to run on: without any, say how to name them."""

import pytest

# A service that has ended has no number, and one may end while it is asked.
PIDS = """
for file in /run/harness/*.pid; do
  pid=
  read -r pid <"$file" # which has no line end: read says no, and has read it
  [ -n "$pid" ] && [ -d "/proc/$pid" ] && echo "${file##*/} $pid"
done 2>/dev/null
:
"""


def pytest_collection(session: pytest.Session) -> None:
    plugins = session.config.pluginmanager
    if not plugins.has_plugin("harness-worker") and not plugins.has_plugin("harness-controller"):
        raise pytest.UsageError(
            "cases need images and machines: --plan cases/matrix.yml, or --image FILE --machine NAME"
        )


@pytest.fixture
def running(shell, expect):
    """The first processes of the declared services that run now, by name; one that has ended is not among them."""
    rows = (line.split() for line in shell.run(PIDS, check=True).text.splitlines())
    found = {name.removesuffix(".pid"): pid for name, pid in rows}
    return {name: found[name] for name in expect["services"] if name in found}
