"""Debugging tools: each component of images/library-tools.yml does its job."""

import pytest


@pytest.mark.needs("onboot/lsof")
def test_lsof(log):
    assert "/usr/bin/busybox" in log("onboot.lsof") and "txt" in log("onboot.lsof")


@pytest.mark.needs("onboot/strace")
def test_strace(log):
    assert 'execve("/usr/bin/busybox"' in log("onboot.strace") and "+++ exited with 0 +++" in log("onboot.strace")


@pytest.mark.needs("onboot/gdb")
def test_gdb(log):
    said = log("onboot.gdb")
    assert "from the debugged" in said and "exited normally" in said
    assert any(name in said for name in ("rip", "pc ", "pswa"))


@pytest.mark.needs("onboot/stress-ng")
def test_stress_ng(log):
    assert "successful run completed" in log("onboot.stress-ng")


@pytest.mark.needs("onboot/shell")
def test_shell(log):
    assert log("onboot.shell").splitlines() == [
        "uid=1234(bob) gid=1234(bob) groups=77(team),1234(bob)",
        "gone",
        "/proc is a mountpoint",
        "none",
        "given",
        "5",
        "604",
        "lo:",
    ]
