"""The root cannot be written, in any way that one can try, and trying leaves it as it was built."""

import hashlib
import json
import shlex

import pytest

from harness.suite import judge

pytestmark = pytest.mark.verdict("root_readonly")

# The bytes come to the host, for an emulated machine takes seconds to digest them.
DROP_CACHES = "echo 3 >/proc/sys/vm/drop_caches"
CONTENT = "dd if=/dev/loop7 bs=1M skip={skip} count={count} 2>/dev/null"
PIECE_MB = 32  # a command may say 64 MiB at most, and a root is larger than that at times
# Says every folder of the file system under $top in which a file could be made.
WRITABLE = """
find "$top" -xdev -type d | while IFS= read -r folder; do
  if { true >"$folder/.written"; } 2>/dev/null; then echo "$folder"; rm -f "$folder/.written"; fi
done
"""
# What is tried on files that exist; each must fail.
ATTEMPTS = (
    "echo x >>/etc/passwd",
    "rm -f /etc/inittab && [ ! -e /etc/inittab ]",
    "mv /etc/passwd /etc/other",
    "mkdir /new",
    "chmod 777 /usr/bin/busybox",
    "chown 1:1 /usr/bin/busybox",
    "ln /usr/bin/busybox /usr/bin/again",
    "ln -s /tmp /usr/bin/link",
    "mknod /usr/bin/null c 1 3",
    "touch -d 2001-01-01 /usr/bin/busybox",
    "truncate -s 0 /usr/bin/busybox",
    "truncate -s 0 /proc/1/exe",
    "echo x >>/proc/1/root/etc/passwd",
    "echo x >/proc/self/cwd/etc/passwd",
)
REMOUNTS = (
    "mount -o remount,rw /",
    "mount -o remount,rw /dev/loop7 /",
    "mount -o remount,rw,bind /",
    "mkdir -p /run/again && mount -o bind / /run/again && mount -o remount,rw,bind /run/again",
    "mkdir -p /run/second && mount -t squashfs -o rw /dev/loop7 /run/second",
)
DEVICES = (
    "dd if=/dev/zero of=/dev/loop7 bs=4096 count=1 conv=notrunc",
    "mknod /run/loop b 7 7 && dd if=/dev/zero of=/run/loop bs=4096 count=1 conv=notrunc",
    "blockdev --setrw /dev/loop7; dd if=/dev/zero of=/dev/loop7 bs=4096 count=1 conv=notrunc",
    "mke2fs -F /dev/loop7",
    "losetup -d /dev/loop7 && [ ! -e /sys/block/loop7/loop/backing_file ]",
)
# Overwrites the program text of a running process, as a debugger would: the file must not follow.
MEMORY = """
sleep 1000 & pid=$!
exe=$(readlink /proc/$pid/exe)
before=$(sha256sum "$exe")
range=$(grep -m 1 ' r-xp ' /proc/$pid/maps)
dd if=/dev/zero of=/proc/$pid/mem bs=1 count=64 seek=$((0x${range%%-*})) conv=notrunc 2>&1
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


def succeeded(shell, attempts):
    return [attempt for attempt in attempts if shell.run(f"cd /; {attempt}", timeout=60).code == 0]


def writable(shell, top, pid="1"):
    """The folders below `top` that can be written, where process `pid` mounts: a mounted file system is not `top`'s."""
    found = shell.run(f"top={shlex.quote(top)}\n{WRITABLE}", timeout=120, check=True).text.splitlines()
    root = top.rstrip("/") if pid != "1" else ""
    mounted = {f"{root}{mount.place}" for mount in mounts(shell, pid) if mount.place != "/"}
    return sorted(set(found) - mounted)


def mounts(shell, pid="1"):
    """What is mounted where that process is; nothing once it has ended."""
    return judge.mounts(shell.run(f"cat /proc/{pid}/mountinfo 2>/dev/null").text)


def test_root_is_what_was_built(shell, image):
    assert content(shell, image) == image.manifest["root"]["sha256"]


def test_root_is_mounted_read_only(shell):
    roots = [mount for mount in mounts(shell) if mount.place == "/"]
    assert [mount.kind for mount in roots] == ["squashfs"]
    assert "ro" in roots[0].flags
    assert "ro" in roots[0].super_flags
    line = next(row for row in shell.run("cat /proc/mounts", check=True).text.splitlines() if row.split()[1] == "/")
    assert "ro" in line.split()[3].split(",")


def test_no_folder_of_the_root_can_be_written(shell):
    assert writable(shell, "/") == []


def test_no_file_of_the_root_can_be_changed(shell):
    assert succeeded(shell, ATTEMPTS) == []


def test_remounting_does_not_make_it_writable(shell):
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
    assert succeeded(shell, DEVICES) == []


def test_no_running_program_leads_around_it(shell):
    said = shell.run(MEMORY, timeout=60).text
    assert "written:" not in said
    assert "changed:" not in said


def test_containers_roots_are_as_declared(shell, expect, running):
    outside = {mount.place: mount.kind for mount in mounts(shell)}
    for name, row in expect["services"].items():
        bundle = f"/containers/services/{name}"
        config = json.loads(shell.run(f"cat {bundle}/config.json", check=True).text)
        assert config["root"] == {"path": "rootfs", "readonly": row["readonly"]}, name
        # what has ended has left its root as it would find it again
        inside = mounts(shell, running[name]) if name in running else []
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
