"""What several files of cases need."""

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


@pytest.fixture
def running(shell, expect):
    """The first processes of the declared services that run now, by name; one that has ended is not among them."""
    rows = (line.split() for line in shell.run(PIDS, check=True).text.splitlines())
    found = {name.removesuffix(".pid"): pid for name, pid in rows}
    return {name: found[name] for name in expect["services"] if name in found}
