"""What can be asked of an OS that the harness has not built: its milestones, and its root as it says itself."""

from harness.suite import judge

# What anybody might try on a file that every OS has; each must fail.
ATTEMPTS = (
    "echo x >>/etc/passwd",
    "touch /etc/.written",
    "mkdir /new",
    "rm -f /etc/passwd && [ ! -e /etc/passwd ]",
    "chmod 777 /bin/sh",
)


def test_milestones_come_in_order(boot, cell):
    names = [mark.name for mark in boot(probe=False).milestones]
    assert names == [row.name for row in cell.built.milestones]


def test_root_is_read_only(shell):
    roots = [mount for mount in judge.mounts(shell.run("cat /proc/1/mountinfo", check=True).text) if mount.place == "/"]
    assert roots and "ro" in roots[-1].flags | roots[-1].super_flags, "the root is mounted to be written"
    succeeded = [attempt for attempt in ATTEMPTS if shell.run(f"cd /; {attempt}").code == 0]
    assert not succeeded, f"succeeded: {'; '.join(succeeded)}"
