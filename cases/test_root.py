"""The root cannot be written, in any way that one can try, and trying leaves it as it was built."""

import hashlib
import json

import pytest

from harness.suite import control
from harness.suite.control import PLACE, Attempt

pytestmark = pytest.mark.verdict("root_readonly")

# The bytes come to the host, for an emulated machine takes seconds to digest them.
DROP_CACHES = "echo 3 >/proc/sys/vm/drop_caches"
CONTENT = "dd if=/dev/loop7 bs=1M skip={skip} count={count} 2>/dev/null"
PIECE_MB = 32  # a command may say 64 MiB at most, and a root is larger than that at times
# Says every folder of the file system under each argument in which a file could be made.
WRITABLE = """
for top; do
  find "$top" -xdev -type d | while IFS= read -r folder; do
    if { true >"$folder/.written"; } 2>/dev/null; then echo "$folder"; rm -f "$folder/.written"; fi
  done
done
"""
# What is tried on files that exist; each must fail, and the same must succeed where it may.
ATTEMPTS = (
    Attempt("echo x >>/etc/passwd", f"echo x >>{PLACE}/passwd"),
    Attempt("rm -f /etc/inittab && [ ! -e /etc/inittab ]", f"rm -f {PLACE}/inittab && [ ! -e {PLACE}/inittab ]"),
    Attempt("mv /etc/passwd /etc/.other", f"cp {PLACE}/passwd {PLACE}/some && mv {PLACE}/some {PLACE}/other"),
    Attempt("mkdir /.new", f"mkdir {PLACE}/new"),
    Attempt("chmod 777 /usr/bin/busybox", f"chmod 777 {PLACE}/program"),
    Attempt("chown 1:1 /usr/bin/busybox", f"chown 1:1 {PLACE}/program"),
    Attempt("ln /usr/bin/busybox /usr/bin/.again", f"ln {PLACE}/program {PLACE}/again"),
    Attempt("ln -s /tmp /usr/bin/.link", f"ln -s /tmp {PLACE}/link"),
    Attempt("mknod /usr/bin/.null c 1 3", f"mknod {PLACE}/null c 1 3"),
    Attempt("touch -d 2001-01-01 /usr/bin/busybox", f"touch -d 2001-01-01 {PLACE}/program"),
    Attempt("truncate -s 0 /usr/bin/busybox", f"truncate -s 0 {PLACE}/program"),
    Attempt("truncate -s 0 /proc/1/exe", f"truncate -s 0 {PLACE}/program", why=""),  # which runs, besides
    Attempt("echo x >>/proc/1/root/etc/passwd", f"echo x >>/proc/1/root{PLACE}/passwd"),
    Attempt("echo x >/proc/self/cwd/etc/passwd", f"cd {PLACE} && echo x >/proc/self/cwd/passwd"),
)
REMOUNTS = (
    "mount -o remount,rw /",
    "mount -o remount,rw /dev/loop7 /",
    "mount -o remount,rw,bind /",
    "mkdir -p /run/again && mount -o bind / /run/again && mount -o remount,rw,bind /run/again",
    "mkdir -p /run/second && mount -t squashfs -o rw /dev/loop7 /run/second",
)
# That a file system is made writable so where it may be: without that, no remount shows anything.
REMOUNT = Attempt(
    f"true >{PLACE}/folder/../../../etc/.written",
    f"mount -t tmpfs -o ro tmpfs {PLACE}/folder && mount -o remount,rw {PLACE}/folder && true >{PLACE}/folder/x; "
    f"code=$?; umount {PLACE}/folder; exit $code",
)
DEVICES = (
    Attempt(
        "dd if=/dev/zero of=/dev/loop7 bs=4096 count=1 conv=notrunc",
        f"dd if=/dev/zero of={PLACE}/file bs=4096 count=1 conv=notrunc", why="",
    ),
    Attempt(
        "mknod /run/loop b 7 7 && dd if=/dev/zero of=/run/loop bs=4096 count=1 conv=notrunc",
        f"mknod {PLACE}/loop b 7 0", why="",
    ),
    Attempt(
        "blockdev --setrw /dev/loop7; dd if=/dev/zero of=/dev/loop7 bs=4096 count=1 conv=notrunc",
        "blockdev --getro /dev/loop7", why="",
    ),
    Attempt(
        "mke2fs -F /dev/loop7",
        f"dd if=/dev/zero of={PLACE}/disk bs=64k count=16 && mke2fs -F {PLACE}/disk", why="",
    ),
    Attempt("losetup -d /dev/loop7 && [ ! -e /sys/block/loop7/loop/backing_file ]", "losetup -a >/dev/null", why=""),
)  # fmt: skip
# Overwrites the program text of a running process, as a debugger would: the file must not follow.
MEMORY = """
sleep 1000 & pid=$!
exe=$(readlink /proc/$pid/exe)
before=$(sha256sum "$exe")
range=$(grep -m 1 ' r-xp ' /proc/$pid/maps)
dd if=/dev/zero of=/proc/$pid/mem bs=1 count=64 seek=$((0x${range%%-*})) conv=notrunc 2>&1 && [ "$before" ] &&
  echo "looked at: $exe"
[ -n "$(ls /proc/$pid/map_files)" ] && for file in /proc/$pid/map_files/*; do
  case $(readlink "$file") in /usr/*) { echo x >"$file"; } 2>/dev/null && echo "written: $file" ;; esac
done
kill -9 $pid
echo 3 >/proc/sys/vm/drop_caches
[ "$before" = "$(sha256sum "$exe")" ] || echo "changed: $exe"
"""


def content(shell, image):
    """The SHA-256 of the root as the guest's device gives it."""
    size = image.manifest["root"]["size"]
    shell.run(DROP_CACHES, check=True)
    if not shell.fast:
        whole = CONTENT.format(skip=0, count=-(-size >> 20))
        return shell.run(f"{whole} | head -c {size} | sha256sum", timeout=300, check=True).text.split()[0]
    digest = hashlib.sha256()
    for skip in range(0, -(-size >> 20), PIECE_MB):
        piece = shell.run(CONTENT.format(skip=skip, count=PIECE_MB), timeout=120, check=True).stdout
        digest.update(piece[: size - (skip << 20)])
    return digest.hexdigest()


def writable(shell, top, pid="1"):
    """The folders below `top` that can be written, where process `pid` mounts: a mounted file system is not `top`'s."""
    found = control.search(shell, WRITABLE, [top], "mkdir a")
    root = top.rstrip("/") if pid != "1" else ""
    mounted = {f"{root}{mount.place}" for mount in control.mounts(shell, pid) if mount.place != "/"}
    return sorted(set(found) - mounted)


def test_root_is_what_was_built(shell, image):
    assert content(shell, image) == image.manifest["root"]["sha256"]


def test_root_is_mounted_read_only(shell):
    roots = [mount for mount in control.mounts(shell) if mount.place == "/"]
    assert [mount.kind for mount in roots] == ["squashfs"]
    assert "ro" in roots[0].flags
    assert "ro" in roots[0].super_flags
    line = next(row for row in shell.run("cat /proc/mounts", check=True).text.splitlines() if row.split()[1] == "/")
    assert "ro" in line.split()[3].split(",")


def test_no_folder_of_the_root_can_be_written(shell):
    assert writable(shell, "/") == []


def test_no_file_of_the_root_can_be_changed(shell):
    assert control.succeeded(shell, ATTEMPTS) == []


def test_remounting_does_not_make_it_writable(shell):
    assert control.succeeded(shell, [REMOUNT]) == []
    for attempt in REMOUNTS:
        shell.run(attempt)  # some succeed, and must be of no use
    found = [
        top for top in ("/etc", "/run/again/etc", "/run/second/etc") if shell.run(f"true >{top}/.written").code == 0
    ]
    shell.run("umount /run/second /run/again; mount -o remount,ro,bind /; rmdir /run/second /run/again")
    assert found == []


def test_no_block_device_leads_around_it(shell):
    assert shell.run("cat /sys/block/loop7/ro", check=True).text.strip() == "1"
    assert "(deleted)" in shell.run("cat /sys/block/loop7/loop/backing_file", check=True).text
    assert control.succeeded(shell, DEVICES) == []


def test_no_running_program_leads_around_it(shell):
    said = shell.run(MEMORY, timeout=60).text
    if "looked at" not in said:
        control.not_run(f"no running program could be written to: {said[-200:]}")
    assert "written:" not in said
    assert "changed:" not in said


def test_containers_roots_are_as_declared(shell, expect, running):
    outside = {mount.place: mount.kind for mount in control.mounts(shell)}
    for name, row in expect["services"].items():
        bundle = f"/containers/services/{name}"
        config = json.loads(shell.run(f"cat {bundle}/config.json", check=True).text)
        assert config["root"] == {"path": "rootfs", "readonly": row["readonly"]}, name
        # what has ended has left its root as it would find it again
        inside = control.mounts(shell, running[name]) if name in running else []
        root = next((mount for mount in inside if mount.place == "/"), None)
        if row["readonly"]:
            assert root is None or "ro" in root.flags, name
            top, pid = (f"/proc/{running[name]}/root/", running[name]) if root else (f"{bundle}/rootfs", "1")
            assert writable(shell, top, pid) == [], name
        else:
            assert (root.kind if root else outside.get(f"{bundle}/rootfs")) == "overlay", name
            assert writable(shell, f"{bundle}/lower") == [], name


def test_root_is_still_what_was_built(shell, image):
    assert content(shell, image) == image.manifest["root"]["sha256"]
