"""What job checks of the library use: a component's log, a command in its container, and patience."""

import shlex

import pytest

CRUN = "crun --root /run/crun --cgroup-manager=cgroupfs"


@pytest.fixture
def log(shell):
    """What a container has said so far: `log("redis")`, `log("onboot.format")`."""
    return lambda name: shell.run(f"cat /var/log/{name}.log", check=True).text


@pytest.fixture
def inside(shell):
    """Runs a program in a service's container: `inside("redis", "redis-cli", "ping")` gives its output."""

    def run(name, *argv, timeout=60):
        found = shell.run(f"{CRUN} exec {name} {shlex.join(argv)}", timeout=timeout)
        assert found.code == 0, f"{name}: {shlex.join(argv)} ended with {found.code}: {found.text}"
        return found.text

    return run


@pytest.fixture
def eventually(shell):
    """Waits until a shell command succeeds, and gives its output."""

    def wait(command, timeout=60):
        asking = f"until ( {command} ) >/tmp/.answer 2>&1; do sleep 0.3; done; cat /tmp/.answer"
        found = shell.run(asking, timeout=timeout)
        assert found.code == 0, f"never: {command}: {shell.run('cat /tmp/.answer').text}"
        return found.text

    return wait
