"""What can be asked of an OS that the harness has not built: its milestones and units, its root, what it keeps, and
what it listens on, as far as it says so itself."""

import pytest

from harness.suite import control, judge
from harness.suite.control import PLACE, Attempt

FAILED_UNITS = "if command -v systemctl >/dev/null; then systemctl list-units --state=failed --plain --no-legend; fi"
# What anybody might try on what every OS has; each must fail, and one that does not leaves things as they were.
ATTEMPTS = (
    Attempt("true >>/etc/passwd", f"true >>{PLACE}/passwd"),
    Attempt("touch /etc/.written && rm /etc/.written", f"touch {PLACE}/.written && rm {PLACE}/.written"),
    Attempt("mkdir /.new && rmdir /.new", f"mkdir {PLACE}/.new && rmdir {PLACE}/.new"),
    Attempt(
        "mv /etc/passwd /etc/.moved && mv /etc/.moved /etc/passwd",
        f"mv {PLACE}/passwd {PLACE}/.moved && mv {PLACE}/.moved {PLACE}/passwd",
    ),
    Attempt("chmod u+r /etc/passwd", f"chmod u+r {PLACE}/passwd"),
)
# That a remount makes writable what may be: without that, no remount shows anything.
REMOUNT = Attempt(
    "true >/.written",
    f"mount -t tmpfs -o ro tmpfs {PLACE}/folder && mount -o remount,rw {PLACE}/folder && true >{PLACE}/folder/x; "
    f"code=$?; umount {PLACE}/folder; exit $code",
)
WRITTEN = "{ true >/.written && rm /.written; } 2>/dev/null"
WRITTEN_AGAIN = WRITTEN.replace("/.", "/run/.root/.")
# What makes a root writable that is only mounted read-only, and what shows that it did.
WAYS = {
    "mount -o remount,rw /": WRITTEN,
    "mount -o remount,rw,bind /": WRITTEN,
    "mkdir -p /run/.root && mount -o bind / /run/.root && mount -o remount,rw,bind /run/.root": WRITTEN_AGAIN,
}
BACK = "umount /run/.root; rmdir /run/.root; mount -o remount,ro,bind /; mount -o remount,ro /"
# Writes its first block to the root's device as it was; /dev is where device nodes can be used.
DEVICE = """
node=/dev/.root
mknod $node b {device} && blockdev --setrw $node
dd if=$node of=/run/.block bs=4096 count=1 && dd if=/run/.block of=$node bs=4096 count=1 conv=notrunc,fsync
code=$?
[ -s /run/.block ] && echo "read it"
rm -f $node /run/.block
exit $code
"""


def root(shell):
    found = [mount for mount in control.mounts(shell) if mount.place == "/"]
    assert found, "nothing is mounted as the root"
    return found[-1]


def read_only_root(shell):
    mount = root(shell)
    assert "ro" in mount.flags | mount.super_flags, f"the root is mounted to be written ({mount.kind})"
    return mount


def test_milestones_come_in_order(boot, cell):
    system = boot(probe=False)
    names = [mark.name for mark in system.milestones]
    assert names == [row.name for row in cell.built.milestones]
    if cell.built.login:
        failed = [
            line.split()[0] for line in system.shell.run(FAILED_UNITS, check=True).text.splitlines() if line.strip()
        ]
        assert not failed, f"units that failed: {', '.join(failed)}"


def test_root_is_read_only(shell):
    read_only_root(shell)
    succeeded = control.succeeded(shell, ATTEMPTS)
    assert not succeeded, f"succeeded: {'; '.join(succeeded)}"


@pytest.mark.disturbs
def test_nothing_makes_the_root_writable(shell):
    device = read_only_root(shell).device
    assert control.succeeded(shell, [REMOUNT]) == []
    found = [way for way, seen in WAYS.items() if shell.run(f"{way}; {seen}").code == 0]
    shell.run(BACK)
    assert not found, f"made writable: {'; '.join(found)}"
    if not device.startswith("0:"):  # which is not a device
        tried = shell.run(DEVICE.format(device=device.replace(":", " ")))
        written = tried.code == 0
        if not written and "read it" not in tried.text:
            control.not_run(f"the root's device {device} could not be tried: {tried.text[-200:]}")
        assert not written, f"the root's device {device} can be written"


def test_only_declared_volumes_keep_what_is_written(shell, cell):
    kept = judge.lasting(control.mounts(shell), cell.built.spec.volumes)
    assert not kept, f"kept, and not declared: {', '.join(kept)}"


def test_only_declared_ports_are_listened_on(shell, cell):
    declared = {"tcp": cell.built.spec.ports, "udp": cell.built.spec.udp, "raw": ()}
    found = []
    for kind, state in (("tcp", judge.LISTEN), ("udp", judge.UNCONNECTED), ("raw", judge.UNCONNECTED)):
        table = control.sockets(shell, kind)
        found += [f"{kind} {port}" for port in sorted(judge.ports(table, state) - set(declared[kind]))]
    assert not found, f"listened on, and not declared: {', '.join(found)}"
